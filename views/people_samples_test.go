package views_test

import (
	"github.com/a-h/templ"

	"keyhook/views"
)

// peoplePages are the pages about the reader and how they sign in.
func peoplePages(theme string) map[string]templ.Component {
	account := sample("Your account", "/account", theme)
	factor := &views.FactorFacts{Since: now, CodesLeft: 1}
	session := views.SessionRow{ID: keyID, Device: "Firefox on Linux", UserAgent: "Mozilla/5.0 \u202e", Address: "2001:db8::1", CreatedAt: now, LastSeenAt: now, WithCode: true, Current: true}
	other := session
	other.ID, other.Current = keyID[:len(keyID)-1]+"1", false
	page := views.SecondFactorPage{Page: account, For: views.WorkspaceRef{Name: "Harbour & Pine", Slug: slug}, NeededBy: []string{"Harbour & Pine"}}
	with, setUp, codes := page, page, page
	with.Factor, with.Message = factor, "You have a second factor already."
	setUp.Secret, setUp.Picture, setUp.Errors = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", views.Picture{Size: 2, Path: "M0 0h1v1h-1z"}, map[string]string{"code": "That code is not right."}
	codes.Codes = []string{"AAAA-BBBB-CCCC-DDDD-EEEE-FFFF"}
	return map[string]templ.Component{
		"account":             views.Account(views.AccountPage{Page: account, Name: "Ada", Zones: []string{"UTC", "Asia/Kolkata"}, Sessions: []views.SessionRow{session, other}, Factor: factor}),
		"account-errors":      views.Account(views.AccountPage{Page: account, TimeZone: "Mars", Sessions: []views.SessionRow{session}, Errors: map[string]string{"name": "Write a name.", "time_zone": "No."}}),
		"account-delete":      views.DeleteAccount(views.DeleteAccountPage{Page: account, Error: "Type it."}),
		"account-delete-none": views.DeleteAccount(views.DeleteAccountPage{Page: account, Owned: []views.WorkspaceRef{{Name: "Harbour & Pine", Slug: slug}}}),
		"enter-code":          views.EnterCode(views.EnterCodePage{Page: bare("Enter a code", "/sign-in/code", theme), Next: "/"}),
		"forgot":              views.Forgot(views.ForgotPage{Page: bare("Forgot", "/forgot-password", theme), Message: "Too many."}),
		"forgot-sent":         views.Forgot(views.ForgotPage{Page: bare("Forgot", "/forgot-password", theme), Sent: true, Email: "<b>"}),
		"second-factor":       views.SecondFactor(page),
		"second-factor-there": views.SecondFactor(with),
		"second-factor-begun": views.SetUpSecondFactor(setUp),
		"recovery-codes":      views.RecoveryCodes(codes),
		"sign-in-rule":        views.SignInRule(views.SignInRulePage{Page: account, Members: 3, Without: []string{"Ada", "Bo"}, Message: "Set up your own second factor first."}),
		"confirm":             views.Confirm(views.ConfirmPage{Page: account, Doing: "rotate a key", Back: "/", Held: "x", NeedsCode: true, Errors: map[string]string{"password": "No.", "code": "No."}}),
		"confirmed":           views.Confirmed(views.ConfirmedPage{Page: account, Href: "/w/" + slug + "/deliveries/export?format=csv", Back: "/"}),
	}
}
