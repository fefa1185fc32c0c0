package audit_test

import (
	"bytes"
	"testing"

	"keyhook/internal/audit"
)

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
