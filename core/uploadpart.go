package core

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"strconv"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
)

// PartOptions is what a client says of a part that it sends.
type PartOptions struct {
	Size int64 // bytes announced; -1: unknown, the body ends with io.EOF

	// MaxNumber is the greatest part number that counts; 0: MaxParts.
	MaxNumber int
	// MD5 has it computed and kept, for clients that name it at completion.
	MD5 bool
	// SHA256 is what the client says the part has, in hex; "": nothing.
	SHA256 string
}

// PutPart stores one part of an upload. Parts come in any order and at the
// same time; one that was there under the number is replaced. When PutPart
// returns nil the part is on stable storage if the bucket's durability says
// so. After an error the part that was there before is there still, or, if the
// last flush failed, one of the two.
//
// Errors: 404 no such upload, or it ended meanwhile; 400 the body is longer
// than announced or has another SHA-256; 500 a bad number, a body that is
// shorter or breaks off, I/O; 503; 507 out of space.
func (s *Store) PutPart(ctx context.Context, key Key, id string, number int, body io.Reader, opts PartOptions) (Part, error) {
	o, err := s.resolveUpload(key)
	if err != nil {
		return Part{}, err
	}
	if err := checkPartNumber(number, opts.MaxNumber); err != nil {
		return Part{}, err
	}
	u, err := s.useUpload(ctx, &o, id)
	if err != nil {
		return Part{}, err
	}
	defer s.uploads.doneWith(u)
	p, err := s.newPartFile(ctx, &o, id, number, o.Props.SyncWrites())
	if err != nil {
		return Part{}, err
	}
	defer p.discard()
	if err := p.mp.Room(opts.Size); err != nil {
		return Part{}, err
	}
	if opts.MD5 {
		p.md5 = newMD5()
	}
	whole, taken := u.takeWhole(number)
	if taken {
		defer u.giveWholeBack()
	}
	if err := p.receive(ctx, body, &opts, whole); err != nil {
		return Part{}, err
	}
	if taken {
		if err := p.keepWhole(u.whole.kind, whole); err != nil {
			return Part{}, err
		}
	}
	flushing := context.WithoutCancel(ctx)
	if err := p.seal(flushing); err != nil {
		return Part{}, err
	}
	if err := u.add(flushing, p, taken); err != nil {
		return Part{}, err
	}
	return p.rec.part(), nil
}

// checkPartNumber refuses numbers that no part has. (Clients know the texts,
// and the status, by heart.)
func checkPartNumber(number, most int) error {
	if most <= 0 {
		most = MaxParts
	}
	switch {
	case number <= 0:
		return apierr.New(apierr.StatusInternalServerError, "", "invalid chunk number (%d): expecting 1 to %d", number, most)
	case number > min(most, maxChunkNumber):
		return apierr.New(apierr.StatusInternalServerError, "", "chunk number (%d) exceeds the maximum allowed (%d)", number, most)
	}
	return nil
}

// receive reads and checks the body. whole is the hash of the object so far,
// if this part goes on with it.
func (p *partFile) receive(ctx context.Context, from io.Reader, opts *PartOptions, whole hash.Hash) error {
	var theirs hash.Hash
	if opts.SHA256 != "" {
		theirs = sha256.New()
	}
	b := body{Reader: from, of: p.o, what: "part " + strconv.Itoa(p.rec.number), size: opts.Size}
	_, err := b.each(ctx, p.s, func(data []byte) error {
		if whole != nil {
			_, _ = whole.Write(data) // hashes never fail
		}
		if theirs != nil {
			_, _ = theirs.Write(data) // hashes never fail
		}
		_, err := p.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	if theirs == nil {
		return nil
	}
	if sum := hex.EncodeToString(theirs.Sum(nil)); sum != opts.SHA256 {
		return apierr.BadRequest("PUT %s: part %d: %v", p.o.Cname(), p.rec.number,
			apierr.BadChecksum(cksum.SHA256, opts.SHA256, sum, p.o.Cname()))
	}
	return nil
}

// keepWhole puts the state of the whole checksum beside the part.
func (p *partFile) keepWhole(kind string, whole hash.Hash) error {
	p.rec.wholeType = kind
	if whole == nil {
		return nil
	}
	state, err := stateOf(whole)
	p.rec.wholeState = string(state)
	return err
}

// takeWhole gives the hash of the object so far to the part that comes next;
// taken is false if this is not it, or if another one has it.
func (u *upload) takeWhole(number int) (h hash.Hash, taken bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	w := &u.whole
	if w.next != number || w.taken {
		return nil, false
	}
	h, err := w.hashOf(w.state)
	if err != nil { // a state that this release cannot read
		w.next = 0
		return nil, false
	}
	w.taken = true
	return h, true
}

func (u *upload) giveWholeBack() {
	u.mu.Lock()
	u.whole.taken = false
	u.mu.Unlock()
}

// add gives a part its name and counts it, unless the upload has ended.
func (u *upload) add(ctx context.Context, p *partFile, inOrder bool) error {
	if err := u.gate.enter(ctx, false); err != nil {
		return err
	}
	defer u.gate.leave(false)
	if u.over() {
		return noUpload(p.o, u.id)
	}
	replaced, err := u.publish(ctx, p, inOrder)
	if err != nil {
		return err
	}
	if err := p.flushName(ctx); err != nil {
		return err
	}
	// Not before the new one has its name for good.
	if replaced != nil && replaced.mp != p.mp {
		old := chunkPath(replaced.mp, p.o, u.id, p.rec.number)
		if err := p.s.withSlot(replaced.mp, nil, func() error { return p.s.unlinkIfThere(old) }); err != nil {
			p.s.log.Warn("a replaced part stays until the upload ends", "path", old, "err", err)
		}
	}
	u.mu.Lock()
	if now := u.parts[p.rec.number]; now != nil && now.clock == p.rec.clock {
		now.durable = p.sync
	}
	u.mu.Unlock()
	return nil
}

// publish renames and counts as one step, so that what is counted is what has the
// name.
func (u *upload) publish(ctx context.Context, p *partFile, inOrder bool) (replaced *storedPart, err error) {
	u.publishing <- struct{}{}
	defer func() { <-u.publishing }()
	err = p.publish(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	replaced = u.parts[p.rec.number]
	if inOrder && u.whole.next != p.rec.number { // given up meanwhile
		inOrder = false
	}
	if err != nil {
		u.lookAgain(p, replaced)
		return nil, err
	}
	u.parts[p.rec.number] = &storedPart{partRecord: p.rec, mp: p.mp}
	w := &u.whole
	switch {
	case inOrder:
		w.next, w.state = p.rec.number+1, []byte(p.rec.wholeState)
	default:
		w.next, w.state = 0, nil
	}
	return replaced, nil
}

// lookAgain finds out what has the name after a rename that returned an error
// and may have taken place.
func (u *upload) lookAgain(p *partFile, before *storedPart) {
	rec, ok, err := p.s.readPart(p.name())
	switch {
	case err != nil, !ok && before != nil && before.mp == p.mp:
		delete(u.parts, p.rec.number) // nobody knows: it has to come again
	case ok && rec.clock == p.rec.clock:
		u.parts[p.rec.number] = &storedPart{partRecord: rec, mp: p.mp}
	default:
		return
	}
	u.whole.next, u.whole.state = 0, nil
}
