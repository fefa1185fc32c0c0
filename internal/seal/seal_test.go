package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"keyhook/internal/seal"
)

func newBox(t *testing.T) (box *seal.Box, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "master.key")
	box, err := seal.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return box, path
}

func TestSealRoundTrip(t *testing.T) {
	t.Parallel()
	box, path := newBox(t)
	reloaded, err := seal.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "whsec_x", strings.Repeat("long ", 20_000)} {
		sealed := box.Seal([]byte(text), "secret", "w", "k")
		if text != "" && bytes.Contains(sealed, []byte(text)) {
			t.Error("the sealed value holds the text")
		}
		got, err := reloaded.Open(sealed, "secret", "w", "k")
		if err != nil || string(got) != text {
			t.Errorf("Open = %d bytes, %v; want the %d that were sealed", len(got), err, len(text))
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	box, _ := newBox(t)
	other, _ := newBox(t)
	sealed := box.Seal([]byte("whsec_x"), "secret", "w", "k")

	for name, place := range map[string][]string{
		"another row":              {"secret", "w", "k2"},
		"another workspace":        {"secret", "w2", "k"},
		"text moved between parts": {"secret", "wk", ""},
		"a part more":              {"secret", "w", "k", ""},
		"another kind of secret":   {"body", "w", "k"},
		"no place":                 nil,
	} {
		if _, err := box.Open(sealed, place...); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("Open for %s = %v, want ErrDamaged", name, err)
		}
	}
	if _, err := other.Open(sealed, "secret", "w", "k"); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("Open with other keys = %v, want ErrUnknownKey", err)
	}
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 1
		if _, err := box.Open(altered, "secret", "w", "k"); err == nil {
			t.Errorf("Open accepted a value with byte %d changed", i)
		}
	}
	for n := range sealed {
		if _, err := box.Open(sealed[:n], "secret", "w", "k"); err == nil {
			t.Errorf("Open accepted a value cut to %d bytes", n)
		}
	}
}

func TestSeveralMasterKeys(t *testing.T) {
	t.Parallel()
	old, oldPath := newBox(t)
	_, newPath := newBox(t)
	both := filepath.Join(t.TempDir(), "both.key")
	oldLine, _ := os.ReadFile(oldPath)
	newLine, _ := os.ReadFile(newPath)
	if err := os.WriteFile(both, fmt.Appendf(nil, "# new first\n%s\n%s", newLine, oldLine), 0o600); err != nil {
		t.Fatal(err)
	}
	box, err := seal.Load(both)
	if err != nil {
		t.Fatal(err)
	}
	sealed := old.Seal([]byte("text"), "p")
	if _, err := box.Open(sealed, "p"); err != nil {
		t.Errorf("the second key does not open what it sealed: %v", err)
	}
	id, _ := seal.SealedUnder(box.Seal([]byte("text"), "p"))
	if oldID, _ := seal.SealedUnder(sealed); id == oldID || !box.Has(id) || !box.Has(oldID) {
		t.Error("the first key of the file is not the one that seals")
	}
}

func TestCreateNeverReplaces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "master.key")
	var made, refused int
	var lock sync.Mutex
	var starters sync.WaitGroup
	for range 16 {
		starters.Go(func() {
			_, err := seal.Create(path)
			lock.Lock()
			defer lock.Unlock()
			switch {
			case err == nil:
				made++
			case errors.Is(err, fs.ErrExist):
				refused++
			default:
				t.Error(err)
			}
		})
	}
	starters.Wait()
	if made != 1 || refused != 15 {
		t.Errorf("%d made the file and %d were refused, want 1 and 15", made, refused)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestLoadFaults(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"empty":         "",
		"only comments": "# nothing\n",
		"no id":         "c2VjcmV0",
		"short id":      "ab:" + strings.Repeat("A", 43) + "=",
		"short key":     "01020304:c2VjcmV0",
		"not base64":    "01020304:" + strings.Repeat("*", 44),
	} {
		path := filepath.Join(t.TempDir(), "master.key")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := seal.Load(path)
		if err == nil {
			t.Errorf("%s: Load accepted the file", name)
		} else if strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%s: the error repeats the key: %v", name, err)
		}
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	box, path := newBox(t)
	again, err := seal.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := newBox(t)
	want := box.Fingerprint("secret", "whsec_x")
	if !bytes.Equal(want, again.Fingerprint("secret", "whsec_x")) {
		t.Error("the same text and master key give two fingerprints")
	}
	for name, got := range map[string][]byte{
		"another text":       box.Fingerprint("secret", "whsec_y"),
		"another purpose":    box.Fingerprint("email", "whsec_x"),
		"another master key": other.Fingerprint("secret", "whsec_x"),
	} {
		if bytes.Equal(want, got) {
			t.Errorf("%s gives the same fingerprint", name)
		}
	}
}

func TestBoxPrintsNothing(t *testing.T) {
	t.Parallel()
	box, path := newBox(t)
	line, _ := os.ReadFile(path)
	_, text, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
	if printed := fmt.Sprintf("%v %s %#v", box, box, box); strings.Contains(printed, text) {
		t.Error("printing a Box shows its key")
	}
}
