package evidence_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/evidence"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/internal/pgtest"
)

// TestReviewIsTheSameWheneverItIsMade: what happens later changes nothing of a span
// that is over, but for the answers; the signature is another, and holds too.
func TestReviewIsTheSameWheneverItIsMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ben := w.join("Ben <b>& \"x\" é", "member")
	key := w.issue(ben, "Billing & <Sons>")
	w.raw.MustExec(`INSERT INTO delivery_days SELECT $1, d, 'accepted', '', $2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
		FROM unnest(ARRAY['2026-01-02Z', '2026-03-04Z']::timestamptz[]) AS d`, key.ID, w.workspace.ID)
	span := until()
	first, file := w.review(w.ada, span)
	w.verify("made at once", file, "ok, 1 keys")
	if _, err := w.keys.Deactivate(t.Context(), w.ada, key.ID, ""); err != nil {
		t.Fatal(err)
	}
	w.join("Cleo", "admin")
	w.raw.MustExec(`INSERT INTO delivery_days SELECT $1, date_trunc('day', now(), 'UTC') + interval '1 day', 'accepted', '', $2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0`, key.ID, w.workspace.ID)
	if _, _, _, err := w.trail.Sign(t.Context(), w.signer, 0); err != nil {
		t.Fatal(err)
	}
	_, again := w.review(ben, span)
	w.verify("made later", again, "ok, 1 keys")
	if content(file) != content(again) || bytes.Equal(file, again) {
		t.Errorf("made twice, the lines must be the same and the signature another:\n%s\n%s", file, again)
	}
	if w.entries(audit.ReviewMade) != 2 || w.entries(audit.ReviewExported) != 2 {
		t.Error("the trail lacks the reviews, or that they were taken away")
	}
	lines := parsed(t, again)
	if k := lines["key"][0]; k["active"] != true || k["last_used_on"] != "2026-03-04" || len(k["shown"].([]any)) != 1 || k["owner"].(map[string]any)["standing"] != "member" || k["expires_at"] != nil {
		t.Errorf("the key's line is %v", k)
	}
	if seal := lines["signature"][0]; seal["review"] == first.String() || seal["checkpoint"] != 1.0 || seal["made_by"].(map[string]any)["id"] != ben.UserID.String() {
		t.Errorf("the last line is %v", seal)
	}
}

// TestTamperedReviews: whatever is changed in a file shows.
func TestTamperedReviews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		w.issue(w.ada, fmt.Sprint("Key ", i))
	}
	_, file := w.review(w.ada, until())
	lines := strings.SplitAfter(string(file), "\n")
	lines = lines[:len(lines)-1]
	seal := lines[len(lines)-1]
	other, err := audit.OpenSigner(filepath.Join(t.TempDir(), "other.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tampered := range map[string]string{
		"empty":              "",
		"cut":                string(file[:len(file)-1]),
		"no signature":       strings.Join(lines[:len(lines)-1], ""),
		"a line less":        strings.Join(slices.Delete(slices.Clone(lines), 2, 3), ""),
		"a line twice":       strings.Join(slices.Insert(slices.Clone(lines), 3, lines[3]), ""),
		"another owner":      strings.Replace(string(file), "Ada Okonkwo", "Eve Okonkwo", 1),
		"another time":       strings.Replace(string(file), seal, strings.Replace(seal, `"made_at":"20`, `"made_at":"19`, 1), 1),
		"another checkpoint": strings.Replace(string(file), `"checkpoint":0`, `"checkpoint":9`, 1),
		"another maker":      strings.Replace(string(file), seal, strings.Replace(seal, ",", `,"made_by":{"kind":"user","id":"x","name":"Eve"},`, 1), 1),
		"another name":       strings.Replace(string(file), seal, strings.Replace(seal, `"name":`, `"name":"Eve","name":`, 1), 1),
		"a note":             strings.Replace(string(file), seal, strings.Replace(seal, "}\n", `,"note":"x"}`+"\n", 1), 1),
		"a fraction":         strings.Replace(string(file), `"checkpoint":0`, `"checkpoint":0.0`, 1),
		"a text":             strings.Replace(string(file), `"checkpoint":0`, `"checkpoint":"0"`, 1),
		"bare base64":        strings.Replace(string(file), `="}`+"\n", `"}`+"\n", 1),
		"a space":            strings.Replace(string(file), seal, " "+seal, 1),
		"CRLF":               strings.TrimSuffix(string(file), "\n") + "\r\n",
		"another key":        strings.Replace(string(file), base64.StdEncoding.EncodeToString(w.signer.Public()), base64.StdEncoding.EncodeToString(other.Public()), 1),
	} {
		if tampered == string(file) {
			t.Errorf("%s: nothing is changed", name)
		}
		w.verify(name, []byte(tampered), "broken")
	}
	own, others := pemOf(t, w.signer), pemOf(t, other)
	w.verifyWith(others, "with another's key", file, "broken: signed with another key")
	w.verifyWith(nil, "with a file without keys", file, "broken: there is no public key")
	w.verifyWith(slices.Concat(own, others), "with both keys", file, "ok")
	w.verifyWith(slices.Concat(others, own), "with both keys, the other's first", file, "ok")
	var trail bytes.Buffer
	if err := w.trail.Export(t.Context(), w.ada, audit.Export{Label: "Harbour", Format: audit.NDJSON}, &trail); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "trail")
	write := func(text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(trail.Bytes())
	w.verify("with its trail", file, "ok", path)
	write(trail.Bytes()[:bytes.IndexByte(trail.Bytes(), '\n')+1])
	w.verify("with a trail that lacks entries", file, "broken", path)
}

// TestAnswers: a key's owner answers, and who may change any key; an answer is
// recorded once, deactivates if it says so, and is in the next review.
func TestAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ben, cleo, dan := w.join("Ben", "member"), w.join("Cleo", "member"), w.join("Dan", "auditor")
	bens, adas, old := w.issue(ben, "Ben's"), w.issue(w.ada, "Ada's"), w.issue(w.ada, "Old")
	if _, err := w.keys.Deactivate(ctx, w.ada, old.ID, ""); err != nil {
		t.Fatal(err)
	}
	id, _ := w.review(w.ada, until())
	later := w.issue(w.ada, "Later")
	foreign, eve := w.newWorkspace("Foreign", "Eve")
	theirs, _ := w.review(eve, until())
	keep := func(keys ...uuid.UUID) evidence.Answer {
		return evidence.Answer{Keys: keys, Answer: evidence.Keep, Note: " fine "}
	}
	for name, tt := range map[string]struct {
		by     audit.Actor
		review uuid.UUID
		answer evidence.Answer
		want   fault.Kind
	}{
		"another member":        {cleo, id, keep(bens.ID), fault.Forbidden},
		"an auditor":            {dan, id, keep(bens.ID), fault.Forbidden},
		"another workspace":     {eve, id, keep(bens.ID), fault.NotFound},
		"their review, our key": {w.ada, theirs, keep(bens.ID), fault.NotFound},
		"no review":             {w.ada, uuid.New(), keep(bens.ID), fault.NotFound},
		"no key":                {w.ada, id, keep(uuid.New()), fault.NotFound},
		"a key that is none":    {w.ada, id, keep(bens.ID, uuid.Nil), fault.NotFound},
		"a key made since":      {w.ada, id, keep(later.ID), fault.NotFound},
		"one that was inactive": {w.ada, id, keep(old.ID), fault.Conflict},
		"no keys":               {w.ada, id, keep(), fault.Invalid},
		"no answer":             {w.ada, id, evidence.Answer{Keys: []uuid.UUID{bens.ID}}, fault.Invalid},
		"another answer":        {w.ada, id, evidence.Answer{Keys: []uuid.UUID{bens.ID}, Answer: "delete"}, fault.Invalid},
		"a long note":           {w.ada, id, evidence.Answer{Keys: []uuid.UUID{bens.ID}, Answer: "keep", Note: strings.Repeat("é", 501)}, fault.Invalid},
		"a note with NUL":       {w.ada, id, evidence.Answer{Keys: []uuid.UUID{bens.ID}, Answer: "keep", Note: "a\x00b"}, fault.Invalid},
		"a note not in UTF-8":   {w.ada, id, evidence.Answer{Keys: []uuid.UUID{bens.ID}, Answer: "keep", Note: "a\xffb"}, fault.Invalid},
		"a credential":          {w.ada, id, evidence.Answer{Keys: []uuid.UUID{bens.ID}, Answer: "keep", Note: keyring.NewAPIKey().Reveal()}, fault.Invalid},
	} {
		if _, err := w.evidence.Answer(ctx, tt.by, tt.review, tt.answer); kindOf(err) != tt.want {
			t.Errorf("%s: Answer = %v, want %v", name, err, tt.want)
		}
	}
	if n := w.entries(audit.ReviewAnswered); n != 0 {
		t.Errorf("refused answers left %d entries", n)
	}

	for range 2 { // the second changes nothing and records nothing
		if done, err := w.evidence.Answer(ctx, ben, id, keep(bens.ID, adas.ID)); err != nil || done != (evidence.Outcome{Answered: 1, LeftOut: 1}) {
			t.Errorf("keeping one's own and another = %+v, %v", done, err)
		}
	}
	stop := evidence.Answer{Keys: []uuid.UUID{adas.ID}, Answer: evidence.Deactivate, Note: "nobody uses it"}
	if done, err := w.evidence.Answer(ctx, w.ada, id, stop); err != nil || done.Deactivated != 1 {
		t.Errorf("deactivating = %+v, %v", done, err)
	}
	if key, err := w.keys.Find(ctx, w.workspace.ID, adas.ID); err != nil || key.Active {
		t.Errorf("the key that is to be deactivated is active: %v, %v", key.Active, err)
	}
	if w.entries(audit.ReviewAnswered) != 2 || w.entries(audit.KeyDeactivated) != 2 {
		t.Errorf("the trail has %d answers and %d deactivations, want 2 and 2", w.entries(audit.ReviewAnswered), w.entries(audit.KeyDeactivated))
	}
	if review, err := w.evidence.Find(ctx, w.workspace.ID, ben.UserID, id); err != nil || review.Keys != 3 || review.Asked != 2 || review.Kept != 1 || review.Stopped != 1 || review.Yours != 0 {
		t.Errorf("the review is %+v, %v", review, err)
	}

	// A change of mind is an entry of its own, and the next review has the last word.
	if _, err := w.evidence.Answer(ctx, w.ada, id, evidence.Answer{Keys: []uuid.UUID{bens.ID}, Answer: evidence.Deactivate}); err != nil {
		t.Fatal(err)
	}
	_, next := w.review(w.ada, until())
	for _, k := range parsed(t, next)["key"] {
		last, _ := k["last_answer"].(map[string]any)
		var got string
		if last != nil {
			got = fmt.Sprint(last["answer"], " ", last["note"], " ", last["by"].(map[string]any)["name"], " ", last["review"] == id.String())
		}
		if want := map[any]string{"Ben's": "deactivate  Ada Okonkwo true", "Ada's": "deactivate nobody uses it Ada Okonkwo true"}[k["name"]]; got != want {
			t.Errorf("the next review tells of %v: %q, want %q", k["name"], got, want)
		}
	}
	if err := w.accounts.DeleteWorkspace(ctx, cli, foreign.Slug); err != nil {
		t.Fatal(err)
	}
	if err := account.NewStore(w.Maintenance(), pgtest.Box(t), pgtest.Log(t)).EraseDeleted(ctx); err != nil {
		t.Fatal(err)
	}
	var reviews int
	if err := w.raw.Get(&reviews, `SELECT count(*) FROM access_reviews`); err != nil || reviews != 2 {
		t.Errorf("with a workspace its reviews go, and no others: %d are left, %v", reviews, err)
	}
}

// TestAnswersAtOnce: of many who answer at once each has its turn, and as many
// entries are left as the answer changed.
func TestAnswersAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.issue(w.ada, "Contested")
	id, _ := w.review(w.ada, until())
	var answering sync.WaitGroup
	for i := range 8 {
		answering.Go(func() {
			answer := evidence.Answer{Keys: []uuid.UUID{key.ID}, Answer: evidence.Keep, Note: fmt.Sprint("note ", i)}
			if _, err := w.evidence.Answer(t.Context(), w.ada, id, answer); err != nil {
				t.Error(err)
			}
		})
	}
	answering.Wait()
	if n := w.entries(audit.ReviewAnswered); n != 8 {
		t.Errorf("8 different answers at once left %d entries", n)
	}
	var last string
	line, err := w.evidence.Line(t.Context(), w.workspace.ID, id, key.ID)
	if getErr := w.raw.Get(&last, `SELECT after::jsonb ->> 'note' FROM audit_log WHERE action = $1 ORDER BY seq DESC LIMIT 1`, audit.ReviewAnswered); err != nil || getErr != nil || line.Note != last {
		t.Errorf("the line has the note %q, the last entry %q; %v %v", line.Note, last, err, getErr)
	}
}

// TestMakingReviews: a form makes one, another workspace's id makes none, and nobody
// fills the disk.
func TestMakingReviews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, eve := w.newWorkspace("Foreign", "Eve")
	id := uuid.Must(uuid.NewV7())
	var making sync.WaitGroup
	for range 4 {
		making.Go(func() {
			if err := w.evidence.Make(t.Context(), w.ada, id, until()); err != nil {
				t.Error(err)
			}
		})
	}
	making.Wait()
	if n := w.entries(audit.ReviewMade); n != 1 {
		t.Errorf("a form that was sent four times made %d reviews", n)
	}
	if err := w.evidence.Make(t.Context(), eve, id, until()); kindOf(err) != fault.NotFound {
		t.Errorf("Make with another workspace's id = %v, want NotFound", err)
	}
	if err := w.evidence.Make(t.Context(), w.ada, uuid.New(), until()); kindOf(err) != fault.Invalid {
		t.Errorf("Make with a random id = %v, want Invalid", err)
	}
	for range 19 {
		w.review(w.ada, until())
	}
	if err := w.evidence.Make(t.Context(), w.ada, uuid.Must(uuid.NewV7()), until()); kindOf(err) != fault.Conflict {
		t.Errorf("the 21st review of a day = %v, want Conflict", err)
	}
	if reviews, err := w.evidence.Reviews(t.Context(), w.workspace.ID, w.ada.UserID); err != nil || len(reviews) != 20 || reviews[19].ID != id {
		t.Errorf("Reviews lists %d, %v; want 20, the oldest last", len(reviews), err)
	}
	// A trail from before anything was made is empty, and so is its review.
	empty, _ := evidence.ParseSpan("2020-Q1", time.Now())
	if err := w.evidence.Make(t.Context(), eve, uuid.Must(uuid.NewV7()), empty); err != nil {
		t.Error(err)
	}
}
