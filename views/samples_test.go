package views_test

import (
	"fmt"
	"maps"
	"time"

	"github.com/a-h/templ"

	"keyhook/views"
)

const (
	apiKey = "khk_9VxrT4mQz7LhW2cJ8sKdPf3Yb2NeAq0Zk1Xy5R"
	secret = "whsec_5tGm1XqRv0ZpLc8Hn4WyAe7KuJd2BsFo6TiQx3Vz9N="
	keyID  = "019b0a4e-7c11-7d52-9a51-0f6f7e4c2b10"
	slug   = "harbour-pine"
)

func sample(title, path, theme string) views.Page {
	return views.Page{
		Title: title, Nonce: "n0nce", Theme: theme, Path: path, Now: now,
		User:      views.Person{Name: "Ada Okonkwo", Email: "ada@harbourpine.example", Role: "owner"},
		Workspace: views.WorkspaceRef{Name: "Harbour & Pine", Slug: slug},
		Workspaces: []views.WorkspaceLink{
			{Name: "Harbour & Pine", Slug: slug, Current: true}, {Name: "Sandbox", Slug: "sandbox"},
		},
		KeyCount: 7, CanCreateKeys: true, CanCreateWorkspaces: true,
	}
}

func bare(title, path, theme string) views.Page {
	return views.Page{Title: title, Nonce: "n0nce", Theme: theme, Path: path, Now: now}
}

func counts(n int, step time.Duration, scale int64) []views.Count {
	var counts []views.Count
	for i := range n {
		c := views.Count{From: now.Add(time.Duration(i-n) * step).Truncate(step)}
		wave := int64((i*7)%13 + 2)
		c.Accepted = wave * scale
		if i%5 == 0 {
			c.Duplicate = wave * scale / 10
		}
		if i%6 == 3 {
			c.Refused = 1 + scale/20
		}
		counts = append(counts, c)
	}
	return counts
}

func keyRows() []views.KeyRow {
	return []views.KeyRow{
		{ID: keyID, Name: "Warehouse scanner fleet", Hint: "khk_Tz8k…u5Gd", Scheme: "generic", Status: views.KeyActive, Labels: []string{"production", "warehouse"}, Owner: "Mateo Lindqvist", CreatedBy: "Mateo Lindqvist", LastUsedAt: at(3 * time.Second), Hours: counts(24, time.Hour, 120)},
		{ID: "019b0a4e-7c11-7d52-9a51-0f6f7e4c2b11", Name: "Stripe billing ledger for the European subsidiaries", Hint: "khk_7Qm2…x9Lf", Scheme: "generic", Status: views.KeyExpiring, ExpiresAt: at(-6 * 24 * time.Hour), Owner: "Ada Okonkwo", CreatedBy: "Priya Raman", LastUsedAt: at(8 * time.Second), Hours: counts(24, time.Hour, 50)},
		{ID: "019b0a4e-7c11-7d52-9a51-0f6f7e4c2b12", Name: "Carrier ETA feed", Hint: "khk_c6Wn…Zk0P", Scheme: "generic", Status: views.KeyExpiring, ExpiresAt: at(-30 * time.Hour), Owner: "Priya Raman", CreatedBy: "", LastUsedAt: at(4 * time.Minute), Hours: counts(24, time.Hour, 9)},
		{ID: "019b0a4e-7c11-7d52-9a51-0f6f7e4c2b13", Name: "Typeform onboarding survey", Hint: "khk_P0aq…7cYd", Scheme: "generic", Status: views.KeyNeverUsed, ExpiresAt: at(-87 * 24 * time.Hour), Owner: "Priya Raman", CreatedBy: "Priya Raman"},
		{ID: "019b0a4e-7c11-7d52-9a51-0f6f7e4c2b14", Name: "PagerDuty incidents", Hint: "khk_e1Xs…M4jv", Scheme: "generic", Status: views.KeyIdle, Owner: "", CreatedBy: "", LastUsedAt: at(40 * 24 * time.Hour), Hours: []views.Count{{Accepted: 1}, {Refused: 2}}},
		{ID: "019b0a4e-7c11-7d52-9a51-0f6f7e4c2b15", Name: "Zapier sandbox", Hint: "khk_2KdF…w3Bo", Scheme: "generic", Status: views.KeyInactive, Owner: "Ada Okonkwo", CreatedBy: "Ada Okonkwo", LastUsedAt: at(21 * 24 * time.Hour)},
		{ID: "019b0a4e-7c11-7d52-9a51-0f6f7e4c2b16", Name: "Load-test rig", Scheme: "generic", Status: views.KeyExpired, ExpiresAt: at(24 * time.Hour), Owner: "Mateo Lindqvist", CreatedBy: "Mateo Lindqvist"},
	}
}

func keysPage(theme string) views.KeysPage {
	return views.KeysPage{
		Page: sample("Keys", "/w/"+slug+"/keys", theme), Rows: keyRows(), Total: 7, CanEdit: true,
		Counts: views.KeyCounts{All: 7, Active: 5, Expiring: 2, NeverUsed: 1, Idle: 1, Inactive: 2},
		Stats:  views.KeyStats{Requests: 50976, Refused: 65, NextExpiresAt: at(-30 * time.Hour)},
	}
}

// batchPage is a batch of four keys, three of which are done if it began.
func batchPage(theme, action string, began bool) views.KeyBatchPage {
	p := views.KeyBatchPage{
		Page: sample("Keys", "/w/"+slug+"/batches/"+keyID, theme), ID: keyID, Action: action, Began: began, Keys: 4, OwnerName: "Priya Raman",
		Owners: owners, LatestUse: at(8 * time.Second),
	}
	keys := []views.BatchKey{{ID: keyID, Name: "Warehouse scanner fleet", Busy: true, LastUsedAt: at(8 * time.Second)}, {ID: keyID, Name: "Load-test rig"}}
	if !began {
		p.Left, p.Ready, p.Busy, p.Foreign, p.Needless, p.Came = 4, 1, 1, 1, 1, 1
		p.Errors = map[string]map[string]string{"deactivate": {"confirm": "Type the number of keys to confirm."}, "owner": {"owner": "Choose who answers for the keys."}}[action]
		p.Groups = []views.BatchGroup{{Total: 4, Keys: keys}}
		return p
	}
	p.Done = 3
	p.Groups = []views.BatchGroup{{Outcome: "not_own", Total: 1, Keys: keys[:1]}, {Outcome: "done", Total: 3, Keys: keys}}
	return p
}

func keyForm() views.KeyForm {
	return views.KeyForm{
		Scheme: "generic", Owner: "1", Expiry: "1y", RatePer: "minute", IdenticalBodies: "store", Log: "full", Nonce: "form-nonce",
	}
}

var owners = []views.Option{{Value: "1", Label: "Ada Okonkwo"}, {Value: "2", Label: "Mateo Lindqvist"}}

func wrongForm() views.KeyForm {
	form := keyForm()
	form.Name, form.AllowedCIDRs, form.RateLimit, form.Expiry, form.DailyQuota = "Warehouse", "10.0.0.0/33", "many", "date", "-1"
	form.Errors = map[string]string{
		"name": "Another key has that name. Add what makes this one different.", "allowed_cidrs": "Line 1: “10.0.0.0/33” is not a range. IPv4 prefixes go up to /32.",
		"rate_limit": "Write a number, or leave it empty for no limit.", "expires_on": "Choose a day.", "expires": "That day is not in the future.", "daily_quota": "Write a number above 0.",
		"scheme": "Choose who sends.", "secret": "A signing secret has 16 to 1024 characters on one line.",
		"source": "Another key has that source.", "owner": "That person is not a member.", "note": "That note is too long.", "require_signature": "No.", "identical_bodies": "Choose one.", "log": "Choose one.",
	}
	return form
}

// schemes are two of them, as pages get them.
func schemes() []views.SchemeInfo {
	return []views.SchemeInfo{genericScheme(), {
		Name: "stripe", Title: "Stripe", Group: "service", Summary: "Event destinations of Stripe accounts.", Signed: "HMAC-SHA256 of t, full stop and the raw body.",
		Example: []string{"Stripe-Signature: t=1767225600,v1=…"}, Key: "The HMAC key is the whole secret as text.", Ref: "id in the body.", Retries: "Stripe tries again for up to 3 days, in live mode.",
		Find: "Stripe shows the signing secret once the endpoint exists.", Steps: []string{"Add a destination.", "Reveal the signing secret."}, Timestamped: true,
	}}
}

func genericScheme() views.SchemeInfo {
	return views.SchemeInfo{
		Name: "generic", Title: "Keyhook’s own", Group: "code", Summary: "An API key in a header, or a signature over the body.", Signed: "HMAC-SHA256 of the raw body.",
		Example: []string{"X-Webhook-Signature: sha256=…"}, Key: "The HMAC key is the whole secret as text.", Ref: "The Idempotency-Key header.", Retries: "Up to your code.",
		Find: "Keyhook makes it.", Steps: []string{"Send each event."}, HasAPIKey: true, MakesSecret: true, CanDemand: true, CanURL: true, KeysRef: true,
	}
}

func createdPage(theme string) views.KeyCreatedPage {
	return views.KeyCreatedPage{
		Page: sample("Save these credentials", "/w/"+slug+"/keys", theme), KeyID: keyID, Name: "Warehouse returns desk", Hint: "khk_9Vxr…Xy5R",
		HookURL: "https://hooks.harbourpine.example/hooks/" + keyID, SignalsURL: "https://hooks.harbourpine.example/api/webhooks/signals", WorkspaceID: keyID,
		APIKey: apiKey, Secret: secret, Scheme: genericScheme(), First: views.FirstRequestPart{Nonce: "n0nce", Slug: slug, KeyID: keyID, State: "waiting"},
	}
}

func keyFacts() views.KeyFacts {
	return views.KeyFacts{
		ID: keyID, Name: "Warehouse scanner fleet", Hint: "khk_Tz8k…u5Gd", Fingerprint: "4fa1 09c3", Scheme: genericScheme(), Status: views.KeyExpiring, Active: true,
		Source: "warehouse-scanner-fleet", Owner: "Mateo Lindqvist", CreatedAt: *at(300 * 24 * time.Hour), LastUsedAt: at(8 * time.Second), LastRefusedAt: at(2 * time.Hour), ExpiresAt: at(-6 * 24 * time.Hour),
		RequireSignature: false, AllowInURL: true, AllowedCIDRs: []string{"23.227.38.0/24", "2620:127:f00f::/48"}, OtherSources: []string{"returns"}, RateLimit: 600, RatePer: "minute",
		RefPointer: "/event/id", IdenticalBodies: "store", Log: "headers", Note: "Runs on the handhelds in hall 3.\nAsk Mateo before changing anything.", Labels: []string{"production", "warehouse"},
	}
}

func deliveries() views.KeyDeliveriesPart {
	return views.KeyDeliveriesPart{Nonce: "n0nce", Slug: slug, KeyID: keyID, Now: now, Rows: []views.DeliveryRow{
		{ID: "1", At: *at(5 * time.Second), Outcome: "refused", Reason: "The body was signed with another secret, or changed on the way.", EventType: "inventory/update", SourceRef: "gid-88213021", Address: "23.227.38.12", Took: 900 * time.Microsecond, Size: 512},
		{ID: "2", At: *at(9 * time.Second), Outcome: "accepted", EventType: "orders/create", SourceRef: "gid-88213063", Address: "2620:127:f00f:0:aa12:bb34:cc56:dd78", Took: 9 * time.Millisecond, Size: 5500},
		{ID: "3", At: *at(time.Minute), Outcome: "duplicate", Reason: "Same body as gid-88213063", SourceRef: "0f6f7e4c-2b10-4d52-9a51-a-very-long-reference-of-a-sender-that-likes-them", Address: "23.227.38.12", Took: 3 * time.Millisecond, Size: 5500},
		{ID: "4", At: *at(20 * time.Hour), Outcome: "accepted", Address: "23.227.38.12", Took: 2 * time.Millisecond, Size: 12},
	}}
}

func keyPage(theme string) views.KeyPage {
	return views.KeyPage{
		Page: sample("Warehouse scanner fleet", "/w/"+slug+"/keys/"+keyID, theme), Key: keyFacts(),
		HookURL: "https://hooks.harbourpine.example/hooks/" + keyID, SignalsURL: "https://hooks.harbourpine.example/api/webhooks/signals", WorkspaceID: keyID,
		Usage: views.Usage{Range: "7d", Bars: counts(42, 4*time.Hour, 150)}, Deliveries: deliveries(), CanEdit: true, InUse: true,
		Trail: []views.TrailEntry{
			{At: *at(46 * time.Hour), Action: "key.edited", Actor: "Mateo Lindqvist", Address: "198.51.100.7", Changes: []views.Change{{Field: "allowed_cidrs", After: "23.227.38.0/24"}, {Field: "name", Before: "Scanners", After: "Warehouse scanner fleet"}}},
			{At: *at(300 * 24 * time.Hour), Action: "key.created", Actor: "Olu Adeyemi", ActorGone: true, Address: "198.51.100.7"},
		},
	}
}

func deactivatePage(theme string) views.KeyDeactivatePage {
	return views.KeyDeactivatePage{
		Page: sample("Deactivate Warehouse scanner fleet", "/w/"+slug+"/keys/"+keyID+"/deactivate", theme), KeyID: keyID, KeyName: "Warehouse scanner fleet",
		InUse: true, Requests: 8107, LastUsedAt: at(8 * time.Second), Error: "That is not the key’s name.",
		Senders: []views.Sender{{Address: "23.227.38.12", UserAgent: "scanner/4.1 (fleet; hall 3)", Requests: 8000, LastAt: now}, {Address: "23.227.38.13", UserAgent: "curl/8.5", Requests: 107, LastAt: now}},
	}
}

// pages are all pages with sample data.
func pages(theme string) map[string]templ.Component {
	all := map[string]templ.Component{}
	maps.Copy(all, accountPages(theme))
	maps.Copy(all, keyPages(theme))
	maps.Copy(all, peoplePages(theme))
	all["usage"], all["usage-empty"] = views.UsageOfWorkspace(usagePage(theme)), views.UsageOfWorkspace(views.UsagePage{Page: sample("Usage", "/w/"+slug+"/usage", theme)})
	docs := bare("Sending webhooks", "/docs/send", theme)
	all["docs-send"] = views.DocsSend(views.DocsPage{Page: docs, Schemes: schemes(), BaseURL: "https://hooks.harbourpine.example", MaxBody: "1 MiB"})
	docs.Path = "/docs/errors"
	all["docs-errors"] = views.DocsErrors(views.DocsPage{Page: docs, BaseURL: "https://hooks.harbourpine.example", MaxBody: "1 MiB"})
	return all
}

func usagePage(theme string) views.UsagePage {
	page := views.UsagePage{Page: sample("Usage", "/w/"+slug+"/usage", theme), OtherKeys: 48, Others: views.Count{Accepted: 12}}
	page.Usage = views.Usage{
		Range: "90d", Bars: counts(45, 48*time.Hour, 150), NotKept: 3, Answer: views.Answer{Half: views.Within{Level: 3, Milliseconds: 4}, Most: views.Within{Level: 12, Milliseconds: 1024, Over: true}},
		Reasons: []views.ReasonCount{{Reason: "signature_wrong", Explanation: "The proof does not hold.", Requests: 40, Deliveries: "/w/" + slug + "/deliveries?reason=signature_wrong"}, {Reason: "api_key_of_the_future", Requests: 1}},
	}
	for i := range page.Usage.Bars {
		page.Usage.Bars[i].Deliveries = "/w/" + slug + "/deliveries?from=x"
		page.Usage.Answers = append(page.Usage.Answers, page.Usage.Answer)
	}
	for _, row := range keyRows() {
		page.Keys = append(page.Keys, views.KeyShare{ID: row.ID, Name: row.Name, Count: views.Count{Accepted: 1000, Refused: 3}})
	}
	return page
}

func accountPages(theme string) map[string]templ.Component {
	wrong := map[string]string{"email": "Write an e-mail address.", "password": "Use 12 characters or more.", "name": "Write your name.", "workspace": "Write a name.", "current": "That is not your password."}
	plain := bare("Sign in", "/sign-in", theme)
	plain.InsecureNotice = "This page is open over plain http. Passwords and keys can be read on the way."
	problem := views.ProblemPage{Page: sample("Not found", "/w/x", theme), Status: 404, Heading: "There is no such page", Message: "It may belong to a workspace that you are not a member of.", RequestID: keyID, NextURL: "/", NextLabel: "Go to your keys"}
	noWorkspace := sample("Workspaces", "/workspaces", theme)
	noWorkspace.Workspace, noWorkspace.Workspaces = views.WorkspaceRef{}, nil
	return map[string]templ.Component{
		"set-up":             views.SetUp(views.SetUpPage{Page: bare("Set up Keyhook", "/setup", theme), Token: "token"}),
		"set-up-errors":      views.SetUp(views.SetUpPage{Page: bare("Set up Keyhook", "/setup", theme), Token: "token", Errors: wrong}),
		"set-up-gone":        views.SetUpGone(views.GonePage{Page: bare("Set-up link", "/setup", theme)}),
		"sign-in":            views.SignIn(views.SignInPage{Page: bare("Sign in", "/sign-in", theme)}),
		"sign-in-errors":     views.SignIn(views.SignInPage{Page: plain, Message: "E-mail or password is wrong."}),
		"password-link":      views.PasswordLink(views.PasswordLinkPage{Page: bare("Choose a password", "/password", theme), Email: "ada@harbourpine.example"}),
		"password-link-gone": views.PasswordLinkGone(views.GonePage{Page: bare("Password link", "/password", theme)}),
		"change-password":    views.ChangePassword(views.ChangePasswordPage{Page: sample("Change password", "/account/password", theme), Errors: map[string]string{"current": wrong["current"]}}),
		"workspace-new":      views.WorkspaceNew(views.WorkspaceNewPage{Page: sample("New workspace", "/workspaces/new", theme)}),
		"workspaces":         views.WorkspaceList(views.WorkspacesPage{Page: sample("Workspaces", "/workspaces", theme), Items: []views.WorkspaceItem{{Name: "Harbour & Pine", Slug: slug, Role: "owner"}, {Name: "Sandbox", Slug: "sandbox", Role: "auditor"}}}),
		"workspaces-empty":   views.WorkspacesEmpty(views.WorkspacesPage{Page: noWorkspace}),
		"problem":            views.Problem(problem),
		"problem-bare":       views.Problem(views.ProblemPage{Page: bare("Not found", "/x", theme), Status: 404, Heading: "There is no such page", Message: "Check the address."}),
	}
}

func keyPages(theme string) map[string]templ.Component {
	full := keysPage(theme)
	full.Flash = views.Flash{Text: "Zapier sandbox is deactivated.", Undo: "/w/" + slug + "/keys/1/reactivate", UndoLabel: "Undo"}
	empty := keysPage(theme)
	empty.Rows, empty.Counts, empty.Stats = nil, views.KeyCounts{}, views.KeyStats{}
	noMatch := keysPage(theme)
	noMatch.Rows, noMatch.Query, noMatch.Status = nil, "zendesk", "active"
	byURL := createdPage(theme)
	byURL.AllowInURL, byURL.RequireSignature = true, true
	byURL.First.State, byURL.First.At, byURL.First.Reason = "refused", now, "The signature does not match the body."
	inactive := keyPage(theme)
	inactive.Key.Active, inactive.Key.Status, inactive.Key.Owner, inactive.Deliveries.Rows, inactive.Usage = false, views.KeyInactive, "", nil, views.Usage{Range: "24h", Bars: counts(24, time.Hour, 0)}
	edit := views.KeyEditPage{Page: sample("Edit", "/w/"+slug+"/keys/"+keyID+"/edit", theme), KeyID: keyID, KeyName: "Warehouse scanner fleet", ExpiresAt: at(-6 * 24 * time.Hour), Form: keyForm(), Owners: owners, Scheme: genericScheme(), HookURL: "https://hooks.harbourpine.example"}
	edit.Form.Name, edit.Form.Expiry = "Warehouse scanner fleet", "keep"
	missing := keyPage(theme)
	missing.Key.Scheme, missing.Key.LacksSecret, missing.Key.Fingerprint, missing.Key.Hint = schemes()[1], true, "", ""
	missing.Errors = map[string]string{"secret": "A signing secret has 16 to 1024 characters on one line."}
	service := createdPage(theme)
	service.Scheme, service.APIKey, service.Warnings = schemes()[1], "", []string{"Another key has the same secret."}
	idle := deactivatePage(theme)
	idle.InUse = false
	all := handoverPages(theme)
	maps.Copy(all, memberPages(theme))
	maps.Copy(all, map[string]templ.Component{
		"batch-ask": views.KeyBatch(batchPage(theme, "deactivate", false)), "batch-done": views.KeyBatch(batchPage(theme, "deactivate", true)),
		"batch-owner": views.KeyBatch(batchPage(theme, "owner", false)), "batch-back": views.KeyBatch(batchPage(theme, "reactivate", true)),
		"keys": views.Keys(keysPage(theme)), "keys-flash": views.Keys(full), "keys-empty": views.Keys(empty), "keys-no-match": views.Keys(noMatch),
		"key-new":           views.KeyNew(views.KeyNewPage{Page: sample("Create key", "/w/"+slug+"/keys/new", theme), Form: keyForm(), Owners: owners, Schemes: schemes(), HookURL: "https://hooks.harbourpine.example"}),
		"key-new-errors":    views.KeyNew(views.KeyNewPage{Page: sample("Create key", "/w/"+slug+"/keys", theme), Form: wrongForm(), Owners: owners, Schemes: schemes(), HookURL: "https://hooks.harbourpine.example"}),
		"key-edit":          views.KeyEdit(edit),
		"key-created":       views.KeyCreated(createdPage(theme)),
		"key-created-url":   views.KeyCreated(byURL),
		"key-already-shown": views.KeyAlreadyShown(views.KeyAlreadyShownPage{Page: sample("Already shown", "/w/"+slug+"/keys", theme), KeyID: keyID, Name: "Warehouse returns desk", Hint: "khk_9Vxr…Xy5R", CreatedAt: now, ShownTo: "Ada Okonkwo", ShownAt: now}),
		"key":               views.Key(keyPage(theme)), "key-inactive": views.Key(inactive), "key-secret-missing": views.Key(missing),
		"key-created-service": views.KeyCreated(service),
		"key-deactivate":      views.KeyDeactivate(deactivatePage(theme)), "key-deactivate-idle": views.KeyDeactivate(idle),
	})
	return all
}

// handoverPages are both sides of a hand-over link.
func handoverPages(theme string) map[string]templ.Component {
	link := views.HandoverFacts{ID: keyID, Recipient: "Priya Raman", MadeBy: "Ada Okonkwo", MadeAt: now, Until: now, State: views.LinkWaiting}
	facts := views.HandedFacts{
		LinkPath: "/handover/" + keyID, Team: "Harbour & Pine", MadeBy: "Ada Okonkwo", KeyID: keyID, KeyName: "Warehouse returns desk", Recipient: "Priya Raman", Scheme: genericScheme(),
		HookURL: "https://hooks.harbourpine.example/hooks/" + keyID, Until: now, MadeAt: now, Replaces: true, Overlap: 24 * time.Hour, Status: views.KeyActive,
		Credentials: []views.HandedCredential{{What: "api_key", Works: true}, {What: "secret", Works: true}}, Working: true,
	}
	refused := views.HandedRow{ID: keyID, At: now, Outcome: "refused", Status: 403, Reason: "The address is not allowed.", AskMaker: true, Section: "forbidden", Address: "192.0.2.1", Allowed: []string{"198.51.100.0/24"}}
	frame := bare("Warehouse returns desk", "/handover/"+keyID, theme)
	created := createdPage(theme)
	created.Page, created.First.Link = frame, facts.LinkPath
	return map[string]templ.Component{
		"handover":      views.HandOver(views.HandoverPage{Page: sample("Hand over", "/w/"+slug+"/keys", theme), KeyID: keyID, KeyName: "Warehouse returns desk", Scheme: genericScheme(), Replaces: true, Waiting: &link, Form: views.HandoverForm{Overlap: "24h"}}),
		"handover-made": views.HandoverMade(views.HandoverMadePage{Page: sample("Send this link", "/w/"+slug+"/keys", theme), KeyID: keyID, KeyName: "Warehouse returns desk", Scheme: genericScheme(), Link: link, URL: "https://keyhook.harbourpine.example/handover/x?token=" + apiKey}),
		"handed-ask":    views.HandedAsk(views.HandedPage{Page: frame, HandedFacts: facts}),
		"handed-shown":  views.HandedShown(views.HandedShownPage{KeyCreatedPage: created, Path: facts.LinkPath, MadeBy: "Ada Okonkwo"}),
		"handed-status": views.HandedStatus(views.HandedPage{Page: frame, HandedFacts: facts, Rows: []views.HandedRow{refused}, LastRefused: &refused, LastAccepted: &now}),
		"handed-over":   views.HandedOver(views.HandedPage{Page: frame, HandedFacts: facts}),
		"handed-gone":   views.HandedGone(views.GonePage{Page: frame}),
	}
}

// memberPages are those about who belongs to a workspace, and about the workspace.
func memberPages(theme string) map[string]templ.Component {
	roles := []views.Option{{Value: "admin", Label: "Admin"}, {Value: "member", Label: "Member"}, {Value: "auditor", Label: "Auditor"}}
	frame := func(title, path string) views.Page { return sample(title, "/w/"+slug+path, theme) }
	members := views.MembersPage{Page: frame("Members", "/members"), CanLeave: true, CanGive: true, Rows: []views.MemberRow{
		{ID: "1", Name: "Ada Okonkwo", Email: "ada@harbourpine.example", Role: "owner", RoleName: "Owner", You: true, Made: 3, LastSeenAt: &now, Strength: views.WithCode},
		{ID: "2", Name: "Priya Raman", Email: "priya@harbourpine.example", Role: "auditor", RoleName: "Auditor", Roles: roles, CanRemove: true, Answers: 2, LastSeenAt: at(4 * time.Hour), Strength: views.PasswordOnly},
	}, Invited: []views.InvitationRow{{ID: "3", Email: "lena@harbourpine.example", RoleName: "Member", By: "Ada Okonkwo", Until: now, CanManage: true}, {ID: "4", Email: "old@harbourpine.example", RoleName: "Owner", By: "Ada Okonkwo", Expired: true}}}
	members.CanManageMembers = true
	left := int64(120_000)
	invitation := views.InvitationPage{Page: bare("Join Harbour & Pine", "/invitation", theme), Team: "Harbour & Pine", By: "Ada Okonkwo", Email: "lena@harbourpine.example", RoleName: "Member", Until: now}
	other, known, own := invitation, invitation, invitation
	other.SignedIn, known.Account, own.SignedIn = "eve@harbourpine.example", true, invitation.Email
	invitation.Errors = map[string]string{"name": "Write a name."}
	return map[string]templ.Component{
		"members":       views.Members(members),
		"member-remove": views.MemberRemove(views.MemberRemovePage{Page: frame("Remove", "/members/2/remove"), ID: "2", Name: "Priya Raman", Email: "priya@harbourpine.example", RoleName: "Auditor", Answers: 2}),
		"leave":         views.Leave(views.LeavePage{Page: frame("Leave", "/members/leave")}),
		"give":          views.Give(views.GivePage{Page: frame("Hand over", "/members/handover"), Heirs: []views.Option{{Value: "2", Label: "Priya Raman, Auditor"}}, Errors: map[string]string{"to": "Choose who becomes the owner."}}),
		"give-nobody":   views.Give(views.GivePage{Page: frame("Hand over", "/members/handover")}),
		"invite":        views.Invite(views.InvitePage{Page: frame("Invite people", "/invitations/new"), Emails: "x", Role: "member", Roles: roles, Errors: map[string]string{"emails": "Line 1, “x”, is no e-mail address like ada@example.com."}}),
		"invited": views.Invited(views.InvitedPage{Page: frame("Invited", "/invitations"), Until: now, Links: []views.InvitedLink{
			{Email: "lena@harbourpine.example", RoleName: "Member", URL: "https://keyhook.harbourpine.example/invitation?token=" + apiKey, Mailed: true},
			{Email: "old@harbourpine.example", RoleName: "Member", URL: "https://keyhook.harbourpine.example/invitation?token=" + secret, Problem: "the mail server refused the address"},
		}}),
		"invitation": views.Invitation(invitation), "invitation-other": views.Invitation(other), "invitation-known": views.Invitation(known), "invitation-own": views.Invitation(own),
		"invitation-gone":  views.InvitationGone(views.GonePage{Page: bare("This invitation no longer works", "/invitation", theme)}),
		"settings":         views.Settings(views.SettingsPage{Page: frame("Settings", "/settings"), Name: "Harbour & Pine", CanDelete: true, Errors: map[string]string{"name": "Write a name."}}),
		"workspace-delete": views.WorkspaceDelete(views.WorkspaceDeletePage{Page: frame("Delete", "/settings/delete"), Keys: 12, Members: 5, Lately: 8_107, Errors: map[string]string{"confirm": "Type the workspace’s name to confirm."}}),
		"workspaces-going": views.WorkspaceList(views.WorkspacesPage{Page: frame("Workspaces", ""), Items: []views.WorkspaceItem{{Name: "Harbour & Pine", Slug: slug, Role: "Owner"}}, Going: []views.GoingWorkspace{{Name: "Old", By: "Ada Okonkwo", Since: now, Left: &left}}}),
	}
}

// parts are what htmx fetches alone.
func parts() map[string]templ.Component {
	all := map[string]templ.Component{
		"deliveries": views.KeyDeliveries(deliveries()), "dialog": views.KeyDeactivateDialog(deactivatePage("")),
		"problem": views.ProblemPart(views.ProblemPage{Status: 503, Heading: "We could not read the keys", Message: "The database did not answer within 5 s. Try again."}),
	}
	for i, state := range []string{"waiting", "accepted", "refused"} {
		all[fmt.Sprint("first-", i)] = views.FirstRequest(views.FirstRequestPart{Nonce: "n0nce", Slug: slug, KeyID: keyID, State: state, At: now, Reason: "The API key is wrong."})
	}
	return all
}
