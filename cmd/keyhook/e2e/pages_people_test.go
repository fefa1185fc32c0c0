package e2e_test

import "testing"

// inspectPeople looks at what is about accounts, members and the workspace itself.
func inspectPeople(t *testing.T, console inUse) {
	p := console.signedIn(t)
	p.inspectAll(
		sight{"change-password", console.url + "/account/password"},
		sight{"account-delete", console.url + "/account/delete"},
		sight{"settings", console.at("/settings")},
		sight{"sign-in-rule", console.at("/sign-in-rule")},
		sight{"workspace-delete", console.at("/settings/delete")},
		sight{"workspace-hand-over", console.at("/members/handover")},
		sight{"workspace-leave", console.at("/members/leave")},
		sight{"members", console.at("/members")},
	)
	p.follow(".people a[href$='/remove']")
	p.inspect("member-remove")
	p.open(console.at("/invitations/new"))
	p.inspect("invite")
	p.fill("textarea[name=emails]", "lena@harbourpine.example\nno address")
	p.follow("form[action$='/invitations'] [type=submit]")
	p.inspect("invite-errors")
	p.fill("textarea[name=emails]", "lena@harbourpine.example, olu@harbourpine.example")
	p.follow("form[action$='/invitations'] [type=submit]")
	p.inspect("invited")
	link := eval[string](p, `document.querySelector("#link-1").value`)
	p.open(console.at("/members"))
	p.inspect("members-invited")
	p.open(link)
	p.inspect("invitation")
}
