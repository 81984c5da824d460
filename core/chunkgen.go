package core

import (
	"context"
	"errors"
	"strings"
	"sync"

	fsys "github.com/aistore-go/aistore/fs"
)

// generations knows which generations of chunked objects are being read or
// written: their files stay until nobody needs them. An open file survives the
// loss of its name, but a reader opens chunks one by one.
type generations struct {
	mu   sync.Mutex
	held map[string]*generation // by upload id
}

type generation struct {
	holders int
	drop    func() // removes the files; nil: they are the object's
}

func newGenerations() *generations { return &generations{held: make(map[string]*generation)} }

// hold keeps the files of a generation. Whoever read its id in a record holds
// the name's lock until hold has returned.
func (g *generations) hold(upload string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	entry := g.held[upload]
	if entry == nil {
		entry = &generation{}
		g.held[upload] = entry
	}
	entry.holders++
}

// release ends a hold; the last one removes the files of a generation that
// was replaced meanwhile.
func (g *generations) release(upload string) {
	g.mu.Lock()
	entry := g.held[upload]
	entry.holders--
	if entry.holders > 0 {
		g.mu.Unlock()
		return
	}
	delete(g.held, upload)
	g.mu.Unlock()
	if entry.drop != nil {
		entry.drop()
	}
}

// later leaves the removal of a generation to its last holder; false: nobody
// holds it.
func (g *generations) later(upload string, drop func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	entry := g.held[upload]
	if entry == nil {
		return false
	}
	entry.drop = drop
	return true
}

// isHeld tells whether somebody needs the files of a generation.
func (g *generations) isHeld(upload string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held[upload] != nil
}

// dropChunks removes the chunks and the manifest of a generation that is not
// the object any more, now or when its last reader ends. It is called under
// the exclusive lock, after the commit of what replaced it.
func (s *Store) dropChunks(o *object, rec *record) {
	if rec.kind != KindChunked {
		return
	}
	at, upload := *o, strings.Clone(rec.chunks.upload)
	s.inPlace.remove(upload, true)
	if s.generations.later(upload, func() { s.removeChunks(&at, upload, nil) }) {
		return
	}
	s.removeChunks(o, upload, o.mp)
}

// removeChunks removes everything of an upload id from all mountpaths, the
// upload first, so that no part of what remains after a crash can be taken for
// an upload that goes on. held is the mountpath of which the caller has a slot.
// What cannot be removed is garbage that nobody sees, and is collected.
func (s *Store) removeChunks(o *object, upload string, held *fsys.Mountpath) {
	var files []Belonging
	fail := func(mp *fsys.Mountpath, err error) {
		if err != nil {
			s.log.Warn("chunks stay until they are collected", "object", o.Cname(), "upload", upload, "mountpath", mp.Path, "err", err)
		}
	}
	for _, mp := range s.options.FS.Available().All() {
		fail(mp, s.withSlot(mp, held, func() (err error) {
			files, err = s.inChunksHere(mp, o, upload, files)
			return err
		}))
	}
	for _, uploads := range [...]bool{true, false} {
		for i := range files {
			if b := &files[i]; uploads == (b.Kind == BelongsUpload) {
				fail(b.Mountpath, s.withSlot(b.Mountpath, held, func() error { return s.unlinkIfThere(b.Path) }))
			}
		}
	}
}

// withSlot runs a disk operation in a slot of a mountpath, unless the caller
// has one already; a mountpath that is out of use is passed over.
func (s *Store) withSlot(mp, held *fsys.Mountpath, do func() error) error {
	if mp != held {
		if err := s.acquire(context.Background(), mp); err != nil {
			if errors.Is(err, errLeft) {
				return nil
			}
			return err
		}
		defer mp.Release()
	}
	return do()
}

func (s *Store) unlinkIfThere(path string) error {
	if err := s.system.Unlink(path); err != nil && !isNotExist(err) {
		return err
	}
	return nil
}
