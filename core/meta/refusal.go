package meta

import (
	"errors"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Refusal is the error of a command that changes nothing. It counts as a 409
// if the command lost a race, else with the status of its cause.
type Refusal struct {
	Kind  string // of the document
	Stale bool   // the command replaces a version that is not the current one
	Have  int64  // current version, 0 if there is no such document yet
	From  int64  // version that the command replaces

	cause *apierr.Error
}

// Error names the document and the reason.
func (r *Refusal) Error() string { return r.cause.Message }

// Unwrap returns the error that a client sees.
func (r *Refusal) Unwrap() error { return r.cause }

// IsStale tells a command that was refused because another one came first: it
// may be built again from the current view.
func IsStale(err error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Stale
}

func staleRefusal(kind string, have, from int64) *Refusal {
	return &Refusal{Kind: kind, Stale: true, Have: have, From: from, cause: apierr.New(apierr.StatusConflict, "",
		"stale %s: the change replaces version %d, the current version is %d", kind, from, have)}
}

func refusal(c *Change, have int64, cause error) *Refusal {
	return &Refusal{Kind: c.Kind, Have: have, From: c.From, cause: apierr.Wrap(cause, apierr.StatusOf(cause), apierr.CodeOf(cause),
		"change of %s from version %d to %d", c.Kind, c.From, c.To)}
}
