package web

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/evidence"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/views"
)

// reviewLines is how many lines of a review a page has.
const reviewLines = 50

func (s *Server) showReviews(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.renderReviews(w, r, m, http.StatusOK, "", nil)
}

func (s *Server) renderReviews(w http.ResponseWriter, r *http.Request, m account.Member, status int, covers string, errors map[string]string) error {
	frame, err := s.page(w, r, m, "Access reviews")
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	page := views.ReviewsPage{Page: frame, Covers: covers, FormID: id.String(), Errors: errors}
	if errors == nil {
		page.Covers = evidence.LastQuarter(frame.Now)
	}
	reviews, err := s.evidence.Reviews(r.Context(), m.Workspace.ID, m.User.ID)
	if err != nil {
		return err
	}
	for _, review := range reviews {
		page.Rows = append(page.Rows, reviewRow(review))
	}
	return render(w, r, status, views.Reviews(page))
}

func reviewRow(r evidence.Review) views.ReviewRow {
	return views.ReviewRow{
		ID: r.ID.String(), Covers: r.Covers, MadeBy: r.MadeBy, Until: r.UntilAt, MadeAt: r.MadeAt, Whole: r.Whole, Keys: r.Keys,
		Asked: r.Asked, Kept: r.Kept, Stopped: r.Stopped, Yours: r.Yours,
	}
}

// makeReview makes one, once for each form.
func (s *Server) makeReview(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	covers := r.PostFormValue("covers")
	span, err := evidence.ParseSpan(covers, time.Now())
	var id uuid.UUID
	if err == nil {
		id, err = uuid.Parse(r.PostFormValue("id"))
		if err != nil {
			err = fault.On("covers", fault.Invalid, "The form is damaged. Send it once more.")
		}
	}
	if err == nil {
		err = s.evidence.Make(r.Context(), s.actor(r, m), id, span)
	}
	if f, ok := fault.Of(err); err != nil && ok && (f.Kind == fault.Invalid || f.Kind == fault.Conflict) {
		return s.renderReviews(w, r, m, http.StatusUnprocessableEntity, covers, map[string]string{"covers": f.Message})
	}
	if err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "The review of " + span.Covers + " is made and signed."})
	return redirect(w, r, reviewsPath(m, id.String()))
}

func reviewsPath(m account.Member, more ...string) string {
	return strings.Join(append([]string{"/w/" + m.Workspace.Slug + "/reviews"}, more...), "/")
}

// reviewOf is the review in the path.
func (s *Server) reviewOf(r *http.Request, m account.Member) (evidence.Review, error) {
	return s.evidence.Find(r.Context(), m.Workspace.ID, m.User.ID, idOf(r.PathValue("review")))
}

// idOf reads an id; what is none is the id of nothing.
func idOf(text string) uuid.UUID {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return uuid.Nil
	}
	return id
}

// showReview shows a review's keys. Of its people it tells who may read the trail.
func (s *Server) showReview(w http.ResponseWriter, r *http.Request, m account.Member) error {
	review, err := s.reviewOf(r, m)
	if err != nil {
		return err
	}
	frame, err := s.page(w, r, m, "Access review "+review.Covers)
	if err != nil {
		return err
	}
	page := views.ReviewPage{Page: frame, Review: reviewRow(review)}
	page.Show, page.After = linesIn(r.URL.Query(), review)
	part := evidence.Part{Show: page.Show, Owner: m.User.ID, After: page.After, Limit: reviewLines}
	lines, more, err := s.evidence.Lines(r.Context(), m.Workspace.ID, review.ID, part)
	if err != nil {
		return err
	}
	for _, line := range lines {
		page.Lines = append(page.Lines, reviewLine(m, line))
	}
	if more {
		page.Next = lines[len(lines)-1].Place
	}
	if m.Can(account.ReviewAccess) {
		if err := s.addPeople(r, m, review, &page); err != nil {
			return err
		}
	}
	return render(w, r, http.StatusOK, views.Review(page))
}

// linesIn reads which lines of a review are shown. What is first is what waits for
// an answer.
func linesIn(query url.Values, review evidence.Review) (show string, after int) {
	if show = known(query.Get("show"), []string{"open", "yours", "answered", "all"}); show == "" {
		show = "open"
		if review.Asked == review.Kept+review.Stopped {
			show = "all"
		}
	}
	if after, err := strconv.Atoi(query.Get("after")); err == nil && after > 0 && after < 1<<31 {
		return show, after
	}
	return show, 0
}

func reviewLine(m account.Member, line evidence.Line) views.ReviewLine {
	row := views.ReviewLine{
		KeyID: line.KeyID.String(), KeyName: line.Name, Active: line.Active, ActiveNow: line.ActiveNow, Owner: line.Owner.Name, Standing: line.Owner.Standing,
		ExpiresAt: momentIn(line.ExpiresAt), CanAnswer: mayAnswer(m, line),
		Answer: views.ReviewAnswer{Answer: line.Answer, Note: line.Note, By: line.AnsweredBy},
	}
	if line.AnsweredAt != nil {
		row.Answer.At = *line.AnsweredAt
	}
	if last := line.LastAnswer; last != nil {
		row.Last = views.ReviewAnswer{Covers: last.Covers, Answer: last.Answer, Note: last.Note, By: last.By.Name, At: momentOf(last.At)}
	}
	if line.LastUsedOn != nil && line.IdleDays != nil {
		row.LastUsedOn, row.IdleDays = *line.LastUsedOn, *line.IdleDays
	}
	for _, shown := range line.Shown {
		row.Shown = append(row.Shown, views.PassportShown{At: momentOf(shown.At), To: shown.To.Name, APIKey: shown.APIKey, Secret: shown.Fingerprint})
	}
	return row
}

// mayAnswer tells whether to offer what the store would refuse otherwise.
func mayAnswer(m account.Member, line evidence.Line) bool {
	own := line.OwnerID != nil && *line.OwnerID == m.User.ID
	return m.Can(account.EditKeys) && (own || m.Role == account.Owner || m.Role == account.Admin)
}

func (s *Server) addPeople(r *http.Request, m account.Member, review evidence.Review, page *views.ReviewPage) error {
	people, creating, err := s.evidence.People(r.Context(), m.Workspace.ID, review.ID)
	for _, p := range people {
		page.People = append(page.People, views.ReviewPerson{
			Name: p.Name, Email: p.Email, Role: p.Role, SecondFactor: p.SecondFactor, Since: momentOf(p.Since), Disabled: p.Disabled, CanCreateKeys: p.CanCreateKeys,
		})
	}
	for _, c := range creating {
		page.Creating = append(page.Creating, views.ReviewCreating{Name: c.Name, Role: c.Role, From: momentOf(c.From), Until: momentIn(c.Until)})
	}
	return err
}

// exportReview sends the signed file.
func (s *Server) exportReview(w http.ResponseWriter, r *http.Request, m account.Member) error {
	review, err := s.reviewOf(r, m)
	if err != nil {
		return err
	}
	name := "access-review-" + m.Workspace.Slug + "-" + review.Covers + ".ndjson"
	return s.sendFile(w, r, m, inbox.NDJSON, name, func(ctx context.Context, by audit.Actor, out io.Writer) error {
		return s.evidence.Export(ctx, by, review, out)
	})
}
