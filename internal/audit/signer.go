package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A Signer holds the key that signs checkpoints. Printing it shows nothing of it.
type Signer struct{ key ed25519.PrivateKey }

// String keeps the key out of logs.
func (s *Signer) String() string { return "[signing key " + s.KeyID() + "]" }

// GoString likewise.
func (s *Signer) GoString() string { return s.String() }

// OpenSigner reads the signing key in a file, and makes both if there is none.
// Instances that share the file have one key: who comes second takes the first's.
func OpenSigner(path string) (*Signer, error) {
	signer, err := LoadSigner(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return signer, err
	}
	if err := makeKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the signing key file: %w", err)
	}
	return LoadSigner(path)
}

// LoadSigner reads the signing key in a file: PKCS #8 in PEM.
func LoadSigner(path string) (*Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the signing key file: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s holds no private key in PEM", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s holds no Ed25519 key", path) // never what it holds
	}
	return &Signer{key: key}, nil
}

// makeKey writes a new key to a file that is either whole or not there.
func makeKey(path string) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".audit-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	err = pem.Encode(temp, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Link(temp.Name(), path) // fails if another made it meanwhile
}

// Public returns the key that verifies.
func (s *Signer) Public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// KeyID names the key.
func (s *Signer) KeyID() string { return keyID(s.Public()) }

// keyID is the beginning of the public key's SHA-256.
func keyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// PublicPEM returns the key that verifies, as it can be pinned elsewhere.
func (s *Signer) PublicPEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(s.Public())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ParsePublic reads the public keys in a PEM file, one or several.
func ParsePublic(text []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		key, ok := parsed.(ed25519.PublicKey)
		if err != nil || !ok {
			return nil, errors.New("it holds something else than Ed25519 public keys")
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no public key in PEM")
	}
	return keys, nil
}

// sign completes a checkpoint.
func (s *Signer) sign(c *Checkpoint) {
	c.KeyID, c.PublicKey = s.KeyID(), s.Public()
	c.Signature = ed25519.Sign(s.key, c.Encode())
}

// Sign signs some fields, encoded like an entry's, behind the name of what they
// are: one that checkpoints don't have.
func (s *Signer) Sign(name string, fields ...string) []byte {
	return ed25519.Sign(s.key, encode(append([]string{name}, fields...)...))
}
