package fastpath

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Gate counts and bounds the calls that may wait for a disk. Enter comes before
// each of them and may wait itself; an error means that the call must not be
// made. Leave comes after, with what Enter returned.
type Gate interface {
	Enter() (uint32, error)
	Leave(uint32)
}

// File is an open file whose disk is behind a gate. Behind an *io.LimitedReader
// and copied to an answer it goes out by sendfile, as an *os.File does: the gate
// is held while the kernel reads, and not while the client is waited for.
type File struct {
	File *os.File
	Gate Gate
}

// Read implements io.Reader. Errors are told from those of an answer by FileError.
func (f *File) Read(p []byte) (int, error) {
	ticket, err := f.Gate.Enter()
	if err != nil {
		return 0, &fileFailure{err}
	}
	defer f.Gate.Leave(ticket)
	n, err := f.File.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &fileFailure{err}
	}
	return n, err
}

// FileOf returns the file and the gate (nil: none) of a reader that can go out
// by sendfile, a part of an *os.File or of a *File; nil if it cannot.
func FileOf(r io.Reader) (limited *io.LimitedReader, file *os.File, gate Gate) {
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		return nil, nil, nil
	}
	switch f := limited.R.(type) {
	case *os.File:
		file = f
	case *File:
		file, gate = f.File, f.Gate
	}
	return limited, file, gate
}

// fileFailure is an error of the file or of its gate, not of the connection.
type fileFailure struct{ cause error }

func (f *fileFailure) Error() string { return f.cause.Error() }

func (f *fileFailure) Unwrap() error { return f.cause }

// FileError is the cause of an error of SendFile, or of sending a *File, that is of
// the file; nil for other errors and none. After it the rest of the answer may
// still be sent.
func FileError(err error) error {
	var failure *fileFailure
	if err == nil || errors.Is(err, unix.EAGAIN) || !errors.As(err, &failure) {
		return nil
	}
	return failure.cause
}

// SendFile is one call of sendfile to a socket that does not block. Errors of
// the file and of its gate (nil: none) are told by FileError.
func SendFile(socket, file int, gate Gate, offset *int64, length int64) (int, error) {
	var ticket uint32
	if gate != nil {
		var err error
		if ticket, err = gate.Enter(); err != nil {
			return 0, &fileFailure{err}
		}
	}
	n, err := syscall.Sendfile(socket, file, offset, int(length))
	if gate != nil {
		gate.Leave(ticket)
	}
	if err != nil && !errors.Is(err, unix.EAGAIN) && ofDisk(err) {
		err = &fileFailure{os.NewSyscallError("sendfile", err)}
	}
	return n, err
}

// ofDisk tells errors of sendfile that no socket returns.
func ofDisk(err error) bool {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case unix.EIO, unix.EUCLEAN, unix.EBADMSG, unix.ESTALE, unix.ENODEV, unix.ENXIO, unix.EREMOTEIO:
		return true
	}
	return false
}
