package web

import (
	"net/http"

	"keyhook/internal/account"
	"keyhook/static"
)

// A route is an address of the console with who may use it. Exactly one of its
// handlers is set.
type route struct {
	Pattern    string
	Permission account.Permission // of a member's route
	poll       bool               // asked by an open page again and again: nobody's doing, so no sign of life
	upload     bool               // may be sent a file
	stays      bool               // asked by a page that must not be left because a session has ended

	raw    http.Handler  // files
	public handler       // anybody
	user   userHandler   // whoever is signed in
	member memberHandler // members of the workspace whose role has the permission
}

// routes is the whole console: every address, and who may use it.
func (s *Server) routes() []route {
	return []route{
		{Pattern: "GET /static/", raw: static.Handler()},
		{Pattern: "POST /csp-report", public: s.noteViolation},
		{Pattern: "POST /preferences/theme", public: s.chooseTheme},

		{Pattern: "GET /docs/send", public: s.showSendDocs},
		{Pattern: "GET /docs/errors", public: s.showErrorDocs},
		{Pattern: "GET /docs/read", public: s.showReadDocs},
		{Pattern: "GET /docs", public: s.goToDocs},

		{Pattern: "GET /setup", public: s.showSetUp},
		{Pattern: "POST /setup", public: s.setUp},
		{Pattern: "GET /password", public: s.showPasswordLink},
		{Pattern: "POST /password", public: s.choosePassword},
		{Pattern: "GET /handover/{link}", public: s.showHanded},
		{Pattern: "POST /handover/{link}", public: s.takeHandover},
		{Pattern: "GET /handover/{link}/first", public: s.showHandedFirst},
		{Pattern: "POST /handover/{link}/saved", public: s.confirmHandedOver},
		{Pattern: "GET /sign-in", public: s.showSignIn},
		{Pattern: "POST /sign-in", public: s.signIn},
		{Pattern: "POST /sign-out", public: s.signOut},

		{Pattern: "GET /{$}", user: s.goHome},
		{Pattern: "GET /account/password", user: s.showChangePassword},
		{Pattern: "POST /account/password", user: s.changePassword},
		{Pattern: "GET /workspaces", user: s.showWorkspaces},
		{Pattern: "GET /workspaces/new", user: s.showNewWorkspace},
		{Pattern: "POST /workspaces", user: s.createWorkspace},

		{Pattern: "GET /w/{workspace}/{$}", Permission: account.ViewKeys, member: s.goToKeys},
		{Pattern: "GET /w/{workspace}/overview", Permission: account.ViewKeys, member: s.showOverview},
		{Pattern: "GET /w/{workspace}/keys", Permission: account.ViewKeys, member: s.showKeys},
		{Pattern: "GET /w/{workspace}/keys/new", Permission: account.CreateKeys, member: s.showNewKey},
		{Pattern: "POST /w/{workspace}/keys", Permission: account.CreateKeys, member: s.issueKey},
		{Pattern: "GET /w/{workspace}/keys/import", Permission: account.ImportKeys, member: s.showImport},
		{Pattern: "POST /w/{workspace}/keys/import", Permission: account.ImportKeys, member: s.importKeys, upload: true},
		{Pattern: "POST /w/{workspace}/keys/export", Permission: account.ViewKeys, member: s.exportKeys},
		{Pattern: "POST /w/{workspace}/batches", Permission: account.EditKeys, member: s.chooseKeys},
		{Pattern: "GET /w/{workspace}/batches/{batch}", Permission: account.EditKeys, member: s.showBatch},
		{Pattern: "POST /w/{workspace}/batches/{batch}", Permission: account.EditKeys, member: s.runBatch},
		{Pattern: "POST /w/{workspace}/batches/{batch}/undo", Permission: account.EditKeys, member: s.undoBatch},
		{Pattern: "GET /w/{workspace}/keys/{key}", Permission: account.ViewKeys, member: s.showKey},
		{Pattern: "GET /w/{workspace}/keys/{key}/deliveries", Permission: account.ViewKeys, member: s.showDeliveries, poll: true},
		{Pattern: "GET /w/{workspace}/keys/{key}/first", Permission: account.ViewKeys, member: s.showFirst, poll: true, stays: true},
		{Pattern: "POST /w/{workspace}/keys/{key}/saved", Permission: account.CreateKeys, member: s.confirmSaved},
		{Pattern: "POST /w/{workspace}/keys/{key}/secret", Permission: account.EditKeys, member: s.pasteSecret},
		{Pattern: "GET /w/{workspace}/keys/{key}/edit", Permission: account.EditKeys, member: s.showEditKey},
		{Pattern: "POST /w/{workspace}/keys/{key}/edit", Permission: account.EditKeys, member: s.editKey},
		{Pattern: "GET /w/{workspace}/keys/{key}/deactivate", Permission: account.EditKeys, member: s.askToDeactivate},
		{Pattern: "GET /w/{workspace}/keys/{key}/deactivate/dialog", Permission: account.EditKeys, member: s.askInDialog},
		{Pattern: "POST /w/{workspace}/keys/{key}/deactivate", Permission: account.EditKeys, member: s.deactivateKey},
		{Pattern: "GET /w/{workspace}/keys/{key}/rotate", Permission: account.EditKeys, member: s.askToRotate},
		{Pattern: "GET /w/{workspace}/keys/{key}/rotate/dialog", Permission: account.EditKeys, member: s.askToRotateInDialog},
		{Pattern: "POST /w/{workspace}/keys/{key}/rotate", Permission: account.EditKeys, member: s.rotateKey},
		{Pattern: "GET /w/{workspace}/keys/{key}/overlap", Permission: account.ViewKeys, member: s.showOverlap, poll: true},
		{Pattern: "GET /w/{workspace}/keys/{key}/overlap/end", Permission: account.EditKeys, member: s.askToEndOverlap},
		{Pattern: "POST /w/{workspace}/keys/{key}/overlap/end", Permission: account.EditKeys, member: s.endOverlap},
		{Pattern: "POST /w/{workspace}/keys/{key}/overlap/move", Permission: account.EditKeys, member: s.moveOverlapEnd},
		{Pattern: "POST /w/{workspace}/keys/{key}/overlap/undo", Permission: account.EditKeys, member: s.undoRotation},
		{Pattern: "GET /w/{workspace}/keys/{key}/from", Permission: account.ViewKeys, member: s.showFrom},
		{Pattern: "GET /w/{workspace}/keys/{key}/suspect", Permission: account.MarkSuspect, member: s.showSuspect},
		{Pattern: "POST /w/{workspace}/keys/{key}/suspect", Permission: account.MarkSuspect, member: s.markSuspect},
		{Pattern: "POST /w/{workspace}/keys/{key}/suspect/end", Permission: account.MarkSuspect, member: s.endSuspect},
		{Pattern: "GET /w/{workspace}/keys/{key}/leak", Permission: account.EditKeys, member: s.askIfLeaked},
		{Pattern: "GET /w/{workspace}/keys/{key}/leak/dialog", Permission: account.EditKeys, member: s.askIfLeakedInDialog},
		{Pattern: "POST /w/{workspace}/keys/{key}/leak", Permission: account.EditKeys, member: s.reportLeaked},
		{Pattern: "GET /w/{workspace}/keys/{key}/leaked", Permission: account.ViewKeys, member: s.showLeaked},
		{Pattern: "GET /w/{workspace}/keys/{key}/leaked/attempts", Permission: account.ViewKeys, member: s.showAttempts, poll: true},
		{Pattern: "POST /w/{workspace}/keys/{key}/leaked/renew", Permission: account.EditKeys, member: s.renewKey},
		{Pattern: "POST /w/{workspace}/keys/{key}/reactivate", Permission: account.EditKeys, member: s.reactivateKey},
		{Pattern: "GET /w/{workspace}/keys/{key}/handover", Permission: account.HandOverKeys, member: s.askToHandOver},
		{Pattern: "POST /w/{workspace}/keys/{key}/handover", Permission: account.HandOverKeys, member: s.handOverKey},
		{Pattern: "POST /w/{workspace}/keys/{key}/handover/withdraw", Permission: account.HandOverKeys, member: s.withdrawHandover},

		{Pattern: "GET /w/{workspace}/deliveries", Permission: account.ViewKeys, member: s.showLog},
		{Pattern: "GET /w/{workspace}/deliveries/look-up", Permission: account.ViewKeys, member: s.lookUp},
		{Pattern: "GET /w/{workspace}/deliveries/{request}", Permission: account.ViewKeys, member: s.showDelivery},
		{Pattern: "GET /w/{workspace}/deliveries/{request}/drawer", Permission: account.ViewKeys, member: s.showDrawer},
		{Pattern: "GET /w/{workspace}/deliveries/{request}/body", Permission: account.ViewPayloads, member: s.downloadDelivery},
		{Pattern: "GET /w/{workspace}/deliveries/chart", Permission: account.ViewKeys, member: s.showLogChart, poll: true},
		{Pattern: "GET /w/{workspace}/deliveries/export", Permission: account.ViewKeys, member: s.exportDeliveries},
		{Pattern: "GET /w/{workspace}/deliveries/tail", Permission: account.ViewKeys, member: s.tailDeliveries, poll: true},
		{Pattern: "GET /w/{workspace}/usage", Permission: account.ViewKeys, member: s.showUsage},

		{Pattern: "GET /w/{workspace}/signals", Permission: account.ViewKeys, member: s.showSignals},
		{Pattern: "GET /w/{workspace}/signals/{signal}", Permission: account.ViewKeys, member: s.showSignal},
		{Pattern: "GET /w/{workspace}/signals/{signal}/body", Permission: account.ViewPayloads, member: s.downloadBody},
		{Pattern: "GET /w/{workspace}/signals/erase", Permission: account.ErasePayloads, member: s.showErasures},
		{Pattern: "GET /w/{workspace}/signals/erase/list", Permission: account.ErasePayloads, member: s.showErasureList, poll: true},
		{Pattern: "POST /w/{workspace}/signals/erase", Permission: account.ErasePayloads, member: s.erasePayloads},
		{Pattern: "GET /w/{workspace}/signals/retention", Permission: account.ManageWorkspace, member: s.showRetention},
		{Pattern: "POST /w/{workspace}/signals/retention", Permission: account.ManageWorkspace, member: s.setRetention},

		{Pattern: "GET /w/{workspace}/tokens", Permission: account.ManageTokens, member: s.showTokens},
		{Pattern: "GET /w/{workspace}/tokens/new", Permission: account.ManageTokens, member: s.showNewToken},
		{Pattern: "POST /w/{workspace}/tokens", Permission: account.ManageTokens, member: s.issueToken},
		{Pattern: "GET /w/{workspace}/tokens/{token}", Permission: account.ManageTokens, member: s.showToken},
		{Pattern: "POST /w/{workspace}/tokens/{token}/saved", Permission: account.ManageTokens, member: s.confirmTokenSaved},
		{Pattern: "GET /w/{workspace}/tokens/{token}/deactivate", Permission: account.ManageTokens, member: s.askToDeactivateToken},
		{Pattern: "POST /w/{workspace}/tokens/{token}/deactivate", Permission: account.ManageTokens, member: s.deactivateToken},
		{Pattern: "POST /w/{workspace}/tokens/{token}/reactivate", Permission: account.ManageTokens, member: s.reactivateToken},

		{Pattern: "/", public: s.notFound},
	}
}
