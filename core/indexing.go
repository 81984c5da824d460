package core

import fsys "github.com/aistore-go/aistore/fs"

// noted is a change of a name on one mountpath, between the moment before it
// touches a file and the moment at which its outcome is known. It is used under
// the exclusive lock of the name. Exactly one of publish and gone follows, or
// neither: then settle has the files looked at.
type noted struct {
	s    *Store
	o    *object
	done bool
}

// note tells the mountpath's journal that a name is about to change. It never
// fails the change.
func (s *Store) note(o *object) noted { return noted{s: s, o: o} }

// journal is what the flush of the change has to cover as well, nil if nothing.
func (n *noted) journal() fsys.File { return nil }

// publish tells that the name holds an object with a record now.
func (n *noted) publish(*record) { n.done = true }

// gone tells that the name holds nothing any more on its mountpath.
func (n *noted) gone() { n.done = true }

// settle ends the change. If its outcome is not known, the files decide.
func (n *noted) settle() {}
