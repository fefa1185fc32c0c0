package signature

import (
	"net/http"
	"slices"
)

// A Scheme is one way in which senders prove themselves, and all that is known
// of it: what verifies requests, what the pages and commands say, and what is
// tested read the same row.
type Scheme struct {
	Name    string
	Title   string // as people call it
	Group   Group
	Summary string   // what it is, one sentence
	Headers []string // that prove the request; the first holds the signature or the secret
	Aliases []string // other names of the same headers, in the same order
	Example []string // those headers as they look, name and value
	Signed  string   // what is signed and how it is written, one sentence; "": nothing is

	Signs       bool // it has a signature; see Unsigned for whether that must come
	Unsigned    bool // the request may also come with a secret, or an API key, sent as it is
	Timestamped bool // more than Tolerance away is refused
	Reading     Reading
	Form        Form
	MakesSecret bool // Keyhook can make the secret; else only the provider does
	HasAPIKey   bool // its keys have an API key too

	Ref       Ref
	EventType EventType
	Handshake *Handshake // nil: none
	Retries   string     // what the sender does after a failure, one sentence
	Steps     []string   // what to do where the sender is set up
	Find      string     // where the secret is found or put, one sentence

	read func(http.Header) (Presented, error)
	sign func(headers http.Header, secret string, e Event) error
}

// A Group is where people look for a scheme.
type Group string

// The groups.
const (
	Service Group = "service" // a provider, which signs as it signs
	OwnCode Group = "code"    // code that can be changed
	OnlyURL Group = "url"     // a sender where only a URL, perhaps with a password, can be set
)

// A Ref says what tells two of a sender's events apart.
type Ref struct {
	Headers  []string // the first of them that is there
	Pointer  string   // RFC 6901, into the body
	Signed   bool     // the signature covers it
	Required bool     // a request without one is refused
	ByKey    bool     // without one, the key's own pointer counts
}

// An EventType says where the kind of an event stands.
type EventType struct {
	Header   string
	Pointers []string // the first that leads to a string
}

// A Handshake is how a provider asks whether an address is meant for it. It is
// answered only after the request was verified.
type Handshake struct {
	Pointer string // what says that it is one
	Value   string
	Echo    string // the member of the body that the answer repeats
}

// The names of the schemes. They are stored, so they are fixed for ever.
const (
	Generic  = "generic"
	Standard = "standard"
	GitHub   = "github"
	Stripe   = "stripe"
	Slack    = "slack"
	Shopify  = "shopify"
	GitLab   = "gitlab"
	Linear   = "linear"
	Basic    = "basic"
)

// All returns every scheme, in the order in which people are shown them.
func All() []*Scheme { return slices.Clone(schemes) }

// Names returns the schemes' names in that order.
func Names() []string {
	names := make([]string, len(schemes))
	for i, s := range schemes {
		names[i] = s.Name
	}
	return names
}

// Find returns the scheme of a name.
func Find(name string) (*Scheme, bool) {
	for _, s := range schemes {
		if s.Name == name {
			return s, true
		}
	}
	return nil, false
}
