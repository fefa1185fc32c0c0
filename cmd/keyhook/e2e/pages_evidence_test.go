package e2e_test

import "testing"

// inspectEvidence looks at what auditors are given: a key's passport, and a review
// that was made, answered in part and not yet, with all that it tells of people.
func inspectEvidence(t *testing.T, console inUse) {
	p := console.signedIn(t)
	key := console.key(p, busiest)
	p.inspectAll(sight{"passport", key + "/passport"}, sight{"reviews", console.at("/reviews")})
	p.fill("input[name=covers]", "2026-Q9")
	p.follow(".page form [type=submit]")
	p.inspect("reviews-error")
	p.fill("input[name=covers]", eval[string](p, `new Date().toISOString().slice(0, 10)`))
	p.follow(".page form [type=submit]")
	p.has("is made and signed")
	p.follow(".review button[value=keep]")
	p.has("Answered: keep.")
	p.inspect("review")
	p.follow(".review a.btn-danger")
	p.inspectAgain("review-answer")
}
