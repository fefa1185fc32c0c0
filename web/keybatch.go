package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/views"
)

var batchActions = []keyring.BatchAction{keyring.BatchDeactivate, keyring.BatchOwner}

// chooseKeys takes what was ticked in the list, or all that matches it, and leads
// to the page that asks.
func (s *Server) chooseKeys(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	action := keyring.BatchAction(r.PostForm.Get("do"))
	if !slices.Contains(batchActions, action) {
		return s.renderKeys(w, r, m, http.StatusUnprocessableEntity, r.PostForm, "Choose what to do with the keys.")
	}
	list, err := s.listOf(r, m, r.PostForm, time.Now().UTC())
	if err != nil {
		return err
	}
	id, err := s.keys.Choose(r.Context(), s.actor(r, m), action, chosen(r.PostForm, list.filter))
	if f, ok := fault.Of(err); err != nil && ok && f.Field == "key" {
		return s.renderKeys(w, r, m, http.StatusUnprocessableEntity, r.PostForm, f.Message)
	}
	if err != nil {
		return err
	}
	return redirect(w, r, batchPath(m, id))
}

// chosen is the filter that a form with ticks stands for: the list's, or the keys
// that were ticked alone. What is no id is passed over, like the id of a key that
// is not there.
func chosen(form url.Values, list keyring.Filter) keyring.Filter {
	if form.Get("all") != "" {
		return list
	}
	ticked := keyring.Filter{At: list.At, Keys: []uuid.UUID{}}
	for _, text := range form["key"] {
		if id, err := uuid.Parse(text); err == nil && len(text) == 36 {
			ticked.Keys = append(ticked.Keys, id)
		}
	}
	return ticked
}

func batchPath(m account.Member, id uuid.UUID) string {
	return "/w/" + m.Workspace.Slug + "/batches/" + id.String()
}

func batchID(r *http.Request) uuid.UUID {
	id, err := uuid.Parse(r.PathValue("batch"))
	if err != nil || len(r.PathValue("batch")) != 36 {
		return uuid.Nil
	}
	return id
}

// showBatch asks before a batch, and tells what became of it afterwards.
func (s *Server) showBatch(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.renderBatch(w, r, m, http.StatusOK, nil)
}

func (s *Server) renderBatch(w http.ResponseWriter, r *http.Request, m account.Member, status int, errors map[string]string) error {
	report, err := s.keys.ReportOn(r.Context(), s.actor(r, m), batchID(r))
	if err != nil {
		return err
	}
	frame, err := s.page(w, r, m, "")
	if err != nil {
		return err
	}
	page := batchPage(report)
	page.Page, page.Errors = frame, errors
	page.Title = page.Heading()
	if len(errors) > 0 {
		page.Title, page.Owner = "Error: "+page.Title, r.PostForm.Get("owner")
	}
	if report.Action == keyring.BatchOwner && report.BeganAt == nil {
		if page.Owners, err = s.heirs(r, m); err != nil {
			return err
		}
	}
	return render(w, r, status, views.KeyBatch(page))
}

// heirs are who can be given keys: members whose role may change them.
func (s *Server) heirs(r *http.Request, m account.Member) (options []views.Option, err error) {
	members, err := s.accounts.Members(r.Context(), m.Workspace.ID)
	for _, member := range members {
		if member.Can(account.EditKeys) && member.User.DisabledAt == nil {
			options = append(options, views.Option{Value: member.User.ID.String(), Label: member.User.Name})
		}
	}
	return options, err
}

func batchPage(r keyring.Report) views.KeyBatchPage {
	page := views.KeyBatchPage{
		ID: r.ID.String(), Action: string(r.Action), Began: r.BeganAt != nil, Keys: r.Keys, Left: r.Left(), Ready: r.Ready(), Busy: r.Busy, Came: r.Came,
		Foreign: r.Foreign, Needless: r.Needless, LatestUse: r.LatestUse, OwnerName: r.OwnerName, Done: r.Outcomes[keyring.Done],
	}
	if r.UndoneBy != nil {
		page.UndoneBy = r.UndoneBy.String()
	}
	for _, outcome := range []keyring.Outcome{keyring.Pending, keyring.Used, keyring.Changed, keyring.NotOwn, keyring.Unchanged, keyring.Done} {
		group := views.BatchGroup{Outcome: string(outcome), Total: r.Outcomes[outcome]}
		for _, key := range r.Shown {
			if key.Outcome == outcome {
				group.Keys = append(group.Keys, views.BatchKey{ID: key.ID.String(), Name: key.Name, Busy: key.Busy, LastUsedAt: key.LastUsedAt})
			}
		}
		if group.Total > 0 {
			page.Groups = append(page.Groups, group)
		}
	}
	return page
}

// runBatch does a batch, part by part. Keys in use ask for their number first,
// which is checked here again, whatever the page did. Pressed twice, it does what
// is left, which is nothing.
func (s *Server) runBatch(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	by := s.actor(r, m)
	report, err := s.keys.ReportOn(r.Context(), by, batchID(r))
	if err != nil {
		return err
	}
	if problem := confirmed(report, r.PostForm.Get("confirm")); problem != "" {
		return s.renderBatch(w, r, m, http.StatusUnprocessableEntity, map[string]string{"confirm": problem})
	}
	press := keyring.Press{Owner: idIn(r.PostForm, "owner"), Used: map[uuid.UUID]bool{}}
	// A request that was let in just before is in the counts, and in no row yet.
	used, err := s.events.UsedSince(r.Context(), m.Workspace.ID, report.MadeAt.Add(-5*time.Second))
	if err != nil {
		return err
	}
	for _, id := range used {
		press.Used[id] = true
	}
	for left := 1; left > 0; {
		left, err = s.keys.Advance(r.Context(), by, report.ID, press)
		if f, ok := fault.Of(err); err != nil && ok && f.Field == "owner" {
			return s.renderBatch(w, r, m, http.StatusUnprocessableEntity, map[string]string{"owner": f.Message})
		}
		if err != nil {
			return err
		}
	}
	return redirect(w, r, batchPath(m, report.ID))
}

// confirmed says what is wrong with the number that was typed, where one is asked for.
func confirmed(report keyring.Report, typed string) string {
	if report.Action != keyring.BatchDeactivate || report.Busy == 0 || report.BeganAt != nil {
		return ""
	}
	switch typed = strings.NewReplacer(",", "", " ", "", "\u00a0", "", ".", "").Replace(typed); typed {
	case strconv.Itoa(report.Ready()):
		return ""
	case "":
		return "Type the number of keys to confirm."
	}
	return "That is not how many keys they are. Type the number as it stands above."
}

// undoBatch takes a deactivation back.
func (s *Server) undoBatch(w http.ResponseWriter, r *http.Request, m account.Member) error {
	by := s.actor(r, m)
	id, err := s.keys.Undo(r.Context(), by, batchID(r))
	for left := 1; err == nil && left > 0; {
		left, err = s.keys.Advance(r.Context(), by, id, keyring.Press{})
	}
	if err != nil {
		return err
	}
	return redirect(w, r, batchPath(m, id))
}
