package makecopies_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/makecopies"
	"github.com/aistore-go/aistore/xact/xacttest"
)

func spec(t *testing.T, r *xacttest.Rig, args makecopies.Args) *xact.Spec {
	t.Helper()
	s := r.Spec(xact.KindMakeCopies)
	var err error
	if s.Args, err = json.Marshal(args); err != nil {
		t.Fatal(err)
	}
	return s
}

func setCopies(t *testing.T, r *xacttest.Rig, copies int) {
	t.Helper()
	before := r.View.BMD
	r.Props = r.Props.Clone()
	r.Props.Mirror.Enabled, r.Props.Mirror.Copies = copies > 1, copies
	r.View = &meta.View{BMD: meta.NewBMD("cluster01", before.Version+1, meta.BucketEntry{Bck: r.Bck, Props: r.Props})}
	if err := r.Store.ApplyBMD(t.Context(), before, r.View.BMD); err != nil {
		t.Fatal(err)
	}
}

// TestNumberFollows: after the job every object has as many copies as were asked
// for.
func TestNumberFollows(t *testing.T) {
	t.Parallel()
	const objects = 60
	r := xacttest.New(t, xacttest.Options{Mountpaths: 3}, makecopies.Registration())
	for i := range objects {
		r.Put(fmt.Sprintf("d/%d", i), "content")
	}
	for _, copies := range []int{2, 3, 1, 3, 2} {
		setCopies(t, r, copies)
		snap := r.Run(spec(t, r, makecopies.Args{Copies: copies}))
		if want := fmt.Sprintf("mnc-actmnc, copies:%d, visited:%d", copies, objects); snap.Aborted || snap.Error != "" || snap.ControlMessage != want || snap.Stats.LocalObjects != objects {
			t.Errorf("%d copies: %+v", copies, snap)
		}
		page, err := r.Store.List(t.Context(), r.Bck, r.Props, core.ListOptions{Props: core.ListCopies})
		if err != nil || len(page) != objects {
			t.Fatalf("%d objects, %v", len(page), err)
		}
		for i := range page {
			all, err := r.Store.Belongings(t.Context(), r.Key(page[i].Name))
			if err != nil || len(all) != copies {
				t.Errorf("%s: %d files, %v", page[i].Name, len(all), err)
			}
		}
	}
}

func TestBadNumbers(t *testing.T) {
	t.Parallel()
	r := xacttest.New(t, xacttest.Options{Mountpaths: 2}, makecopies.Registration())
	for copies, text := range map[int]string{
		0: "expecting 1 to 16", -1: "expecting 1 to 16", 17: "expecting 1 to 16", 3: "number of copies (3) exceeds the number of mountpaths (2)",
	} {
		err := r.Registry.Prepare(spec(t, r, makecopies.Args{Copies: copies}))
		if apierr.StatusOf(err) != http.StatusBadRequest || !strings.Contains(err.Error(), text) {
			t.Errorf("%d: %v", copies, err)
		}
	}
}

func TestNoRoom(t *testing.T) {
	t.Parallel()
	r := xacttest.New(t, xacttest.Options{Mountpaths: 2}, makecopies.Registration())
	r.Config.Space.HighWM = -1
	err := r.Registry.Prepare(spec(t, r, makecopies.Args{Copies: 2, Raises: true}))
	if apierr.StatusOf(err) != http.StatusInsufficientStorage {
		t.Errorf("%v", err)
	}
	if err := r.Registry.Prepare(spec(t, r, makecopies.Args{Copies: 1})); err != nil {
		t.Errorf("shrinking needs no room: %v", err)
	}
}
