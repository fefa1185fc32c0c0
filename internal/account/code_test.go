package account_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"keyhook/internal/account"
)

// TestCodeVectors: those of RFC 6238, appendix B, for SHA-1, cut to six digits.
func TestCodeVectors(t *testing.T) {
	t.Parallel()
	secret := []byte("12345678901234567890")
	for at, code := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		step := at / 30
		for _, off := range []int64{-30, 0, 30} { // clocks differ by a step at most
			if got, err := account.MatchStep(secret, code, 0, time.Unix(at+off, 0)); err != nil || got != step {
				t.Errorf("%s at %d%+d = step %d, %v; want %d", code, at, off, got, err, step)
			}
		}
		for _, off := range []int64{-60, 60} {
			if got, _ := account.MatchStep(secret, code, 0, time.Unix(at+off, 0)); got != 0 && at+off > 0 {
				t.Errorf("%s at %d%+d is right", code, at, off)
			}
		}
		if got, _ := account.MatchStep(secret, code[:3]+" "+code[3:], 0, time.Unix(at, 0)); got != step {
			t.Errorf("%s with a space is wrong", code)
		}
		if got, _ := account.MatchStep(secret, code, step, time.Unix(at, 0)); got != 0 {
			t.Errorf("%s is right again", code)
		}
		for _, wrong := range []string{"", "000000", code[1:], code + "0", "0" + code, strings.Repeat("1", 1000), "\x00", "２８７０８２"} {
			if got, err := account.MatchStep(secret, wrong, 0, time.Unix(at, 0)); got != 0 || err != nil {
				t.Errorf("%.20q at %d = %d, %v", wrong, at, got, err)
			}
		}
	}
}

// TestSecretsStaySilent: whatever prints one shows nothing.
func TestSecretsStaySilent(t *testing.T) {
	t.Parallel()
	i := open(t)
	ada := i.user(t, "ada@example.com", "")
	secret, err := i.BeginSecondFactor(t.Context(), ada.ID)
	if err != nil || len(secret.Reveal()) != 32 {
		t.Fatalf("%d letters, %v", len(secret.Reveal()), err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, secret); strings.Contains(text, secret.Reveal()) {
			t.Errorf("%s prints %s", verb, text)
		}
	}
	if n := i.count(t, `SELECT count(*) FROM second_factors WHERE position($1::bytea IN sealed) > 0 OR sealed::text LIKE '%' || $2 || '%'`, []byte(secret.Reveal()), secret.Reveal()); n != 0 {
		t.Error("the secret lies open in its table")
	}
}
