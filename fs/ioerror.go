package fs

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"golang.org/x/sys/unix"
)

// IsNoSpace tells that the kernel refused a write for lack of space or quota.
// An extended attribute that does not fit is the same errno on ext4: whoever
// sets one keeps it below the limit of the record.
func IsNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// IsNameProblem tells that a path cannot be made because of what the name is or
// what is in its way, as opposed to a fault of the disk: a file where a
// directory is needed, a directory where a file is needed, a name too long.
func IsNameProblem(err error) bool {
	return errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENAMETOOLONG) ||
		errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EINVAL) ||
		errors.Is(err, unix.EILSEQ)
}

// IOError turns the failure of a disk operation into what a client sees, and
// reports the disk where it is at fault: lack of space is 507 (and the figures
// are taken anew), no free descriptors is 503, missing stays ENOENT, anything
// else is 500 and an EventIOError. An *apierr.Error and the end of a context
// pass unchanged; nil is nil.
func (mp *Mountpath) IOError(operation string, err error) error {
	var already *apierr.Error
	switch {
	case err == nil, errors.As(err, &already), errors.Is(err, fs.ErrNotExist),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case IsNoSpace(err):
		mp.manager.raise(Event{Kind: EventNoSpace, Mountpath: mp.Path, Err: err, Message: operation})
		c := mp.manager.RefreshCapacity()
		e := apierr.Wrap(err, apierr.StatusInsufficientStorage, wire.CodeCapExceeded,
			"out of space: used %d%% of total capacity on at least one of the mountpaths (total used %s out of %s): %s",
			c.PctMax, sizeText(c.Used), sizeText(c.Used+c.Avail), operation)
		return e
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		e := apierr.Unavailable(time.Second, "%s: too many open files", operation)
		e.Cause = err
		return e
	}
	if !IsNameProblem(err) {
		mp.manager.raise(Event{Kind: EventIOError, Mountpath: mp.Path, Err: err, Message: operation})
	}
	return apierr.Wrap(err, apierr.StatusInternalServerError, "", "%s on %s", operation, mp.name)
}
