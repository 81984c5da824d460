package core

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core/meta"
)

// perform is one operation; the model is told.
func (m *crashMachine) perform(op crashOp) (func(), func() error) {
	m.serial++
	v := &crashVersion{id: m.serial, size: op.Size, large: op.Large, durable: m.props.SyncWrites()}
	name := m.plan.Names[op.Name]
	var err error
	var attrs Attrs
	var run func()
	opts := PutOptions{Size: int64(v.size)}
	if m.plan.Versions {
		opts.Keep = KeepVersion
	}
	switch op.Kind {
	case "put", "stream":
		opts.Custom = v.custom()
		if op.Kind == "stream" {
			opts.Size = -1
		}
		opts.SkipVC = !v.large // else the custom keys of the former one stay
		run = func() {
			attrs, err = m.store.Put(context.Background(), m.key(name), strings.NewReader(v.content()), opts)
		}
	case "multipart":
		opts.Custom, opts.SkipVC = v.custom(), !v.large
		run = func() { attrs, err = m.multipart(name, v.content(), opts) }
	case "marker":
		v.absent = true
		run = func() { _, err = m.store.PutDeleteMarker(context.Background(), m.key(name), KeepVersion) }
	case "same":
		// The content of the newest version, with its checksum: nothing is
		// to be written.
		versions := m.model.versions(name)
		last := versions[len(versions)-1]
		if last.absent || last.broken {
			return nil, nil
		}
		v.id, v.size, v.large = last.id, last.size, last.large
		v.fixed, v.text, v.customs = last.fixed, last.text, last.customs
		opts.Size = int64(v.size)
		opts.Custom = v.custom()
		possible, _ := m.model.possible(name, false)
		opts.SkipVC = len(possible) > 1 // it may not be there: write it again
		sum, sumErr := sumOf(cksum.XXHash2, []byte(v.content()))
		if sumErr != nil {
			panic(sumErr)
		}
		opts.Checksum = sum
		run = func() {
			attrs, err = m.store.Put(context.Background(), m.key(name), strings.NewReader(v.content()), opts)
		}
	case "delete":
		v.absent = true
		run = func() {
			if err = m.store.Delete(context.Background(), m.key(name)); statusOf(err) == 404 {
				err = nil
			}
		}
	case "bury":
		v.absent = true
		run = func() { _, err = m.store.Bury(context.Background(), m.key(name)) }
	case "create", "part", "parts", "complete", "abort":
		return m.performUpload(&op, name, v)
	default:
		return m.performOn(&op, name, v)
	}
	m.model.begin(name, v)
	return run, func() error {
		if err != nil {
			return failf("%s %.30q failed without a reason: %v", op.Kind, name, err)
		}
		v.acked, v.version, v.end = true, attrs.Version, m.model.tick()
		if attrs.Versioned && v.durable {
			m.model.kept[name] = append(m.model.kept[name], keptVersion{attrs.VersionID(), v})
		}
		return nil
	}
}

// performOn is an operation whose outcome hangs on what there is: it is left out
// where the model does not know that.
func (m *crashMachine) performOn(op *crashOp, name string, v *crashVersion) (func(), func() error) {
	ctx := context.Background()
	key, from := m.key(name), m.plan.Names[op.From]
	source := name
	if op.Kind == "copy" || op.Kind == "rename" {
		source = from
	}
	base := m.model.only(source)
	switch {
	case base == nil, base.broken, base.absent && op.Kind != "append", op.Kind == "rename" && from == name:
		return nil, nil
	}
	body := v.content()
	v.fixed, v.text, v.customs = true, "", nil
	if !base.absent {
		v.text, v.customs = base.content(), base.custom()
	}
	var attrs Attrs
	var err error
	var run func()
	var gone *crashVersion
	switch op.Kind {
	case "append":
		v.text += body
		run = func() {
			var h AppendHandle
			half := len(body) / 2
			if h, err = m.store.BeginAppend(ctx, key, strings.NewReader(body[:half]), int64(half), 0); err != nil {
				return
			}
			if h, err = m.store.Append(ctx, key, h, strings.NewReader(body[half:]), -1, 0); err == nil {
				attrs, err = m.store.FlushAppend(ctx, key, h, cksum.Value{})
			}
		}
	case "patch":
		v.customs = []KV{{"k", fmt.Sprint(v.id)}} // which a later write replaces
		if op.Large {
			v.customs[0].Value = strings.Repeat(v.customs[0].Value, 2000/len(v.customs[0].Value))
		}
		run = func() { attrs, err = m.store.SetCustom(ctx, key, v.customs, true) }
	case "copy":
		run = func() { _, err = m.store.Copy(ctx, m.key(from), key, false) }
	case "rename":
		gone = &crashVersion{id: v.id, absent: true, durable: v.durable}
		run = func() {
			var moved Attrs
			if moved, err = m.store.Copy(ctx, m.key(from), key, true); err == nil {
				err = m.store.DeleteUnchanged(ctx, m.key(from), moved.Stamp)
			}
		}
		m.moving = &crashMove{from, name, v}
		m.model.begin(from, gone)
	default:
		panic(op.Kind)
	}
	v.size = len(v.text)
	m.model.begin(name, v)
	return run, func() error {
		if err != nil {
			return failf("%s %.30q failed without a reason: %v", op.Kind, name, err)
		}
		v.acked, v.version, v.end = true, attrs.Version, m.model.tick()
		if gone != nil {
			gone.acked, gone.end = true, v.end
		}
		return nil
	}
}

// multipart uploads a content in three parts, the last one first.
func (m *crashMachine) multipart(name, content string, opts PutOptions) (Attrs, error) {
	ctx := context.Background()
	id, err := m.store.CreateUpload(ctx, m.key(name), CreateOptions{})
	if err != nil {
		return Attrs{}, err
	}
	var complete CompleteOptions
	complete.Put = opts
	for number := 3; number > 0; number-- {
		part := content[(number-1)*len(content)/3 : number*len(content)/3]
		if _, err := m.store.PutPart(ctx, m.key(name), id, number, strings.NewReader(part), PartOptions{Size: int64(len(part))}); err != nil {
			return Attrs{}, err
		}
		complete.Parts = append(complete.Parts, CompletePart{Number: number})
	}
	return m.store.CompleteUpload(ctx, m.key(name), id, complete)
}

// recreate destroys the bucket and makes it again. The node keeps the bucket
// metadata before it applies it.
func (m *crashMachine) recreate() func() error {
	before := m.bmd
	without := meta.NewBMD("cluster01", m.bmd.Version+1)
	props := m.props.Clone()
	props.BID++
	m.props = props
	m.bmd = meta.NewBMD("cluster01", without.Version+1, meta.BucketEntry{Bck: m.bck, Props: props})
	clear(m.model.kept)
	// An object whose record is damaged does not tell of which bucket it is.
	for name, versions := range m.model.names {
		left := []*crashVersion{{absent: true, acked: true, durable: true}}
		for _, v := range versions {
			left[0].durable = left[0].durable && v.durable
		}
		m.model.names[name] = left
	}
	return func() error {
		return errors.Join(m.store.ApplyBMD(context.Background(), before, without), m.store.ApplyBMD(context.Background(), without, m.bmd))
	}
}
