package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
	"keyhook/views"
)

var rateSeconds = map[string]int{"second": 1, "minute": 60, "hour": 3600}

// readKeyForm reads what was typed, as it was typed.
func readKeyForm(r *http.Request) views.KeyForm {
	get := r.PostFormValue
	return views.KeyForm{
		Name: get("name"), Scheme: get("scheme"), Source: get("source"), Owner: get("owner"), Expiry: get("expires"), ExpiresOn: get("expires_on"),
		RequireSignature: get("require_signature") != "", AllowInURL: get("allow_in_url") != "",
		AllowedCIDRs: get("allowed_cidrs"), OtherSources: get("other_sources"), RateLimit: get("rate_limit"), RatePer: get("rate_per"),
		DailyQuota: get("daily_quota"), RefPointer: get("ref_pointer"), IdenticalBodies: get("identical_bodies"), Log: get("log"),
		Note: get("note"), Labels: get("labels"), Give: get("give"), Nonce: get("form_nonce"), Seen: get("seen"),
	}
}

// draftOf turns a form into a draft. keep is the date that an edit may leave as
// it is. What can't even be turned is told by field.
func draftOf(form views.KeyForm, keep *time.Time, now time.Time) (keyring.Draft, map[string]string) {
	wrong := map[string]string{}
	draft := keyring.Draft{
		Name: form.Name, Source: form.Source, Note: form.Note, Labels: strings.Split(form.Labels, ","),
		RequireSignature: form.RequireSignature, AllowInURL: form.AllowInURL,
		AllowedCIDRs: lines(form.AllowedCIDRs), OtherSources: lines(form.OtherSources),
		RateSeconds: rateSeconds[form.RatePer], RefPointer: form.RefPointer, IdenticalBodies: form.IdenticalBodies, Log: form.Log,
	}
	suit(&draft, form.Scheme)
	if form.IdenticalBodies == "store" {
		draft.IdenticalBodies = "flag"
	}
	if form.Owner != "" {
		if id, err := uuid.Parse(form.Owner); err != nil {
			wrong["owner"] = "Choose an owner from the list."
		} else {
			draft.OwnerID = &id
		}
	}
	draft.RateLimit = number(form.RateLimit, "rate_limit", wrong)
	draft.DailyQuota = number(form.DailyQuota, "daily_quota", wrong)
	draft.ExpiresAt = expiry(form, keep, now, wrong)
	return draft, wrong
}

// suit gives the draft the scheme that was chosen, and drops what the form does
// not show for it.
func suit(draft *keyring.Draft, choice string) {
	draft.Scheme = choice
	if choice == "url" {
		draft.Scheme, draft.AllowInURL, draft.RequireSignature = signature.Generic, true, false
		return
	}
	info := schemeInfo(choice)
	draft.RequireSignature = draft.RequireSignature && info.CanDemand
	draft.AllowInURL = draft.AllowInURL && info.CanURL
	if !info.KeysRef {
		draft.RefPointer = ""
	}
}

func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' || r == ',' })
}

func number(text, field string, wrong map[string]string) *int {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		wrong[field] = "Write a whole number from 1, or nothing for no limit."
		return nil
	}
	return &n
}

// expiry returns the moment that a form's choice stands for. A date means its
// end, in UTC.
func expiry(form views.KeyForm, keep *time.Time, now time.Time, wrong map[string]string) *time.Time {
	var at time.Time
	switch form.Expiry {
	case "30d":
		at = now.AddDate(0, 0, 30)
	case "90d":
		at = now.AddDate(0, 0, 90)
	case "1y", "":
		at = now.AddDate(1, 0, 0)
	case "never":
		return nil
	case "keep":
		return keep
	case "date":
		day, err := time.Parse(time.DateOnly, strings.TrimSpace(form.ExpiresOn))
		if err != nil {
			wrong["expires_on"] = "Write a date such as 2027-01-31."
			return nil
		}
		if at = endOfDay(day); at.Before(now) {
			wrong["expires_on"] = "That day is over."
		}
		return &at
	default:
		wrong["expires"] = "Choose when the key expires."
		return nil
	}
	at = endOfDay(at)
	return &at
}

func endOfDay(day time.Time) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day(), 23, 59, 59, 0, time.UTC)
}

// formOf fills the form with a key as it is.
func formOf(key keyring.Key) views.KeyForm {
	form := views.KeyForm{
		Name: key.Name, Scheme: key.Scheme, Source: key.Source, Expiry: "keep", RequireSignature: key.RequireSignature, AllowInURL: key.AllowInURL,
		AllowedCIDRs: strings.Join(key.AllowedCIDRs, "\n"), OtherSources: strings.Join(key.OtherSources, "\n"),
		RatePer: perOf(key.RateSeconds), RefPointer: key.RefPointer, IdenticalBodies: bodiesOf(key), Log: key.Log, Note: key.Note,
		Labels: strings.Join(key.Labels, ", "), Seen: key.Edition(),
	}
	if key.OwnerID != nil {
		form.Owner = key.OwnerID.String()
	}
	if key.RateLimit != nil {
		form.RateLimit = strconv.Itoa(*key.RateLimit)
	}
	if key.DailyQuota != nil {
		form.DailyQuota = strconv.Itoa(*key.DailyQuota)
	}
	if key.ExpiresAt == nil {
		form.Expiry = "never"
	} else {
		form.ExpiresOn = key.ExpiresAt.UTC().Format(time.DateOnly)
	}
	return form
}

func perOf(seconds int) string {
	for name, n := range rateSeconds {
		if n == seconds {
			return name
		}
	}
	return "minute"
}

func bodiesOf(key keyring.Key) string {
	if key.IdenticalBodies == "duplicate" {
		return "duplicate"
	}
	return "store"
}

// owners are who may answer for a key of the workspace.
func (s *Server) owners(r *http.Request, m account.Member) ([]views.Option, error) {
	members, err := s.accounts.Members(r.Context(), m.Workspace.ID)
	if err != nil {
		return nil, err
	}
	var options []views.Option
	for _, member := range members {
		options = append(options, views.Option{Value: member.User.ID.String(), Label: member.User.Name})
	}
	return options, nil
}

// withOwnerOf puts the owner that a key has first among the choices where the list
// lacks them: nobody, or somebody who left. A list without what is chosen now would
// have the browser choose its first person, and a mere rename give them the key.
func withOwnerOf(key keyring.Key, owners []views.Option) []views.Option {
	now := views.Option{Label: "No owner"}
	if key.OwnerID != nil {
		now = views.Option{Value: key.OwnerID.String(), Label: "Former member (" + key.OwnerName + "), unchanged"}
	}
	if slices.ContainsFunc(owners, func(o views.Option) bool { return o.Value == now.Value }) {
		return owners
	}
	return append([]views.Option{now}, owners...)
}

// blame adds what a fault says to a form. It reports whether the fault is about
// the form at all.
func blame(form *views.KeyForm, err error) (status int, ok bool) {
	f, known := fault.Of(err)
	if !known || f.Kind != fault.Invalid && f.Kind != fault.Conflict {
		return 0, false
	}
	if form.Errors == nil {
		form.Errors = map[string]string{}
	}
	for field, message := range f.Fields() {
		form.Errors[field] = message
	}
	if f.Field == "" {
		form.Message = f.Message
	}
	return http.StatusUnprocessableEntity, true
}
