package web_test

import (
	"strings"
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

// TestNobodyIsNotDeleted: a key of a command without owner belongs to no one, which is
// not said to be a user who was deleted.
func TestNobodyIsNotDeleted(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	s.Raw().MustExec(`UPDATE webhook_keys SET owner_id = NULL, created_by = NULL WHERE id = $1`, s.home.key.ID)
	keys := "/w/" + s.home.slug + "/keys"
	if text := parse(t, c.get(keys).body).Find(".keys .c-by").Text(); !strings.Contains(text, "No owner") || strings.Contains(strings.ToLower(text), "deleted") {
		t.Errorf("the list says %q", text)
	}
	details := parse(t, c.get(keys+"/"+s.home.key.ID.String()).body).Find("main dl")
	if text := squeezed(details.Text()); !strings.Contains(text, "Owner No owner") || !strings.Contains(text, "by a command or a deleted user") {
		t.Errorf("the details say %q", text)
	}
	s.Raw().MustExec(`UPDATE webhook_keys SET owner_id = $1 WHERE id = $2`, s.home.owner, s.home.key.ID)
	if text := squeezed(parse(t, c.get(keys).body).Find(".keys .c-by").Text()); !strings.HasSuffix(text, "made by a command or a deleted user") {
		t.Errorf("the list says %q", text)
	}
}
