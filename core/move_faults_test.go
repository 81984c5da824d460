package core

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core/meta"
)

// movedGeneration is a generation as another target would send it.
type movedGeneration struct {
	head    moveHead
	content string
}

// sentOf makes one that was written long ago, or will be.
func sentOf(props *meta.Bprops, content string, when int64, custom ...KV) *movedGeneration {
	at := time.Unix(1_500_000_000+when*1_000_000_000, 0)
	sum, err := cksum.Of(props.Checksum.Type, []byte(content))
	if err != nil {
		panic(err)
	}
	return &movedGeneration{content: content, head: moveHead{rec: record{
		kind: KindObject, size: int64(len(content)), bid: props.BID, checksum: sum, version: "7", custom: custom,
		stamp: Stamp{Clock: uint64(at.UnixMilli()) << 16, Node: 9}, mtime: at.UnixNano(), atime: at.UnixNano(),
	}}}
}

func (g *movedGeneration) inChunks(sizes ...int64) *movedGeneration {
	g.head.chunks = sizes
	g.head.rec.kind = KindChunked
	g.head.rec.chunks = chunkRef{upload: "abcdefghijkl", count: uint32(len(sizes)), largest: sizes[0]}
	return g
}

func arrive(s *Store, key Key, g *movedGeneration) error {
	_, err := s.Arrive(context.Background(), key, g.head.encode(), strings.NewReader(g.content))
	return err
}

// depart removes a name as if all of it had arrived elsewhere.
func depart(s *Store, key Key) error {
	d, err := s.Depart(context.Background(), key)
	if err != nil {
		return err
	}
	_, err = d.Remove(context.Background())
	return errors.Join(err, d.Close())
}

// faultyMoves are moves between targets whose every system call is made to fail.
func faultyMoves() []faultyOperation {
	ctx := context.Background()
	put := func(content string, keep Keep, custom ...KV) func(*crashMachine) error {
		return func(m *crashMachine) error {
			_, err := m.store.Put(ctx, m.key("o"), strings.NewReader(content), PutOptions{Size: int64(len(content)), Keep: keep, Custom: custom})
			return err
		}
	}
	large := KV{"k", strings.Repeat("v", 2040)}
	leave := func(m *crashMachine) error { return depart(m.store, m.key("o")) }
	return []faultyOperation{
		{name: "arrival", object: "o", before: "old", after: "new", prepare: put("old", KeepNothing), run: func(m *crashMachine) error {
			return arrive(m.store, m.key("o"), sentOf(m.props, "new", 1))
		}},
		{name: "arrival with a sidecar", object: "o", before: "absent", after: "new", run: func(m *crashMachine) error {
			return arrive(m.store, m.key("o"), sentOf(m.props, "new", 1, large))
		}},
		{name: "arrival in chunks", object: "o", before: "old", after: "new", prepare: put("old", KeepVersion), run: func(m *crashMachine) error {
			return arrive(m.store, m.key("o"), sentOf(m.props, "new", 1).inChunks(2, 1))
		}},
		{name: "arrival of a version", object: "o", before: "current", after: "current older", prepare: put("current", KeepVersion),
			run: func(m *crashMachine) error {
				g := sentOf(m.props, "older", -1)
				g.head.former, g.head.rec.flags = true, flagVersioned
				return arrive(m.store, m.key("o"), g)
			}, state: func(m *crashMachine) (string, error) {
				all, err := m.store.ListVersions(ctx, m.key("o"))
				var contents []string
				for i := range all {
					r, err := m.store.OpenVersion(ctx, m.key("o"), all[i].Attrs.VersionID())
					if err != nil {
						return "", err
					}
					content, err := readWhole(r)
					if err := errors.Join(err, r.Close()); err != nil {
						return "", err
					}
					contents = append(contents, string(content))
				}
				return strings.Join(contents, " "), err
			}},
		{name: "departure", object: "o", before: "old", after: "absent", prepare: put("old", KeepNothing, large), run: leave, retries: true},
	}
}
