package pgembed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// oldest is the first major version that Keyhook's schema runs on.
const oldest = 15

// ErrVersion says that no PostgreSQL that is there can be used.
var ErrVersion = errors.New("no usable PostgreSQL")

// findPrograms returns the folder of the newest usable server or, where there is
// data, of the major version that made it.
func findPrograms(ctx context.Context, given, want string) (string, error) {
	best, found := "", []string{}
	newest := 0
	for _, dir := range candidates(given) {
		major, err := majorVersion(ctx, dir)
		if err != nil {
			if given != "" {
				return "", fmt.Errorf("%w in %s: %w", ErrVersion, given, err)
			}
			continue
		}
		found = append(found, fmt.Sprintf("%d in %s", major, dir))
		if want != "" && strconv.Itoa(major) == want {
			return dir, nil
		}
		if want == "" && major >= oldest && major > newest {
			best, newest = dir, major
		}
	}
	switch {
	case best != "":
		return best, nil
	case want != "":
		return "", fmt.Errorf("%w: the data was made by PostgreSQL %s, and only %s is here; nothing was changed: install version %s, or set KEYHOOK_PG_BIN",
			ErrVersion, want, cmp.Or(strings.Join(found, ", "), "none"), want)
	case len(found) > 0:
		return "", fmt.Errorf("%w: found %s, and version %d or later is needed", ErrVersion, strings.Join(found, ", "), oldest)
	}
	return "", fmt.Errorf("%w found: install postgresql (version %d or later), or set DATABASE_URL or KEYHOOK_PG_BIN", ErrVersion, oldest)
}

// CheckPrograms refuses a folder that has no usable server in it.
func CheckPrograms(ctx context.Context, dir string) error {
	_, err := findPrograms(ctx, dir, "")
	return err
}

func candidates(given string) []string {
	if given != "" {
		return []string{given}
	}
	var dirs []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin"} {
		matches, _ := filepath.Glob(pattern) // the patterns are ours and well formed
		dirs = append(dirs, matches...)
	}
	if program, err := exec.LookPath("postgres"); err == nil {
		if program, err = filepath.EvalSymlinks(program); err == nil {
			dirs = append(dirs, filepath.Dir(program))
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// majorVersion asks a server's program, whose answer is like
// "postgres (PostgreSQL) 15.18 (Debian …)".
func majorVersion(ctx context.Context, dir string) (int, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Env = environment("/")
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s/postgres --version: %w", dir, err)
	}
	_, version, _ := strings.Cut(string(out), "(PostgreSQL) ")
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end <= 0 {
		return 0, fmt.Errorf("%s/postgres names no version: %q", dir, out)
	}
	return strconv.Atoi(version[:end])
}
