package core

import "sync"

// SharedReader is an open object that several read from, who do not know of each
// other's end: it is closed when the last of them lets go of it, and nobody begins to read
// it afterwards. Its methods may be called from any goroutine.
type SharedReader struct {
	*Reader
	mu    sync.Mutex
	users int
}

// ShareReader takes over an open reader. The caller is its first user.
func ShareReader(r *Reader) *SharedReader { return &SharedReader{Reader: r, users: 1} }

// Retain adds a user, who calls Close in the end; false: it is closed already.
func (r *SharedReader) Retain() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users == 0 {
		return false
	}
	r.users++
	return true
}

// Close ends the use by one user. It is called once by each.
func (r *SharedReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users--; r.users > 0 {
		return nil
	}
	return r.Reader.Close()
}
