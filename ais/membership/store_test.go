package membership

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/metasync"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// start is when the clock of these tests begins.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// store is the documents of a cluster, as the control plane keeps them. A
// change of ownership comes into force when activate is called, or at once.
type store struct {
	mu       sync.Mutex
	view     *meta.View
	atOnce   bool
	primary  bool
	down     map[string]bool
	commits  int
	failNext error // of the next commit
}

// newStore makes proxies proxy-01, ... (the first is primary), targets
// target-01, ... and buckets.
func newStore(t *testing.T, proxies, targets, buckets int) *store {
	t.Helper()
	s := &store{view: &meta.View{}, primary: true, down: map[string]bool{}}
	patch := &meta.SmapPatch{UUID: "cluster-1", Lineage: "lineage-1", Created: start.Format(meta.TimeLayout), Primary: "proxy-01"}
	for i := range proxies {
		proxy := snode(fmt.Sprintf("proxy-%02d", i+1), meta.RoleProxy, 8000+i)
		if i < 3 {
			proxy.Flags |= meta.FlagIC
		}
		patch.Put = append(patch.Put, proxy)
	}
	for i := range targets {
		patch.Put = append(patch.Put, snode(fmt.Sprintf("target-%02d", i+1), meta.RoleTarget, 8100+i))
	}
	s.change(t, meta.KindSmap, patch)
	s.change(t, meta.KindConfig, config.DefaultCluster())
	s.change(t, meta.KindBMD, &meta.BMDPatch{})
	bmd := &meta.BMDPatch{}
	for i := range buckets {
		bck := wire.Bck{Name: fmt.Sprintf("bucket-%d", i+1), Provider: "ais"}
		bmd.Put = append(bmd.Put, meta.BucketEntry{Bck: bck, Props: meta.DefaultBprops(bck, s.view.Config.Cluster)})
	}
	if buckets > 0 {
		s.change(t, meta.KindBMD, bmd)
	}
	return s
}

func snode(id, role string, port int) *meta.Snode {
	info := func(port int) meta.NetInfo {
		return meta.NetInfo{Host: "127.0.0.1", Port: fmt.Sprint(port), URL: fmt.Sprintf("http://127.0.0.1:%d", port)}
	}
	sn := meta.NewSnode(id, role, info(port), info(port+1000), info(port+2000))
	sn.VerifyingKey = []byte("key of " + id)
	return sn
}

// change commits a change of one document.
func (s *store) change(t *testing.T, kind string, patch any) {
	t.Helper()
	_, err := s.Commit(context.Background(), "test", func(v *meta.View) ([]meta.Change, error) {
		c, err := meta.NewChange(v, kind, patch)
		return []meta.Change{c}, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// View implements Control.
func (s *store) View() *meta.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

// IsPrimary implements Control.
func (s *store) IsPrimary() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primary
}

// IsDown implements Control.
func (s *store) IsDown(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down[id]
}

func (s *store) setDown(id string, down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down[id] = down
}

// Commit implements Control.
func (s *store) Commit(_ context.Context, action string, build func(*meta.View) ([]meta.Change, error)) (*meta.View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failNext; err != nil {
		s.failNext = nil
		return nil, err
	}
	changes, err := build(s.view)
	if err != nil || len(changes) == 0 {
		return s.view, err
	}
	if err := s.apply(action, changes); err != nil {
		return nil, err
	}
	if s.atOnce {
		return s.view, s.putInForce()
	}
	return s.view, nil
}

func (s *store) apply(action string, changes []meta.Change) error {
	s.commits++
	next, err := s.view.Apply(&meta.Command{ID: fmt.Sprint("command-", s.commits), Action: action, Changes: changes}, 1, s.view.Index+1)
	if err == nil {
		s.view = next
	}
	return err
}

// activate puts the change of ownership into force that is under way.
func (s *store) activate() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view.Transition.Now() == nil {
		return errors.New("no change of ownership is under way")
	}
	return s.putInForce()
}

// putInForce does what the primary's control plane does once all targets have
// quiesced.
func (s *store) putInForce() error {
	p := s.view.Transition.Now()
	if p == nil {
		return nil
	}
	var changes []meta.Change
	add := func(kind string, patch any) error {
		c, err := meta.NewChange(s.view, kind, patch)
		changes = append(changes, c)
		return err
	}
	err := errors.Join(
		add(meta.KindSmap, &p.Patch),
		add(meta.KindPlacement, &meta.PlacementPatch{Targets: p.Targets, Settle: s.view.BMD.Len() == 0}),
		add(meta.KindTransition, &meta.TransitionPatch{}),
	)
	if p.Rebalance {
		err = errors.Join(err, add(meta.KindRMD, &meta.RMDPatch{}))
	}
	if err != nil {
		return err
	}
	return s.apply("activate", changes)
}

// begin is Facts.Begin as in production.
func begin(v *meta.View, p *meta.PendingMap) ([]meta.Change, error) {
	return metasync.BeginTransition(v, p)
}
