package audit_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyhook/internal/audit"
)

// An independent is the verifier in docs.
type independent struct{ dir string }

func newIndependent(t *testing.T, signer *audit.Signer, points []byte) independent {
	t.Helper()
	v := independent{dir: t.TempDir()}
	v.write(t, "points", points)
	v.write(t, "key", pemOf(t, signer))
	return v
}

func (v independent) write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(v.dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// check runs it: the last line must begin as wanted. It returns the lines before.
func (v independent) check(t *testing.T, name string, export []byte, want string) string {
	t.Helper()
	v.write(t, "trail", export)
	command := exec.Command("node", "../../docs/verify_audit.mjs", filepath.Join(v.dir, "trail"), filepath.Join(v.dir, "points"), filepath.Join(v.dir, "key"))
	out, err := command.Output()
	lines := strings.SplitAfter(string(out), "\n")
	last := max(0, len(lines)-2)
	if !strings.HasPrefix(lines[last], want) || (err == nil) != strings.HasPrefix(want, "ok") {
		t.Errorf("%s: verify_audit.mjs = %s %v, want %s", name, out, err, want)
	}
	return strings.Join(lines[:last], "")
}

// TestUnreadableLines takes what is no line of an export for an altered entry, as the
// verifier in docs does.
func TestUnreadableLines(t *testing.T) {
	t.Parallel()
	independent := newIndependent(t, newSigner(t), nil)
	lines := bytes.SplitAfter(exported(t, chainOf("instance", 5)), []byte("\n"))[:5]
	for name, line := range map[string]string{
		"empty": "\n", "not JSON": "x\n", "an array": "[]\n", "null": "null\n",
		"a space":         " " + string(lines[2]),
		"another member":  strings.Replace(string(lines[2]), "{", `{"x":1,`, 1),
		"a second member": strings.Replace(string(lines[2]), "{", `{"actor_label":"Eve",`, 1),
		"another case":    strings.Replace(string(lines[2]), `"actor_label"`, `"Actor_Label"`, 1),
		"another text":    strings.Replace(string(lines[2]), "{", `{"action":"key.created",`, 1),
		"a note":          strings.Replace(string(lines[2]), "}\n", `,"note":"x"}`+"\n", 1),
		"a fraction":      strings.Replace(string(lines[2]), `"seq":3`, `"seq":3.0`, 1),
		"a number":        strings.Replace(string(lines[2]), `"seq":3`, `"seq":"3"`, 1),
		"another order":   strings.Replace(string(lines[2]), `"chain":"instance","seq":3`, `"seq":3,"chain":"instance"`, 1),
		"bare base64":     strings.Replace(string(lines[2]), `="}`, `"}`, 1),
		"HTML's escapes":  strings.Replace(string(lines[2]), `&`, `\u0026`, 1),
		"a bare U+2028":   strings.Replace(string(lines[2]), `\u2028`, "\u2028", 1),
		"no UTF-8":        strings.Replace(string(lines[2]), `Größe`, "Gr\xf6\xdfe", 1),
		"a byte order":    "\ufeff" + string(lines[2]),
		"an escape":       strings.Replace(string(lines[2]), `"Ada"`, `"\u0041da"`, 1),
		"CRLF":            strings.Replace(string(lines[2]), "\n", "\r\n", 1),
		"huge":            strings.Repeat("x", 17<<20) + "\n",
	} {
		if line == string(lines[2]) {
			t.Errorf("%s: nothing is changed", name)
		}
		changed := slices.Clone(lines)
		changed[2] = []byte(line)
		text := bytes.Join(changed, nil)
		if got := verdict(t, text, audit.NewCheckpoints(nil)); got.At != 3 || got.Kind != audit.Altered {
			t.Errorf("%s: Verify = %s, want broken at 3: altered", name, got)
		}
		independent.check(t, name, text, "broken at 3")
	}
}

// TestSeveralKeys: after a new signing key the verifier in docs believes the
// checkpoints of both, once both public keys are in its file.
func TestSeveralKeys(t *testing.T) {
	t.Parallel()
	first, second := newSigner(t), newSigner(t)
	chain := chainOf(signedChain, 20)
	_, file := known(t, first, chain, 10)
	_, later := known(t, second, chain, 20)
	file = append(file, later...)
	keys := [][]byte{pemOf(t, first), pemOf(t, second)}
	independent := newIndependent(t, first, file)
	for _, tt := range []struct {
		name, want string
		keys       [][]byte
	}{
		{"the first key", "checkpoint 1 can't be believed", keys[:1]},
		{"the second key", "checkpoint 1 can't be believed", keys[1:]},
		{"both keys", "ok, 20 entries", keys},
		{"both keys, the later one first", "ok, 20 entries", [][]byte{keys[1], keys[0]}},
		{"no key", "there is no public key in the file", nil},
	} {
		independent.write(t, "key", bytes.Join(tt.keys, nil))
		independent.check(t, tt.name, exported(t, chain), tt.want)
	}
}

func pemOf(t *testing.T, signer *audit.Signer) []byte {
	t.Helper()
	key, err := signer.PublicPEM()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestCheckpointLines: the verifier in docs takes no checkpoint for which another
// member or another kind of number was put.
func TestCheckpointLines(t *testing.T) {
	t.Parallel()
	signer, chain := newSigner(t), chainOf(signedChain, 10)
	_, file := known(t, signer, chain, 10)
	independent, text := newIndependent(t, signer, file), exported(t, chain)
	for name, line := range map[string]string{
		"two times":  strings.Replace(string(file), "{", `{"at":"2027-01-01T00:00:00.000000Z",`, 1),
		"a text":     strings.Replace(string(file), `"seq":10`, `"seq":"10"`, 1),
		"a fraction": strings.Replace(string(file), `"seq":10`, `"seq":10.0`, 1),
		"a number":   strings.Replace(string(file), `"number":1`, `"number":"1"`, 1),
	} {
		if line == string(file) {
			t.Errorf("%s: nothing is changed", name)
		}
		independent.write(t, "points", []byte(line))
		independent.check(t, name, text, "checkpoint 1 can't be believed")
	}
	independent.write(t, "points", bytes.Repeat(file, 2))
	if before := independent.check(t, "twice", text, "ok, 10 entries"); !strings.Contains(before, "\n1 checkpoints, the last of "+chain[9].At+", signed with a trusted key\n") {
		t.Errorf("verify_audit.mjs says %s", before)
	}
}
