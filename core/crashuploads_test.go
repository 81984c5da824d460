package core

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
)

// crashUpload is what is known of an upload. Whether it goes on, and what each
// part number holds, are names of the model.
type crashUpload struct {
	serial  int
	name    string // of the object
	id      string // "" as long as nobody was told
	customs []KV
	numbers []int         // that were ever sent
	end     *crashVersion // what the completion under way makes of the object; nil: there is none
	aborted bool
}

// upload and part are names of the model, which no object has.
func (u *crashUpload) upload() string { return fmt.Sprintf("\x00upload %d", u.serial) }

func (u *crashUpload) part(number int) string { return fmt.Sprintf("\x00part %d.%d", u.serial, number) }

// addUploads makes some operations of a plan steps of uploads. They are drawn
// apart from the others, which stay what they were.
func (p *crashPlan) addUploads(random *rand.Rand) {
	for i := range p.Steps {
		step := &p.Steps[i]
		for j := range step.Ops {
			op := &step.Ops[j]
			if random.IntN(5) < 2 {
				continue
			}
			op.Kind = [...]string{
				"part", "part", "part", "part", "part", "part", "create", "parts", "complete", "complete", "abort",
			}[random.IntN(11)]
			op.From, op.Part, op.Large = 0, 1+random.IntN(3), random.IntN(3) == 0
			op.Upload = random.IntN(2)
		}
	}
}

// performUpload is a step of an upload. A part of no upload begins one.
func (m *crashMachine) performUpload(op *crashOp, name string, v *crashVersion) (func(), func() error) {
	var open []*crashUpload
	for _, u := range m.uploads {
		if state := m.model.only(u.upload()); state != nil && !state.absent && u.id != "" {
			open = append(open, u)
		}
	}
	if op.Kind == "create" || op.Kind == "part" && len(open) == 0 {
		return m.createUpload(name, v)
	}
	if len(open) == 0 {
		return nil, nil
	}
	u := open[op.Upload%len(open)]
	switch op.Kind {
	case "part":
		return m.putPart(u, op.Part, v)
	case "abort":
		return m.abortUpload(u, v)
	case "complete":
		return m.completeUpload(u, op, v)
	}
	var failed error
	return func() { failed = m.compareUpload(u, nil, false) }, func() error { return failed }
}

func (m *crashMachine) createUpload(name string, v *crashVersion) (func(), func() error) {
	u := &crashUpload{serial: v.id, name: name, customs: v.custom()}
	m.uploads = append(m.uploads, u)
	m.model.begin(u.upload(), v)
	var id string
	var err error
	run := func() {
		id, err = m.store.CreateUpload(context.Background(), m.key(name), CreateOptions{Custom: u.customs})
	}
	return run, func() error {
		u.id, v.acked, v.end = id, true, m.model.tick()
		return without(err, "the creation of an upload of", name)
	}
}

func (m *crashMachine) putPart(u *crashUpload, number int, v *crashVersion) (func(), func() error) {
	if !slices.Contains(u.numbers, number) {
		u.numbers = append(u.numbers, number)
	}
	m.model.begin(u.part(number), v)
	var err error
	run := func() {
		opts := PartOptions{Size: int64(v.size), MD5: v.large}
		_, err = m.store.PutPart(context.Background(), m.key(u.name), u.id, number, strings.NewReader(v.content()), opts)
	}
	return run, func() error {
		v.end = m.model.tick()
		if v.acked = err == nil; statusOf(err) == 404 && u.aborted {
			err = nil
		}
		return without(err, "a part of", u.name)
	}
}

func (m *crashMachine) abortUpload(u *crashUpload, v *crashVersion) (func(), func() error) {
	v.absent, u.aborted = true, true
	m.model.begin(u.upload(), v)
	var err error
	run := func() { err = m.store.AbortUpload(context.Background(), m.key(u.name), u.id) }
	return run, func() error {
		v.acked, v.end = true, m.model.tick()
		return without(err, "the abort of an upload of", u.name)
	}
}

// completeUpload makes an object of some of the parts. It is left out where the
// model does not know what they are.
func (m *crashMachine) completeUpload(u *crashUpload, op *crashOp, v *crashVersion) (func(), func() error) {
	opts := CompleteOptions{Listed: true, Put: PutOptions{Custom: u.customs, SkipVC: u.customs == nil}}
	if m.plan.Versions {
		opts.Put.Keep = KeepVersion
	}
	slices.Sort(u.numbers)
	text := ""
	for _, number := range u.numbers {
		part := m.model.only(u.part(number))
		if part == nil || part.broken {
			return nil, nil
		}
		if part.absent || number == op.Part { // others are dropped
			continue
		}
		opts.Parts = append(opts.Parts, CompletePart{Number: number})
		text += part.content()
	}
	if len(opts.Parts) == 0 {
		return nil, nil
	}
	v.fixed, v.text, v.size, v.customs = true, text, len(text), u.customs
	ended := &crashVersion{id: v.id, absent: true, durable: v.durable}
	u.end = v
	m.model.begin(u.upload(), ended)
	m.model.begin(u.name, v)
	var attrs Attrs
	var err error
	run := func() { attrs, err = m.store.CompleteUpload(context.Background(), m.key(u.name), u.id, opts) }
	return run, func() error {
		v.acked, v.version, v.end = true, attrs.Version, m.model.tick()
		ended.acked, ended.end, u.end = true, v.end, nil
		if attrs.Versioned && v.durable {
			m.model.kept[u.name] = append(m.model.kept[u.name], keptVersion{attrs.VersionID(), v})
		}
		return without(err, "the completion of an upload of", u.name)
	}
}

// without is the failure of an operation that had no reason to fail.
func without(err error, what, name string) error {
	if err == nil {
		return nil
	}
	return failf("%s %.30q failed without a reason: %v", what, name, err)
}

// compareUploads looks for the uploads after a start, and takes what it finds
// for what is there. holds is what the objects of their names hold.
func (m *crashMachine) compareUploads(holds map[string]*crashVersion, powerless bool) error {
	if len(m.uploads) == 0 {
		return nil
	}
	if m.serial%2 == 0 { // what no upload has goes, before any was looked at or after
		if err := m.collectChunks(); err != nil {
			return err
		}
	}
	for _, u := range m.uploads {
		if u.id == "" {
			continue // its creation did not return
		}
		if err := m.compareUpload(u, holds, powerless); err != nil {
			return err
		}
	}
	if err := m.collectChunks(); err != nil {
		return err
	}
	left := m.uploads[:0]
	for _, u := range m.uploads {
		if state := m.model.only(u.upload()); u.id != "" && !state.absent {
			u.aborted = false // an abort that a crash cut short has not taken place
			left = append(left, u)
		} else if err := m.noFilesOf(u); err != nil {
			return err
		}
	}
	m.uploads = left
	return nil
}

func (m *crashMachine) collectChunks() error {
	if _, err := m.store.CollectGarbage(context.Background(), m.bck, m.props, -1e9); err != nil {
		return failf("the collection of chunks fails: %v", err)
	}
	return nil
}

// noFilesOf looks for files of an upload that was aborted.
func (m *crashMachine) noFilesOf(u *crashUpload) (err error) {
	for i := range m.plan.Disks {
		m.system.Walk(fmt.Sprintf("/disk%d", i+1), func(path string, info fs.FileInfo) {
			if u.aborted && info.Kind == fs.KindFile && strings.Contains(path, "/"+u.id) && !strings.Contains(path, "/.$deleted/") {
				err = failf("a file of an aborted upload of %.30q was left over: %s", u.name, path)
			}
		})
	}
	return err
}

// compareUpload compares an upload with the model. An upload that is there has
// all its parts; one that is completed is not there, and the other way round.
func (m *crashMachine) compareUpload(u *crashUpload, holds map[string]*crashVersion, powerless bool) error {
	started := holds != nil
	states, mayBeLost := m.model.possible(u.upload(), powerless)
	parts, err := m.store.ListParts(context.Background(), m.key(u.name), u.id)
	gone := statusOf(err) == 404
	if err != nil && !gone {
		return failf("the parts of an upload of %.30q: %v", u.name, err)
	}
	i := slices.IndexFunc(states, func(v *crashVersion) bool { return v.absent == gone })
	if i < 0 {
		return failf("an upload of %.30q is gone: %v; it may be %v", u.name, gone, states)
	}
	if end := u.end; started && end != nil && end.durable {
		u.end = nil
		now := holds[u.name]
		if now.id == end.id && !now.absent && !gone {
			return failf("%.30q holds what an upload makes of it, and the upload goes on", u.name)
		}
		if gone && now.id != end.id && now.end < end.start && !m.model.looksLike(now, end) {
			return failf("the upload of %.30q is gone, and it holds %v", u.name, now)
		}
	}
	if started {
		m.model.settle(u.upload(), states[i])
	}
	if gone {
		return nil
	}
	for _, number := range u.numbers {
		if err := m.comparePart(u, number, parts, powerless, mayBeLost, started); err != nil {
			return err
		}
	}
	for i := range parts {
		if !slices.Contains(u.numbers, parts[i].Number) {
			return failf("an upload of %.30q has part %d, which nobody sent", u.name, parts[i].Number)
		}
	}
	return nil
}

// comparePart compares a part with what the model says of its number.
func (m *crashMachine) comparePart(u *crashUpload, number int, parts []Part, powerless, mayBeLost, started bool) error {
	possible, mayBeDamaged := m.model.possible(u.part(number), powerless)
	at := slices.IndexFunc(parts, func(p Part) bool { return p.Number == number })
	found := slices.IndexFunc(possible, func(v *crashVersion) bool {
		if at < 0 || v.absent {
			return at < 0 && v.absent
		}
		return parts[at].Size == int64(v.size) && parts[at].CRC32C == crc32.Checksum([]byte(v.content()), castagnoli)
	})
	if found < 0 && at < 0 && (mayBeDamaged || mayBeLost) {
		m.model.settle(u.part(number), &crashVersion{absent: true})
		return nil
	}
	if found < 0 {
		return failf("part %d of an upload of %.30q is listed as %+v; it may be %v", number, u.name, parts, possible)
	}
	if at < 0 || !started {
		return m.settlePart(u, number, possible[found], started)
	}
	content, err := m.partContent(u, number)
	if err != nil {
		return err
	}
	v := *possible[found]
	if v.broken = content != v.content(); v.broken && !mayBeDamaged {
		return failf("part %d of an upload of %.30q is torn: %d bytes %.20q; it is listed as %v", number, u.name, len(content), content, &v)
	}
	return m.settlePart(u, number, &v, started)
}

func (m *crashMachine) settlePart(u *crashUpload, number int, found *crashVersion, started bool) error {
	if started {
		m.model.settle(u.part(number), found)
	}
	return nil
}

// partContent reads the file of a part, which no request does.
func (m *crashMachine) partContent(u *crashUpload, number int) (string, error) {
	o, err := m.store.resolve(m.key(u.name))
	if err != nil {
		return "", err
	}
	known, err := m.store.useUpload(context.Background(), &o, u.id)
	if err != nil {
		return "", err
	}
	defer m.store.uploads.doneWith(known)
	part := known.parts[number]
	file, err := m.system.Open(chunkPath(part.mp, &o, u.id, number), unix.O_RDONLY, 0)
	if err != nil {
		return "", failf("part %d of an upload of %.30q: %v", number, u.name, err)
	}
	content, err := io.ReadAll(io.NewSectionReader(file, 0, part.size))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return string(content), err
}
