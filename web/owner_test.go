package web_test

import (
	"testing"
)

// TestOwnerStays: renaming a key whose owner is gone gives it to nobody else.
func TestOwnerStays(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String() + "/edit"
	left := s.newUser("Mateo")
	for _, tt := range []struct {
		label string
		owner any
	}{{"No owner", nil}, {"Former member (Mateo), unchanged", left}} {
		s.Raw().MustExec(`UPDATE webhook_keys SET owner_id = $1 WHERE id = $2`, tt.owner, s.home.key.ID)
		options := parse(t, c.get(path).body).Find("#owner option")
		chosen := options.Filter("[selected]")
		value, _ := chosen.Attr("value")
		if options.Length() != 2 || options.First().Text() != tt.label || chosen.Text() != tt.label {
			t.Errorf("of %d owners the first is %q and %q is chosen, want %q", options.Length(), options.First().Text(), chosen.Text(), tt.label)
		}
		if got := c.post(path, "name", "Renamed "+tt.label, "owner", value, "expires", "keep"); got.StatusCode != 303 {
			t.Errorf("saving = %d: %.500s", got.StatusCode, got.body)
		}
		var same bool
		if err := s.Raw().Get(&same, `SELECT owner_id IS NOT DISTINCT FROM $1 FROM webhook_keys WHERE id = $2`, tt.owner, s.home.key.ID); err != nil || !same {
			t.Errorf("%s: the owner stays: %v, %v", tt.label, same, err)
		}
	}
	s.Raw().MustExec(`UPDATE webhook_keys SET owner_id = $1 WHERE id = $2`, s.home.owner, s.home.key.ID)
	if n := parse(t, c.get(path).body).Find("#owner option").Length(); n != 1 {
		t.Errorf("%d owners to choose from where the owner is a member, want 1", n)
	}
}
