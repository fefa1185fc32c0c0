package account

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"keyhook/internal/fault"
)

// The work of argon2id is the minimum that OWASP's password storage cheat sheet
// names: 19 MiB, two passes, one lane.
const (
	argonMemory = 19456 // KiB
	argonTime   = 2
	argonLanes  = 1
	saltSize    = 16
	hashSize    = 32
)

const (
	minPassword = 12   // characters
	maxPassword = 1024 // bytes: a longer one only keeps us busy
	hashWait    = 2 * time.Second
)

func hashesAtOnce() int { return runtime.NumCPU() }

// enter waits for a place among those who hash: each takes 19 MiB and a
// processor, so a crowd of them would take all there is.
func (s *Store) enter(ctx context.Context) (leave func(), err error) {
	timer := time.NewTimer(hashWait)
	defer timer.Stop()
	select {
	case s.hashes <- struct{}{}:
		return func() { <-s.hashes }, nil
	case <-timer.C:
		return nil, fault.New(fault.Busy, "Too many people are signing in at this moment. Try again.")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// newPassword checks a password that somebody chose and returns its hash as a
// PHC string.
func (s *Store) newPassword(ctx context.Context, password, email, name string) (string, error) {
	if f := checkPassword(password, email, name); f != nil {
		return "", f
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return phc(password, salt), nil
}

func phc(password string, salt []byte) string {
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonLanes, hashSize)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes, encode(salt), encode(sum))
}

// verify reports whether password is the one that was hashed. Without a stored
// hash it does the same work and says no.
func (s *Store) verify(ctx context.Context, stored, password string) (bool, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if len(password) > maxPassword {
		password = password[:maxPassword+1] // no stored hash is of so long a one
	}
	var version int
	var memory, passes uint32
	var lanes uint8
	salt, want := make([]byte, saltSize), []byte(nil)
	parts := strings.Split(stored, "$")
	if len(parts) == 6 {
		if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &lanes); err != nil {
			return false, fmt.Errorf("read a stored password hash: %w", err)
		}
		if salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
			return false, fmt.Errorf("read a stored password hash: %w", err)
		}
		if want, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
			return false, fmt.Errorf("read a stored password hash: %w", err)
		}
	} else {
		memory, passes, lanes = argonMemory, argonTime, argonLanes
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, lanes, hashSize)
	return len(want) == hashSize && subtle.ConstantTimeCompare(got, want) == 1, nil
}

// common are passwords that everybody tries first, one a line, in small letters.
//
//go:embed common_passwords.txt
var common []byte

// checkPassword asks for length and for what can't be guessed at once, and for no
// particular characters.
func checkPassword(password, email, name string) *fault.Error {
	say := func(message string) *fault.Error { return fault.On("password", fault.Invalid, message) }
	lower := strings.ToLower(password)
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return say(fmt.Sprintf("Use at least %d characters. A few words in a row are easy to remember.", minPassword))
	case len(password) > maxPassword:
		return say(fmt.Sprintf("Use at most %d bytes.", maxPassword))
	case !utf8.ValidString(password):
		return say("The password holds bytes that are not text.")
	case isCommon(lower):
		return say("That password is one of those that are tried first. Choose another.")
	case simple(lower):
		return say("That password repeats or counts. Choose another.")
	case holdsContext(lower, email, name):
		return say("The password is mostly your name or e-mail address. Choose another.")
	}
	return nil
}

func isCommon(lower string) bool {
	for line := range bytes.Lines(common) {
		if word := string(bytes.TrimSpace(line)); word != "" && (lower == word || strings.Trim(lower, "0123456789!?.-_ ") == word) {
			return true
		}
	}
	return false
}

// simple reports whether text is a short piece again and again, or counts up or
// down, or walks along the keyboard.
func simple(text string) bool {
	for size := 1; size <= 4 && size < len(text); size++ {
		if strings.HasPrefix(strings.Repeat(text[:size], len(text)/size+1), text) {
			return true
		}
	}
	for _, row := range []string{"01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm"} {
		if strings.Contains(row, text) || strings.Contains(reverse(row), text) {
			return true
		}
	}
	return false
}

func reverse(text string) string {
	runes := []rune(text)
	for i, j := 0, len(runes)-1; i < j; i, j = i+1, j-1 {
		runes[i], runes[j] = runes[j], runes[i]
	}
	return string(runes)
}

// holdsContext reports whether little is left of a password without what is known
// of its owner.
func holdsContext(lower, email, name string) bool {
	rest := lower
	local, domain, _ := strings.Cut(strings.ToLower(email), "@")
	words := append(strings.Fields(strings.ToLower(name)), strings.ToLower(email), local, domain, "keyhook")
	for _, word := range words {
		if len(word) >= 4 {
			rest = strings.ReplaceAll(rest, word, "")
		}
	}
	return rest != lower && utf8.RuneCountInString(strings.Trim(rest, "0123456789!?.-_@ ")) < 5
}
