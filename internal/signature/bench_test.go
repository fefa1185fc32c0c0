package signature_test

import (
	"testing"

	"keyhook/internal/signature"
)

// BenchmarkReadAll is what reading a request under every scheme costs, as
// ingestion does before it knows the key.
func BenchmarkReadAll(b *testing.B) {
	headers, err := signature.Sign(signature.GitHub, secret, event(now))
	if err != nil {
		b.Fatal(err)
	}
	headers["Content-Type"], headers["User-Agent"], headers["X-Github-Event"] = []string{"application/json"}, []string{"x"}, []string{"push"}
	schemes := signature.All()
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range schemes {
			s.Read(headers)
		}
	}
}

// BenchmarkVerify is one signature over 1 KiB.
func BenchmarkVerify(b *testing.B) {
	e := event(now)
	e.Body = make([]byte, 1<<10)
	headers, err := signature.Sign(signature.Standard, secret, e)
	if err != nil {
		b.Fatal(err)
	}
	s, _ := signature.Find(signature.Standard)
	b.ReportAllocs()
	for b.Loop() {
		presented, err := s.Read(headers)
		if err != nil {
			b.Fatal(err)
		}
		if err := presented.Verify(secret, e.Body, now); err != nil {
			b.Fatal(err)
		}
	}
}
