package xact

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Causes of an abort that clients know by their words.
var (
	// ErrUserAbort: somebody has stopped the job.
	ErrUserAbort = errors.New("user abort")
	// ErrRenewal: a newer job has taken its place.
	ErrRenewal = errors.New("renewal abort")
)

// errInvalidKind is the 400 of a kind that does not exist.
func errInvalidKind(kind string) error {
	return apierr.BadRequest("invalid xaction (job) kind %.64q", kind)
}

// ErrNotFound is the 404 of a job that is not known.
func ErrNotFound(kind, id string) error {
	if id != "" {
		kind += "[" + id + "]"
	}
	return apierr.New(apierr.StatusNotFound, wire.CodeXactNotFound, `"x-%s" not found`, kind)
}

const (
	// maxErrors is how many different errors a job remembers; all are counted.
	maxErrors = 16
	// maxErrorText bounds one, in bytes.
	maxErrorText = 512
)

// errorList counts errors and remembers the first different ones.
type errorList struct {
	mu    sync.Mutex
	count int64
	texts []string
}

func (l *errorList) add(err error) {
	text := err.Error()
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "..."
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	if len(l.texts) == maxErrors {
		return
	}
	for _, have := range l.texts {
		if have == text {
			return
		}
	}
	l.texts = append(l.texts, text)
}

func (l *errorList) total() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

func (l *errorList) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.Join(l.texts, "; ")
	if n := l.count - int64(len(l.texts)); n > 0 {
		text += fmt.Sprintf(" (%d errors in all)", l.count)
	}
	return text
}
