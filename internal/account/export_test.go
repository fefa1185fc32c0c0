package account

import (
	"time"

	"github.com/pquerna/otp/hotp"
)

// KeepBusy takes every place among those who hash until leave is called.
func KeepBusy(s *Store) (leave func()) {
	for range cap(s.hashes) {
		s.hashes <- struct{}{}
	}
	return func() {
		for range cap(s.hashes) {
			<-s.hashes
		}
	}
}

// CodeAt is the code that an app with the secret shows at a time.
func CodeAt(c CodeSecret, now time.Time) (string, error) {
	return hotp.GenerateCode(c.text, uint64(now.Unix()/codeStep))
}

// MatchStep is the step after last that a code is for.
func MatchStep(raw []byte, code string, last int64, now time.Time) (int64, error) {
	return CodeSecret{letters.EncodeToString(raw)}.matchStep(code, last, now)
}
