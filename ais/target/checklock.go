package target

import (
	"net/http"

	"github.com/aistore-go/aistore/core"
)

// checkLock tells by its status whether an object is used at the moment: 200
// nobody does, 202 it is being read, 423 it is being changed. A missing object
// is used by nobody.
func (t *Target) checkLock(w http.ResponseWriter, req *objectRequest) error {
	switch t.store.LockState(req.key) {
	case core.LockedExclusive:
		return answerEmpty(w, http.StatusLocked)
	case core.LockedShared:
		return answerEmpty(w, http.StatusAccepted)
	}
	return answerEmpty(w, http.StatusOK)
}
