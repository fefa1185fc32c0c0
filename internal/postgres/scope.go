package postgres

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/lib/pq"
)

// A scope is what transactions may see. The zero scope is nothing of any workspace.
type scope struct {
	workspace  uuid.UUID
	everywhere bool
}

type scopeKey struct{}

// InWorkspace confines the transactions that are begun with the context to one
// workspace: of others they see nothing and change nothing, whatever their
// statements ask. It is for the places that let a request in.
func InWorkspace(ctx context.Context, workspace uuid.UUID) context.Context {
	return context.WithValue(ctx, scopeKey{}, scope{workspace: workspace})
}

// Everywhere lets the transactions that are begun with the context see all
// workspaces. It is for what is about people, for upkeep and for commands; a pool
// that is opened with such a context is so for transactions without a scope of their
// own.
func Everywhere(ctx context.Context) context.Context {
	return context.WithValue(ctx, scopeKey{}, scope{everywhere: true})
}

func scopeOf(ctx context.Context) (scope, bool) {
	s, ok := ctx.Value(scopeKey{}).(scope)
	return s, ok
}

// A prologue is what transactions begin with.
type prologue struct {
	limits     string // on time
	role, wide string // taken in a workspace, and everywhere; "": none
	scope      scope  // of transactions that have none
}

// in is the prologue of a transaction with a context. They are all SET LOCAL, because
// a transaction pooler hands the session to others.
func (p prologue) in(ctx context.Context) string {
	s, ok := scopeOf(ctx)
	if !ok {
		s = p.scope
	}
	text := []string{p.limits}
	switch {
	case p.role == "":
	case p.role == p.wide || s.everywhere:
		text = append(text, "SET LOCAL ROLE "+pq.QuoteIdentifier(p.wide))
	default:
		text = append(text, "SET LOCAL ROLE "+pq.QuoteIdentifier(p.role), "SET LOCAL keyhook.workspace = '"+s.workspace.String()+"'")
	}
	return strings.Join(text, "; ")
}
