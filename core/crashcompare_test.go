package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/fs"
)

// check compares the store with the model, and takes what it found for what is
// there: a start flushes every filesystem before it serves. whole: it waits
// until the listing indexes are whole, and compares them as well.
func (m *crashMachine) check(random *rand.Rand, powerless, whole bool) (err error) {
	m.run(random, nil, func() {
		if err = m.compare(powerless); err == nil && whole {
			err = m.compareIndex()
		}
	})
	return err
}

// compareIndex waits until all is listed from the indexes, and compares that
// with the files.
func (m *crashMachine) compareIndex() error {
	for began := time.Now(); !m.indexed(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Hour {
			return failf("the listing index is not whole after %v", time.Since(began))
		}
	}
	all := ListOptions{Props: ListSize | ListChecksum | ListVersion | ListCopies | ListCustom | ListLocation | ListMtime | ListETag, Stamps: true, Missing: true}
	indexed, err := m.store.List(context.Background(), m.bck, m.props, all)
	if err != nil {
		return failf("the listing from the index fails: %v", err)
	}
	if !m.indexed() {
		return failf("the listing index was given up by a listing")
	}
	table := m.store.indexing.table.Load()
	m.store.indexing.table.Store(&indexTable{})
	walked, err := m.store.List(context.Background(), m.bck, m.props, all)
	m.store.indexing.table.Store(table)
	if err != nil {
		return failf("the listing from the files fails: %v", err)
	}
	if in, out := fmt.Sprintf("%+v", indexed), fmt.Sprintf("%+v", walked); in != out {
		return failf("listed from the index %.2000s\nfrom the files %.2000s", in, out)
	}
	return nil
}

// indexed tells whether all is listed from the indexes.
func (m *crashMachine) indexed() bool {
	for _, state := range m.store.IndexStates(m.props.BID) {
		if !state.Ready {
			return false
		}
	}
	return true
}

func (m *crashMachine) listNames(limit int) (listed []string, err error) {
	for {
		o := ListOptions{Limit: limit}
		if len(listed) > 0 {
			o.After = listed[len(listed)-1]
		}
		page, err := m.store.List(context.Background(), m.bck, m.props, o)
		if err != nil {
			return nil, failf("the listing fails: %v", err)
		}
		for i := range page {
			listed = append(listed, page[i].Name)
		}
		if len(page) < limit {
			return listed, nil
		}
	}
}

func (m *crashMachine) compare(powerless bool) error {
	var present []string
	broken := false
	m.damage = false
	// What a start lists at once: GET has moved nothing aside yet.
	first, err := m.listNames(1000)
	if err != nil {
		return err
	}
	holds := make(map[string]*crashVersion)
	known := make(map[string]bool) // paths
	for _, name := range m.plan.Names {
		found, err := m.compareName(name, powerless)
		if err != nil {
			return err
		}
		holds[name] = found
		m.model.settle(name, found)
		if err := m.compareVersions(name); err != nil {
			return err
		}
		if !found.absent {
			present = append(present, name)
		}
		broken = broken || found.broken
		o, err := m.store.resolve(m.key(name))
		if err != nil {
			return err
		}
		now, err := m.store.current(&o)
		if err != nil {
			return err
		}
		known[now.path], known[now.older] = true, true
	}
	slices.Sort(present)
	if !broken { // a listing may show an object of which a chunk is lost
		if !m.damage && !slices.Equal(first, present) {
			return failf("listed at first: %q, but GET finds %q", first, present)
		}
		for _, limit := range []int{1, 1000} {
			listed, err := m.listNames(limit)
			if err != nil {
				return err
			}
			if !slices.Equal(listed, present) {
				return failf("listed by %d: %q, but GET finds %q", limit, listed, present)
			}
		}
	}
	if move := m.moving; move != nil && holds[move.from].absent && move.moved.durable {
		if now := holds[move.to]; now.absent || now.content() != move.moved.content() {
			return failf("renamed from %.30q, which is gone, to %.30q, which holds %v", move.from, move.to, now)
		}
	}
	m.moving = nil
	if err := m.compareUploads(holds, powerless); err != nil {
		return err
	}
	return m.compareFiles(known, powerless)
}

// compareName reads a name and finds the version that it holds.
func (m *crashMachine) compareName(name string, powerless bool) (*crashVersion, error) {
	possible, mayBeDamaged := m.model.possible(name, powerless)
	absent := &crashVersion{absent: true}
	reader, err := m.store.Open(context.Background(), m.key(name))
	if statusOf(err) == 500 && mayBeDamaged && strings.HasPrefix(err.Error(), "BAD DATA CHECKSUM") {
		m.damage = true
		_, again := m.store.Open(context.Background(), m.key(name))
		if strings.Contains(err.Error(), "truncated") && statusOf(again) == 500 {
			return &crashVersion{broken: true}, nil
		}
		if statusOf(again) != 404 {
			return nil, failf("%.30q: damaged, and then: %v", name, again)
		}
		absent.aside = !m.props.SyncWrites()
		return absent, nil
	}
	if statusOf(err) == 404 {
		for _, v := range possible {
			if v.absent {
				return v, nil
			}
		}
		if mayBeDamaged {
			return absent, nil
		}
		return nil, failf("%.30q is not found; it may hold %v", name, possible)
	}
	if err != nil {
		return nil, failf("%.30q: %v; it may hold %v", name, err, possible)
	}
	content, err := readWhole(reader)
	if err != nil {
		if mayBeDamaged && statusOf(err) == 500 && strings.Contains(err.Error(), "truncated") {
			return &crashVersion{broken: true}, nil
		}
		return nil, failf("%.30q: %v", name, err)
	}
	for _, v := range possible {
		if !v.absent && string(content) == v.content() && slices.Equal(reader.Custom, v.custom()) && (!v.acked || v.version == "" || v.version == reader.Version) {
			return v, nil
		}
	}
	return nil, failf("%.30q holds %d bytes %.12q, version %s; it may hold %v", name, len(content), content, reader.Version, possible)
}

// readWhole reads an object, and checks that it is not torn.
func readWhole(reader *Reader) ([]byte, error) {
	chunked := reader.IsChunked()
	err := reader.Prepare(context.Background(), 0, reader.Size)
	if err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	content, err := io.ReadAll(io.NewSectionReader(reader, 0, reader.Size))
	if err = errors.Join(err, reader.Close()); err != nil {
		return nil, err
	}
	// The checksum of an upload is one of its parts'; the model knows the content.
	sum, err := sumOf(cksum.XXHash2, content)
	if err == nil && !chunked && sum != reader.Checksum {
		err = fmt.Errorf("served torn: %d bytes", len(content))
	}
	return content, err
}

// compareVersions looks for every version that was acknowledged: none is ever
// removed here.
func (m *crashMachine) compareVersions(name string) error {
	for _, kept := range m.model.kept[name] {
		reader, err := m.store.OpenVersion(context.Background(), m.key(name), kept.id)
		if err != nil {
			return failf("%.30q: version of operation %d: %v", name, kept.crashVersion.id, err)
		}
		content, err := readWhole(reader)
		if err != nil || string(content) != kept.content() {
			return failf("%.30q: version of operation %d: %d bytes, %v", name, kept.crashVersion.id, len(content), err)
		}
	}
	return nil
}

// compareFiles looks for files that no name has.
func (m *crashMachine) compareFiles(known map[string]bool, powerless bool) error {
	var files []string
	for i := range m.plan.Disks {
		m.system.Walk(fmt.Sprintf("/disk%d", i+1), func(path string, info fs.FileInfo) {
			if info.Kind == fs.KindFile {
				files = append(files, path)
			}
		})
	}
	var buf [recordBuffer]byte
	for _, path := range files {
		switch {
		case strings.Contains(path, "/.$deleted/"), known[path]:
		case strings.Contains(path, "/%wk/"):
			return failf("a work file was left over: %s", path)
		case strings.Contains(path, "/%ob/"), strings.Contains(path, "/%ox/"):
			n, err := m.system.GetXattr(path, XattrRecord, buf[:])
			if err != nil {
				if powerless || m.plan.lazy() {
					continue // acknowledged before it was on stable storage
				}
				return failf("a file without a record: %s: %v", path, err)
			}
			form, content, err := openFrame(buf[:n])
			if err != nil {
				return failf("a file with a damaged record: %s: %v", path, err)
			}
			if form != formInline {
				continue // whose it is is in its sidecar
			}
			var rec record
			if err := rec.decodeBody(content); err != nil {
				return failf("a file with a damaged record: %s: %v", path, err)
			}
			if rec.bid == m.props.BID {
				return failf("a file of no name: %s", path)
			}
		}
	}
	return nil
}
