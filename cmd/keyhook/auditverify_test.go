package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"keyhook/internal/audit"
	"keyhook/internal/config"
)

// signedTrail is a trail with one entry, a checkpoint that names chains with their last
// hashes, and the public key, in files.
func signedTrail(t *testing.T, entry audit.Entry, heads ...audit.Head) (trail, points, public string) {
	t.Helper()
	dir := t.TempDir()
	signer, err := audit.OpenSigner(filepath.Join(dir, "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	point := audit.Checkpoint{Number: 1, At: entry.At, KeyID: signer.KeyID(), PublicKey: signer.Public(), Heads: heads}
	fields := []string{"1", point.At, point.KeyID, string(point.PublicKey)}
	for _, head := range heads {
		fields = append(fields, head.Chain, strconv.FormatInt(head.Seq, 10), string(head.Hash))
	}
	point.Signature = signer.Sign("keyhook/checkpoint/v1", fields...)
	line, lineErr := entry.Line()
	signed, signedErr := json.Marshal(point)
	pem, pemErr := signer.PublicPEM()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if lineErr != nil || signedErr != nil || pemErr != nil {
		t.Fatal(lineErr, signedErr, pemErr)
	}
	return write("trail", line), write("points", signed), write("public", pem)
}

func firstEntry(chain string) audit.Entry {
	entry := audit.Entry{Chain: chain, Seq: 1, At: "2026-11-23T14:02:06.278000Z", Action: audit.KeyCreated, PrevHash: make([]byte, 32)}
	entry.Hash = entry.Sum()
	return entry
}

// TestVerifyTellsWhatVouches: only the checkpoints that name the chain are counted,
// and it is said if none does.
func TestVerifyTellsWhatVouches(t *testing.T) {
	t.Parallel()
	const here, other = "0193586e-3c00-7000-8000-00000000000a", "0193586e-3c00-7000-8000-00000000000b"
	entry := firstEntry(here)
	for _, tt := range []struct {
		named string
		count int
		want  string
	}{
		{here, 1, "1 checkpoints, the last of 2026-11-23T14:02:06.278000Z, signed with a trusted key"},
		{other, 0, "none of the 1 checkpoints, the last of 2026-11-23T14:02:06.278000Z, names this chain"},
	} {
		trail, points, public := signedTrail(t, entry, audit.Head{Chain: tt.named, Seq: 1, Hash: entry.Hash})
		var out bytes.Buffer
		verify := auditVerifyCmd{File: trail, Checkpoints: points, Public: public}
		err := verify.Run(t.Context(), app{out: &out})
		if err != nil || !strings.HasPrefix(out.String(), "chain "+here+"\n"+tt.want) || !strings.HasSuffix(out.String(), "\nok, 1 entries\n") {
			t.Errorf("audit verify, with %s signed: %v, %s", tt.named, err, out.String())
		}
		out.Reset()
		verify.JSON = true
		var got verified
		if err := errors.Join(verify.Run(t.Context(), app{out: &out}), json.Unmarshal(out.Bytes(), &got)); err != nil {
			t.Error(err, out.String())
		}
		if !got.OK || !got.Trusted || len(got.Chains) != 1 || got.Chains[0].Chain != here || got.Chains[0].LastHash != hex.EncodeToString(entry.Hash) ||
			got.Checkpoints != tt.count || len(got.KeyIDs) != tt.count || got.Entries != 1 {
			t.Errorf("audit verify --json, with %s signed: %s", tt.named, out.String())
		}
	}
}

// TestBrokenTrailAsJSON: one object, and the exit code of a trail that is broken.
func TestBrokenTrailAsJSON(t *testing.T) {
	t.Parallel()
	entry := firstEntry("instance")
	trail, points, public := signedTrail(t, entry, audit.Head{Chain: "instance", Seq: 3, Hash: entry.Hash})
	var out bytes.Buffer
	err := (&auditVerifyCmd{File: trail, Checkpoints: points, Public: public, jsonFlag: jsonFlag{JSON: true}}).Run(t.Context(), app{out: &out})
	var got verified
	if jsonErr := json.Unmarshal(out.Bytes(), &got); jsonErr != nil || !errors.Is(err, errBroken) || got.OK || got.BrokenAt != 2 || got.Kind != audit.Cut {
		t.Errorf("audit verify --json of a cut trail: %v, %v, %s", err, jsonErr, out.String())
	}
}

// TestPublicKeyAsJSON: the same key as in PEM.
func TestPublicKeyAsJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	signer, err := audit.OpenSigner(filepath.Join(dir, "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	show := auditPublicKeyCmd{Database: config.Database{DataDir: dir}}
	var plain, out bytes.Buffer
	err = show.Run(app{out: &plain})
	show.JSON = true
	err = errors.Join(err, show.Run(app{out: &out}))
	var got publicKey
	if err := errors.Join(err, json.Unmarshal(out.Bytes(), &got)); err != nil {
		t.Fatal(err, out.String())
	}
	keys, err := audit.ParsePublic(plain.Bytes())
	if err != nil || got.PEM != plain.String() || got.KeyID != signer.KeyID() || !bytes.Equal(got.PublicKey, keys[0]) {
		t.Errorf("audit public-key --json: %s, %v; want what is in %s", out.String(), err, plain.String())
	}
}
