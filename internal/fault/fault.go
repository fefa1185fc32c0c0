// Package fault describes failures that whoever made the request can do
// something about: a name already taken, a key that is not there.
//
// An error that carries no fault is Keyhook's own trouble. It is logged in full
// and shown to nobody.
package fault

import (
	"cmp"
	"errors"
	"net/http"
)

// A Kind says what sort of failure a fault is.
type Kind int

// The kinds of faults, each with one HTTP status.
const (
	Invalid         Kind = iota + 1 // the request is wrong and will stay wrong
	TooLarge                        // the request is longer than Keyhook reads
	Unauthenticated                 // the request does not say who makes it
	Forbidden                       // the caller's role does not allow it
	NotFound                        // there is no such thing, or the caller may not know of it
	Conflict                        // it clashes with something that exists
	Busy                            // trying again later may work
	TooMany                         // the caller did this too often and must wait
)

var statuses = map[Kind]int{
	Invalid:         http.StatusUnprocessableEntity,
	TooLarge:        http.StatusRequestEntityTooLarge,
	Unauthenticated: http.StatusUnauthorized,
	Forbidden:       http.StatusForbidden,
	NotFound:        http.StatusNotFound,
	Conflict:        http.StatusConflict,
	Busy:            http.StatusServiceUnavailable,
	TooMany:         http.StatusTooManyRequests,
}

// An Error is a failure with a message fit to show to whoever caused it.
type Error struct {
	Kind    Kind
	Field   string   // the form field to blame, if any
	Message string   // a full sentence
	More    []*Error // further fields of the same form that are wrong too
}

// New returns a fault of the given kind.
func New(kind Kind, message string) *Error { return &Error{Kind: kind, Message: message} }

// On returns a fault that blames one form field.
func On(field string, kind Kind, message string) *Error {
	return &Error{Kind: kind, Field: field, Message: message}
}

// Join returns one fault for all of faults, or nil if there are none. The first
// gives the kind.
func Join(faults []*Error) error {
	if len(faults) == 0 {
		return nil
	}
	first := *faults[0]
	first.More = faults[1:]
	return &first
}

func (e *Error) Error() string { return e.Message }

// Status returns the HTTP status that tells of e.
func (e *Error) Status() int {
	return cmp.Or(statuses[e.Kind], http.StatusInternalServerError)
}

// Fields returns the message for each field that e blames.
func (e *Error) Fields() map[string]string {
	fields := map[string]string{}
	for _, f := range append([]*Error{e}, e.More...) {
		if f.Field != "" {
			fields[f.Field] = f.Message
		}
	}
	return fields
}

var internal = &Error{Message: "Something went wrong on our side."}

// Of returns the fault that err carries. If it carries none, Of returns one
// with status 500 that gives nothing away, and known is false.
func Of(err error) (f *Error, known bool) {
	if f, ok := errors.AsType[*Error](err); ok {
		return f, true
	}
	return internal, false
}
