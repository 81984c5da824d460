package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core/meta"
)

// twoOwners are two stores, of which the first is about to lose a name to the
// second. It is the first one's guard and port.
type twoOwners struct {
	from, to *rig
	lost     bool // the name
	epoch    uint64
	answers  []error // of HandOver, before it works

	earlier    Earlier
	asked      int
	superseded []Stamp
}

func (p *twoOwners) Begin(Key, uint64) (Ticket, error) {
	if !p.lost {
		return 0, nil
	}
	e := apierr.Unavailable(time.Second, "not the owner")
	e.Cause = ErrNotOwner
	return 0, e
}
func (p *twoOwners) End(Ticket) error                { return nil }
func (p *twoOwners) Placement(uint64) (uint64, bool) { return p.epoch, p.epoch == 0 }
func (p *twoOwners) Earlier(context.Context, Key, Stamp, bool) (Earlier, error) {
	p.asked++
	return p.earlier, nil
}

func (p *twoOwners) Supersede(_ context.Context, _ Key, stamp Stamp) (all bool, err error) {
	p.superseded = append(p.superseded, stamp)
	return true, nil
}

func (p *twoOwners) Gather(context.Context, Key, Stamp, bool) (all bool, err error) { return true, nil }

func (p *twoOwners) HandOver(ctx context.Context, key Key, h *Handover) (Attrs, error) {
	if len(p.answers) > 0 {
		err := p.answers[0]
		p.answers = p.answers[1:]
		return Attrs{}, err
	}
	body, err := h.Body()
	if err != nil {
		return Attrs{}, err
	}
	attrs, err := p.to.store.Take(ctx, Key{Bck: key.Bck, Props: p.to.props, Name: key.Name}, body, h)
	return attrs, errors.Join(err, body.Close())
}

func newTwoOwners(t *testing.T, props func(*meta.Bprops)) *twoOwners {
	t.Helper()
	p := &twoOwners{}
	p.from = newRig(t, rigOptions{mountpaths: 3, props: props, store: func(o *Options) {
		o.Guard, o.Ports.Peers, o.Epoch = p, p, func() uint64 { return p.epoch }
	}})
	p.to = newRig(t, rigOptions{mountpaths: 2, props: props})
	return p
}

// TestHandOver: whatever a write has received, in memory, in a file, in chunks
// or in parts, arrives whole, and nothing stays.
func TestHandOver(t *testing.T) {
	t.Parallel()
	text := func(n int) string { return strings.Repeat("0123456789", n/10+1)[:n] }
	putOf := func(size int, announced bool, opts PutOptions) func(*twoOwners) (string, Attrs, error) {
		return func(p *twoOwners) (string, Attrs, error) {
			opts := opts
			opts.Size = -1
			if announced {
				opts.Size = int64(size)
			}
			p.lost = true
			attrs, err := p.from.store.Put(context.Background(), p.from.key("o"), strings.NewReader(text(size)), opts)
			return text(size), attrs, err
		}
	}
	upload := func(order ...int) func(*twoOwners) (string, Attrs, error) {
		return func(p *twoOwners) (content string, attrs Attrs, err error) {
			key := p.from.key("o")
			id, err := p.from.store.CreateUpload(context.Background(), key, CreateOptions{Custom: []KV{{Key: "c", Value: "3"}}})
			if err != nil {
				return "", attrs, err
			}
			for _, n := range order {
				part := text(700 * n)
				if _, err := p.from.store.PutPart(context.Background(), key, id, n, strings.NewReader(part), PartOptions{Size: int64(len(part))}); err != nil {
					return "", attrs, err
				}
			}
			opts := CompleteOptions{}
			for n := range order {
				content += text(700 * (n + 1))
				opts.Parts = append(opts.Parts, CompletePart{Number: n + 1})
			}
			p.lost = true
			if len(p.answers) > 0 {
				if _, err := p.from.store.CompleteUpload(context.Background(), key, id, opts); statusOf(err) != 503 {
					return "", attrs, fmt.Errorf("not refused: %w", err)
				}
			}
			attrs, err = p.from.store.CompleteUpload(context.Background(), key, id, opts)
			return content, attrs, err
		}
	}
	appended := func(p *twoOwners) (content string, attrs Attrs, err error) {
		key := p.from.key("o")
		h, err := p.from.store.BeginAppend(context.Background(), key, strings.NewReader(text(5000)), 5000, 0)
		if err != nil {
			return "", attrs, err
		}
		p.lost = true
		if len(p.answers) > 0 {
			if _, err := p.from.store.FlushAppend(context.Background(), key, h, cksum.Value{}); statusOf(err) != 503 {
				return "", attrs, fmt.Errorf("not refused: %w", err)
			}
		}
		attrs, err = p.from.store.FlushAppend(context.Background(), key, h, cksum.Value{})
		return text(5000), attrs, err
	}
	copied := func(p *twoOwners) (content string, attrs Attrs, err error) {
		p.lost = true
		content = text(2000)
		sum, err := cksum.Of(cksum.MD5, []byte(content))
		if err != nil {
			return "", attrs, err
		}
		attrs, err = p.from.store.PutCopy(context.Background(), p.from.key("o"), strings.NewReader(content),
			Origin{Size: 2000, Checksum: sum, Version: "9", Custom: []KV{{Key: "c", Value: "3"}}, Mtime: 5, Atime: 6})
		return content, attrs, err
	}
	refused := apierr.Unavailable(time.Second, "refused")
	for _, test := range []struct {
		name    string
		do      func(*twoOwners) (string, Attrs, error)
		answers []error

		version, custom string
	}{
		{"in memory", putOf(100, true, PutOptions{}), nil, "1", "[]"},
		{"empty", putOf(0, true, PutOptions{}), nil, "1", "[]"},
		{"of unknown size", putOf(100, false, PutOptions{Version: "4", Custom: []KV{{Key: "a", Value: "1"}}}), nil, "5", "[{a 1}]"},
		{"a file", putOf(700_000, true, PutOptions{}), nil, "1", "[]"},
		{"chunks", putOf(1_500_000, true, PutOptions{}), nil, "1", "[]"},
		{"chunks of unknown size", putOf(1_500_000, false, PutOptions{}), nil, "1", "[]"},
		{"parts", upload(1, 2, 3), nil, "1", "[{c 3}]"},
		{"parts out of order", upload(3, 1, 2), nil, "1", "[{c 3}]"},
		{"parts, refused first", upload(1, 2), []error{refused}, "1", "[{c 3}]"},
		{"append", appended, nil, "1", "[]"},
		{"append, refused first", appended, []error{refused}, "1", "[]"},
		{"copy", copied, nil, "9", "[{c 3}]"},
		{"while the owner changes again", putOf(100, true, PutOptions{}), []error{ErrNotOwner, ErrNotOwner}, "1", "[]"},
	} {
		for _, durability := range []string{meta.DurabilityNone, meta.DurabilitySync} {
			for _, kind := range []string{cksum.XXHash2, cksum.None} {
				t.Run(strings.Join([]string{test.name, durability, kind}, " "), func(t *testing.T) {
					t.Parallel()
					p := newTwoOwners(t, func(b *meta.Bprops) {
						b.Durability, b.Checksum.Type = durability, kind
						b.Chunks.MaxMonolithicSize, b.Chunks.ChunkSize = 1_000_000, 400_000
					})
					p.answers = test.answers
					want, attrs, err := test.do(p)
					if err != nil {
						t.Fatal(err)
					}
					content, stored, found := p.to.get("o")
					if !found || content != want {
						t.Errorf("%d bytes, want %d", len(content), len(want))
					}
					if stored.Version != test.version || fmt.Sprint(stored.Custom) != test.custom {
						t.Errorf("version %s, keys %v", stored.Version, stored.Custom)
					}
					if attrs.Version != stored.Version || attrs.Stamp != stored.Stamp || attrs.Size != int64(len(want)) || !slices.Equal(attrs.Custom, stored.Custom) {
						t.Errorf("answered %+v, stored %+v", attrs, stored)
					}
					if test.name == "copy" && (stored.Mtime != 5 || stored.Atime != 6) {
						t.Errorf("times %d, %d", stored.Mtime, stored.Atime)
					}
					if left := p.from.files(); len(left) > 0 {
						t.Errorf("left behind: %q", left)
					}
				})
			}
		}
	}
}

// TestHandOverThatFails leaves what was there before.
func TestHandOverThatFails(t *testing.T) {
	t.Parallel()
	p := newTwoOwners(t, nil)
	p.from.put("o", "old")
	p.lost, p.answers = true, []error{apierr.Unavailable(time.Second, "the new owner does not answer")}
	if _, err := p.from.tryPut("o", "new", PutOptions{Size: 3}); statusOf(err) != 503 {
		t.Errorf("%v", err)
	}
	if _, _, found := p.to.get("o"); found {
		t.Error("stored at the new owner")
	}
	p.lost = false
	if content, attrs, _ := p.from.get("o"); content != "old" || attrs.Version != "1" {
		t.Errorf("%q, version %s", content, attrs.Version)
	}
}

// TestTakenBodyIsCompared with its checksum: the way is not trusted.
func TestTakenBodyIsCompared(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{cksum.XXHash2, cksum.None} {
		r := newRig(t, rigOptions{props: func(b *meta.Bprops) { b.Checksum.Type = kind }})
		sum, err := cksum.Of(cksum.XXHash2, []byte("content"))
		if err != nil {
			t.Fatal(err)
		}
		for body, want := range map[string]int{"content": 0, "Content": 500, "conten": 500, "contents": 400} {
			h := Handover{Options: PutOptions{Size: 7, Checksum: sum}}
			if _, err := r.store.Take(t.Context(), r.key(body), io.NopCloser(strings.NewReader(body)), &h); statusOf(err) != want && (err != nil || want != 0) {
				t.Errorf("%s, %q: %v, want %d", kind, body, err, want)
			}
		}
	}
}

// TestEarlierOwnersAreAsked once for each placement under which a write may
// take effect, and told of the write.
func TestEarlierOwnersAreAsked(t *testing.T) {
	t.Parallel()
	p := newTwoOwners(t, nil)
	p.from.put("o", "first")
	if p.asked != 0 || len(p.superseded) != 0 {
		t.Errorf("settled: asked %d times, told %v", p.asked, p.superseded)
	}
	stamp := Stamp{Epoch: 2, Clock: 1 << 62, Node: 3}
	elsewhere := Earlier{Kind: KindObject, Told: true, Attrs: Attrs{Version: "41", Custom: []KV{{Key: "a", Value: "1"}}, Stamp: stamp}}

	// The name went to another target and came back while the body was sent.
	body := &hookedBody{Reader: strings.NewReader("second"), hook: func() { p.epoch, p.earlier = 3, elsewhere }}
	attrs, err := p.from.store.Put(t.Context(), p.from.key("o"), body, PutOptions{Size: 6})
	if err != nil || attrs.Version != "42" || fmt.Sprint(attrs.Custom) != "[{a 1}]" || attrs.Stamp.Compare(stamp) <= 0 || attrs.Stamp.Epoch != 3 {
		t.Errorf("%+v, %v", attrs, err)
	}
	if p.asked != 1 || !slices.Equal(p.superseded, []Stamp{attrs.Stamp}) {
		t.Errorf("asked %d times, told %v", p.asked, p.superseded)
	}

	// What is here is newer.
	attrs, err = p.from.store.Put(t.Context(), p.from.key("o"), strings.NewReader("third"), PutOptions{Size: 5})
	if err != nil || attrs.Version != "43" {
		t.Errorf("%+v, %v", attrs, err)
	}
}

// hookedBody does something before its first byte is read.
type hookedBody struct {
	io.Reader
	hook func()
}

func (b *hookedBody) Read(p []byte) (int, error) {
	if b.hook != nil {
		b.hook()
		b.hook = nil
	}
	return b.Reader.Read(p)
}
