package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"keyhook/internal/keyring"
)

// keyRules are the flags of what a new key allows, and of what people note about it.
type keyRules struct {
	Note             string   `help:"What the next person should know about the sender."`
	Label            []string `name:"label" placeholder:"TEXT" help:"A label; repeat the flag, or separate labels by commas."`
	Owner            string   `placeholder:"EMAIL" help:"Who answers for the key: a member of the workspace."`
	RequireSignature bool     `help:"Refuse an API key or a token alone."`
	AllowInURL       bool     `name:"allow-in-url" help:"Allow the API key in the URL."`
	AllowFrom        []string `name:"allow-from" placeholder:"CIDR" help:"An address or a network that requests may come from; repeat it, or separate by commas. Default: any."`
	OtherSource      []string `name:"other-source" placeholder:"SOURCE" help:"A source that a payload may name beside the key's own."`
	RateLimit        string   `name:"rate-limit" placeholder:"N/minute" help:"Requests in a second, minute or hour. Default: no limit."`
	DailyQuota       *int     `name:"daily-quota" placeholder:"N" help:"Requests in a day, from midnight UTC. Default: no limit."`
	RefPointer       string   `name:"ref-pointer" placeholder:"/data/id" help:"JSON pointer to the event's id in the body."`
	IdenticalBodies  string   `name:"identical-bodies" enum:"flag,duplicate" default:"flag" help:"What becomes of the same body without an id: ${enum}."`
	Log              string   `enum:"full,headers,nothing" default:"full" help:"What the log keeps once every reader has read: ${enum}."`
}

// over puts the rules into a draft.
func (r keyRules) over(draft keyring.Draft) (keyring.Draft, error) {
	draft.Note, draft.Labels = r.Note, r.Label
	draft.RequireSignature, draft.AllowInURL = r.RequireSignature, r.AllowInURL
	draft.AllowedCIDRs, draft.OtherSources = r.AllowFrom, r.OtherSource
	draft.DailyQuota, draft.RefPointer, draft.IdenticalBodies = r.DailyQuota, r.RefPointer, r.IdenticalBodies
	draft.Log = r.Log
	if r.RateLimit == "" {
		return draft, nil
	}
	text, per, _ := strings.Cut(r.RateLimit, "/")
	limit, err := strconv.Atoi(text)
	draft.RateSeconds = map[string]int{"second": 1, "minute": 60, "hour": 3600}[per]
	if err != nil || draft.RateSeconds == 0 {
		return draft, misuse("--rate-limit %q is not like 10/second, 600/minute or 5000/hour", r.RateLimit)
	}
	draft.RateLimit = &limit
	return draft, nil
}

// ownedBy finds the member of a workspace with an e-mail address.
func (s *session) ownedBy(ctx context.Context, workspace uuid.UUID, email string) (*uuid.UUID, error) {
	if email == "" {
		return nil, nil
	}
	members, err := s.accounts.Members(ctx, workspace)
	if err != nil {
		return nil, err
	}
	for _, member := range members {
		if strings.EqualFold(member.User.Email, email) {
			return &member.User.ID, nil
		}
	}
	return nil, misuse("--owner: nobody with the e-mail address %q is a member of the workspace", email)
}

// flagOfField is what a field of a draft is called on the command line.
func flagOfField(field string) string {
	flags := map[string]string{"expires": "expires-in", "labels": "label", "allowed_cidrs": "allow-from", "other_sources": "other-source"}
	if flag := flags[field]; flag != "" {
		return flag
	}
	return strings.ReplaceAll(field, "_", "-")
}
