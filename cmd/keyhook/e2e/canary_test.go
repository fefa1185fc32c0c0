package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"
)

// disguises are the forms in which a secret could hide in a file.
func disguises(secret string) map[string][]byte {
	var wide []byte
	for _, unit := range utf16.Encode([]rune(secret)) {
		wide = append(wide, byte(unit), byte(unit>>8))
	}
	forms := map[string][]byte{
		"as it is":    []byte(secret),
		"in hex":      []byte(hex.EncodeToString([]byte(secret))),
		"in UTF-16":   wide,
		"URL-encoded": []byte(url.QueryEscape(secret)),
	}
	// Inside a longer text the base64 of a part depends on where it begins.
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), secret...))
		forms["in base64 "+string(rune('0'+shift))] = []byte(text[4 : len(text)-4])
	}
	return forms
}

// search returns where under the folders, or in the named texts, one of the
// secrets can be found.
func search(t *testing.T, secrets map[string]string, folders []string, texts map[string][]byte) (finds []string) {
	t.Helper()
	look := func(place string, content []byte) {
		for name, secret := range secrets {
			for form, pattern := range disguises(secret) {
				if bytes.Contains(content, pattern) {
					finds = append(finds, "the "+name+", "+form+", in "+place)
				}
			}
		}
	}
	for place, text := range texts {
		look(place, text)
	}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			look(path, content)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return finds
}

// TestSearchFinds is the negative control of the canary test.
func TestSearchFinds(t *testing.T) {
	t.Parallel()
	const secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD0000="
	for form, pattern := range disguises(secret) {
		dir := t.TempDir()
		content := append(append([]byte("some text before "), pattern...), " and after"...)
		if err := os.WriteFile(filepath.Join(dir, "file"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if finds := search(t, map[string]string{"secret": secret}, []string{dir}, nil); len(finds) == 0 {
			t.Errorf("a secret %s in a file was not found", form)
		}
	}
}
