package promote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// alone is a cluster of one target, or of one of several.
type alone struct {
	store *core.Store
	owns  func(name string) bool                       // nil: everything
	fail  func(ctx context.Context, name string) error // before a PUT; may be nil
	mu    sync.Mutex
	jobs  map[string]bool // ids that PUTs came with
}

func (c *alone) Owns(_ wire.Bck, name string) (bool, error) {
	return c.owns == nil || c.owns(name), nil
}

func (c *alone) PutFile(ctx context.Context, job string, key core.Key, f io.ReaderAt, size int64, overwrite bool) (done, sent bool, err error) {
	c.mu.Lock()
	if c.jobs == nil {
		c.jobs = map[string]bool{}
	}
	c.jobs[job] = true
	c.mu.Unlock()
	if c.fail != nil {
		if err := c.fail(ctx, key.Name); err != nil {
			return false, false, err
		}
	}
	opts := core.PutOptions{Size: size}
	if !overwrite {
		opts.Conditions = core.IfAbsent()
	}
	_, err = c.store.Put(ctx, key, io.NewSectionReader(f, 0, size), opts)
	if apierr.StatusOf(err) == apierr.StatusPreconditionFailed && !overwrite {
		return false, false, nil
	}
	return err == nil, strings.HasSuffix(key.Name, "sent"), err
}

// promotion is a target with a directory below which may be promoted.
type promotion struct {
	*xacttest.Rig
	t       *testing.T
	cluster *alone
	root    string
}

func newPromotion(t *testing.T) *promotion {
	t.Helper()
	return newPromotionOn(t, nil)
}

// newPromotionOn is newPromotion on the disks of a system.
func newPromotionOn(t *testing.T, system fs.System) *promotion {
	t.Helper()
	root := t.TempDir()
	p := &promotion{t: t, cluster: &alone{}, root: root}
	p.Rig = xacttest.New(t, xacttest.Options{System: system}, Registration(p.cluster, func() Roots {
		return Roots{Allowed: []string{root}, Protected: []string{filepath.Join(root, "private")}}
	}))
	p.cluster.store = p.Store
	return p
}

// file makes a file below the directory, whose content is its name.
func (p *promotion) file(names ...string) {
	p.t.Helper()
	for _, name := range names {
		path := filepath.Join(p.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *promotion) spec(args string) *xact.Spec {
	spec := p.Spec(wire.ActPromote)
	spec.Args = []byte(strings.ReplaceAll(args, "ROOT", p.root))
	return spec
}

// objects are the objects of the bucket, "name=content".
func (p *promotion) objects() []string {
	p.t.Helper()
	page, err := p.Store.List(p.t.Context(), p.Bck, p.Props, core.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	all := []string{}
	for i := range page {
		r, err := p.Store.Open(p.t.Context(), p.Key(page[i].Name))
		if err != nil {
			p.t.Fatal(err)
		}
		content, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size))
		if err := errors.Join(err, r.Close()); err != nil {
			p.t.Fatal(err)
		}
		all = append(all, page[i].Name+"="+string(content))
	}
	return all
}

// left are the files that are still there.
func (p *promotion) left() (names []string) {
	p.t.Helper()
	err := filepath.WalkDir(p.root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, strings.TrimPrefix(path, p.root+"/"))
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return names
}

func TestPromote(t *testing.T) {
	t.Parallel()
	files := []string{"d/a", "d/b", "d/sub/c", "private/key", "single"}
	for _, tc := range []struct {
		name, args     string
		owns           func(string) bool
		want           []string
		left           []string // nil: all
		objects, bytes int64
		out            int64
	}{
		{"a file", `{"src":"ROOT/single"}`, nil, []string{"single=single"}, nil, 1, 6, 0},
		{"a file by a name", `{"src":"ROOT/single","obj":"x/y"}`, nil, []string{"x/y=single"}, nil, 1, 6, 0},
		{"a file into a directory", `{"src":"ROOT/single","obj":"x/"}`, nil, []string{"x/single=single"}, nil, 1, 6, 0},
		{"a directory", `{"src":"ROOT/d"}`, nil, []string{"a=d/a", "b=d/b"}, nil, 2, 6, 0},
		{"a directory, recursively", `{"src":"ROOT/d","obj":"p","rcr":true}`, nil, []string{"p/a=d/a", "p/b=d/b", "p/sub/c=d/sub/c"}, nil, 3, 13, 0},
		{"all but what is the node's own", `{"src":"ROOT","rcr":true}`, nil, []string{"d/a=d/a", "d/b=d/b", "d/sub/c=d/sub/c", "single=single"}, nil, 4, 19, 0},
		{
			"of a share what is owned", `{"src":"ROOT/d","rcr":true,"shared":true}`, func(name string) bool { return name != "b" },
			[]string{"a=d/a", "sub/c=d/sub/c"}, nil, 2, 10, 0,
		},
		{"what goes to another target", `{"src":"ROOT/single","obj":"sent"}`, nil, []string{"sent=single"}, nil, 1, 6, 1},
		{"and the files go", `{"src":"ROOT/d","rcr":true,"dls":true}`, nil, []string{"a=d/a", "b=d/b", "sub/c=d/sub/c"}, []string{"private/key", "single"}, 3, 13, 0},
		{
			"of a share the files go that are owned", `{"src":"ROOT/d","dls":true,"shared":true}`, func(name string) bool { return name == "b" },
			[]string{"b=d/b"}, []string{"d/a", "d/sub/c", "private/key", "single"}, 1, 3, 0,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPromotion(t)
			p.file(files...)
			p.cluster.owns = tc.owns
			spec := p.spec(tc.args)
			s := p.Run(spec)
			if s.Aborted || s.Error != "" || s.Stats.LocalObjects != tc.objects || s.Stats.LocalBytes != tc.bytes || s.Stats.OutObjects != tc.out {
				t.Errorf("%+v", s)
			}
			if got := p.objects(); !slices.Equal(got, tc.want) {
				t.Errorf("objects %q, want %q", got, tc.want)
			}
			want := tc.left
			if want == nil {
				want = files
			}
			if got := p.left(); !slices.Equal(got, want) {
				t.Errorf("files %q, want %q", got, want)
			}
			if len(p.cluster.jobs) != 1 || !p.cluster.jobs[spec.ID] {
				t.Errorf("counted for %v", p.cluster.jobs)
			}
		})
	}
}

// TestPromoteAgain: what is there stays, and is not counted, unless it is to be
// replaced; its source goes if that is asked for.
func TestPromoteAgain(t *testing.T) {
	t.Parallel()
	p := newPromotion(t)
	p.file("d/a", "d/b")
	p.Put("a", "older")
	if s := p.Run(p.spec(`{"src":"ROOT/d"}`)); s.Error != "" || s.Stats.LocalObjects != 1 {
		t.Errorf("%+v", s)
	}
	if got := p.objects(); !slices.Equal(got, []string{"a=older", "b=d/b"}) {
		t.Errorf("%q", got)
	}
	if s := p.Run(p.spec(`{"src":"ROOT/d","ovw":true}`)); s.Error != "" || s.Stats.LocalObjects != 2 {
		t.Errorf("%+v", s)
	}
	if got := p.objects(); !slices.Equal(got, []string{"a=d/a", "b=d/b"}) {
		t.Errorf("%q", got)
	}
	if s := p.Run(p.spec(`{"src":"ROOT/d","dls":true}`)); s.Error != "" || s.Stats.LocalObjects != 0 {
		t.Errorf("%+v", s)
	}
	if left := p.left(); len(left) != 0 {
		t.Errorf("%q", left)
	}
}

// TestPromoteErrors: a file that cannot be promoted is an error that names it; its source
// stays, and the others are promoted. What a 503 says is tried again.
func TestPromoteErrors(t *testing.T) {
	t.Parallel()
	p := newPromotion(t)
	p.file("d/a", "d/b", "d/c")
	var mu sync.Mutex
	tries := 0
	p.cluster.fail = func(_ context.Context, name string) error {
		mu.Lock()
		defer mu.Unlock()
		switch name {
		case "b":
			return apierr.New(500, "", "b: the disk fails")
		case "c":
			if tries++; tries < 3 {
				return apierr.Unavailable(time.Second, "in a moment")
			}
		}
		return nil
	}
	s := p.Run(p.spec(`{"src":"ROOT/d","dls":true}`))
	if s.Aborted || !strings.Contains(s.Error, "b: the disk fails") || s.Stats.LocalObjects != 2 || tries != 3 {
		t.Errorf("%d tries, %+v", tries, s)
	}
	if left := p.left(); !slices.Equal(left, []string{"d/b"}) {
		t.Errorf("%q", left)
	}
}

// TestSourcesThatChange: a file that is written to, or replaced, while it is promoted is not
// removed: what is in it now is nowhere else.
func TestSourcesThatChange(t *testing.T) {
	t.Parallel()
	p := newPromotion(t)
	p.file("d/grows", "d/replaced", "d/rewritten", "d/same")
	p.cluster.fail = func(_ context.Context, name string) error {
		path := filepath.Join(p.root, "d", name)
		switch name {
		case "grows":
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				_, err = f.WriteString(" and grows")
				err = errors.Join(err, f.Close())
			}
			return err
		case "replaced":
			return errors.Join(os.WriteFile(path+".new", []byte("d/replaced"), 0o600), os.Rename(path+".new", path))
		case "rewritten":
			return errors.Join(os.WriteFile(path, []byte("D/REWRITTEN"), 0o600), os.Chtimes(path, time.Time{}, time.Now().Add(time.Second)))
		}
		return nil
	}
	s := p.Run(p.spec(`{"src":"ROOT/d","dls":true}`))
	for _, name := range []string{"grows", "replaced", "rewritten"} {
		if !strings.Contains(s.Error, name+`" cannot be removed: it has changed since it was read`) {
			t.Errorf("%s is not among the errors: %s", name, s.Error)
		}
	}
	if left := p.left(); !slices.Equal(left, []string{"d/grows", "d/replaced", "d/rewritten"}) {
		t.Errorf("%q", left)
	}
}

// TestPromoteIsStopped: sources whose objects are not there stay.
func TestPromoteIsStopped(t *testing.T) {
	t.Parallel()
	p := newPromotion(t)
	for i := range 40 {
		p.file(fmt.Sprintf("d/%02d", i))
	}
	begun := make(chan struct{}, 100)
	p.cluster.fail = func(ctx context.Context, name string) error {
		if name < "05" {
			return nil
		}
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	x := p.Start(p.spec(`{"src":"ROOT/d","dls":true}`))
	<-begun
	x.Abort(xact.ErrUserAbort)
	s := p.Finish(x)
	if !s.Aborted || s.AbortError != "user abort" || s.Error != "" {
		t.Errorf("%+v", s)
	}
	stored := map[string]bool{}
	for _, o := range p.objects() {
		name, _, _ := strings.Cut(o, "=")
		stored[name] = true
	}
	left := p.left()
	for i := range 40 {
		name := fmt.Sprintf("%02d", i)
		if !stored[name] && !slices.Contains(left, "d/"+name) {
			t.Errorf("%s is neither an object nor a file", name)
		}
	}
	if int64(len(stored)) != s.Stats.LocalObjects {
		t.Errorf("%d objects, %d counted", len(stored), s.Stats.LocalObjects)
	}
}

func TestBadPromotions(t *testing.T) {
	t.Parallel()
	p := newPromotion(t)
	p.file("single", "private/key", "d/a")
	if err := os.Symlink("/etc", filepath.Join(p.root, "link")); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]struct {
		status int
		text   string
	}{
		``:                                    {400, "unmarshal"},
		`{"src":"ROOT/single","x":1}`:         {400, `"x"`},
		`{"src":""}`:                          {400, "empty"},
		`{"src":"relative"}`:                  {400, "absolute"},
		`{"src":"ROOT/../x"}`:                 {400, ".."},
		`{"src":"/etc/hostname"}`:             {400, "promote_roots"},
		`{"src":"ROOT/private"}`:              {400, "node itself"},
		`{"src":"ROOT/private/key"}`:          {400, "node itself"},
		`{"src":"ROOT/link"}`:                 {400, "symbolic link"},
		`{"src":"ROOT/link/hostname"}`:        {400, "symbolic link"},
		`{"src":"ROOT/none"}`:                 {404, "does not exist"},
		`{"src":"ROOT/single/below"}`:         {404, "does not exist"},
		`{"src":"ROOT/single","obj":"../up"}`: {400, ""},
		`{"src":"ROOT/d","obj":"../up/"}`:     {400, ""},
	} {
		err := p.Registry.Prepare(p.spec(args))
		if apierr.StatusOf(err) != want.status || !strings.Contains(fmt.Sprint(err), want.text) {
			t.Errorf("%s: %v, want %d %q", args, err, want.status, want.text)
		}
	}
	spec := p.spec(`{"src":"ROOT/single"}`)
	spec.Bck.Name, spec.BID = "none", 0
	if err := p.Registry.Prepare(spec); apierr.StatusOf(err) != 404 {
		t.Errorf("no bucket: %v", err)
	}
}
