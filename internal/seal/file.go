package seal

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Load reads a master key file: lines of an id (8 hex digits), a colon and 32
// bytes in base64. The first key seals; the others only open. Blank lines and
// lines that begin with # are passed over. The error of a missing file wraps
// fs.ErrNotExist.
func Load(path string) (*Box, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the master key file: %w", err)
	}
	var keys []masterKey
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, n, err) // never the line itself
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no master key", path)
	}
	return newBox(keys)
}

func parseKey(line string) (masterKey, error) {
	var key masterKey
	id, text, ok := strings.Cut(line, ":")
	if n, err := hex.Decode(key.id[:], []byte(id)); !ok || err != nil || n != idSize || len(id) != 2*idSize {
		return key, errors.New("a master key begins with 8 hex digits and a colon")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != keySize {
		return key, errors.New("a master key is 32 bytes in base64")
	}
	copy(key.text[:], raw)
	return key, nil
}

// Create makes a new master key and writes it to path with mode 0600. It never
// replaces a file: then its error wraps fs.ErrExist.
func Create(path string) (*Box, error) {
	var id KeyID
	var text [keySize]byte
	rand.Read(id[:])
	rand.Read(text[:])
	line := fmt.Sprintf("%s:%s\n", id, base64.StdEncoding.EncodeToString(text[:]))
	if err := writeNew(path, []byte(line)); err != nil {
		return nil, fmt.Errorf("make the master key file: %w", err)
	}
	return newBox([]masterKey{{id: id, text: text}})
}

// writeNew writes a file that is either whole and on disk or not there.
func writeNew(path string, content []byte) error {
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".master-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	return os.Link(temp.Name(), path) // fails if another made it meanwhile
}
