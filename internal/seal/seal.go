// Package seal keeps secrets that Keyhook must be able to read back: AES-256-GCM
// under a master key that lives in a file outside the database. It owns no table.
//
// What is sealed is bound to the place it is stored in: a sealed value that was
// moved to another row does not open.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	version   = 0x01
	idSize    = 4
	headSize  = 1 + idSize
	keySize   = 32
	overheads = headSize + 12 + 16
)

var (
	// ErrUnknownKey says that a value was sealed under a master key that is not in the file.
	ErrUnknownKey = errors.New("sealed under a master key that is not in the file")
	// ErrDamaged says that a sealed value was changed, or moved from where it belongs.
	ErrDamaged = errors.New("the sealed value was changed or moved")
)

// A KeyID names a master key, in the file and in each value sealed under it.
type KeyID [idSize]byte

func (id KeyID) String() string { return fmt.Sprintf("%x", id[:]) }

type masterKey struct {
	id   KeyID
	text [keySize]byte
	aead cipher.AEAD
}

// A Box seals and opens. Printing one shows nothing of its keys.
type Box struct {
	keys []masterKey // the first seals, all open
}

func (b *Box) String() string   { return "[master keys]" }
func (b *Box) GoString() string { return "seal.Box{}" }

// newBox makes a Box of at least one key.
func newBox(keys []masterKey) (*Box, error) {
	for i := range keys {
		block, err := aes.NewCipher(keys[i].text[:])
		if err != nil {
			return nil, err
		}
		if keys[i].aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, err
		}
	}
	return &Box{keys: keys}, nil
}

// Seal encrypts text for the place that the parts name: its kind first, then the
// ids of the rows it belongs to. It is laid out as a version byte, the key's id,
// the nonce, and the ciphertext with its tag.
func (b *Box) Seal(text []byte, place ...string) []byte {
	key := b.keys[0]
	head := append([]byte{version}, key.id[:]...)
	return key.aead.Seal(head, nil, text, additional(key.id, place))
}

// Open returns the text that was sealed for the same place. Its errors wrap
// ErrUnknownKey or ErrDamaged.
func (b *Box) Open(sealed []byte, place ...string) ([]byte, error) {
	if len(sealed) < overheads || sealed[0] != version {
		return nil, ErrDamaged
	}
	id := KeyID(sealed[1:headSize])
	for _, key := range b.keys {
		if key.id != id {
			continue
		}
		text, err := key.aead.Open(nil, nil, sealed[headSize:], additional(id, place))
		if err != nil {
			return nil, ErrDamaged
		}
		return text, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknownKey, id)
}

// Has reports whether the file holds the master key called id.
func (b *Box) Has(id KeyID) bool {
	for _, key := range b.keys {
		if key.id == id {
			return true
		}
	}
	return false
}

// SealedUnder returns the id of the master key that a sealed value needs.
func SealedUnder(sealed []byte) (id KeyID, ok bool) {
	if len(sealed) < overheads || sealed[0] != version {
		return KeyID{}, false
	}
	return KeyID(sealed[1:headSize]), true
}

// Fingerprint recognises a text without telling it: 32 bytes, HMAC-SHA-256 under
// a key that is derived from the first master key for the purpose. Without the
// master key nobody can test a guess.
func (b *Box) Fingerprint(purpose, text string) []byte {
	key, err := hkdf.Key(sha256.New, b.keys[0].text[:], nil, "keyhook/fingerprint/"+purpose, keySize)
	if err != nil {
		panic(err) // only for lengths that are not ours
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// additional is what a sealed value is bound to: each part behind its length.
func additional(id KeyID, place []string) []byte {
	data := append([]byte{version}, id[:]...)
	for _, part := range place {
		data = binary.BigEndian.AppendUint32(data, uint32(len(part)))
		data = append(data, part...)
	}
	return data
}
