package commands

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// declareLost answers as a cluster would.
func (f *fakeCluster) declareLost(w http.ResponseWriter, r *http.Request) error {
	var msg struct {
		Action string              `json:"action"`
		Value  wire.DeclareLostMsg `json:"value"`
	}
	if err := json.NewDecoder(r.Body).Decode(&msg); err != nil {
		return err
	}
	if msg.Action != wire.ActDeclareLost || !msg.Value.Force || r.Method != http.MethodPut {
		return apierr.BadRequest("%s %s %+v", r.Method, msg.Action, msg.Value)
	}
	for _, id := range msg.Value.NodeIDs {
		if !slices.Contains(f.absent, id) {
			return apierr.New(http.StatusConflict, wire.CodeBusy, "cannot %s t[%s]: it owns names", msg.Action, id)
		}
	}
	f.changes = append(f.changes, msg.Action+" "+strings.Join(msg.Value.NodeIDs, " "))
	if len(msg.Value.NodeIDs) == 1 {
		_, err := w.Write([]byte("g7"))
		return err
	}
	return nil
}

func TestDeclareLost(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	contains(t, f.fails(t, "cluster declare-lost"), "no target is absent that anybody waits for", "usage: ais cluster declare-lost")
	f.absent = []string{"tgtLLLLL4", "tgtLLLLL5"}
	contains(t, f.fails(t, "cluster declare-lost"), "expecting TARGET_ID; absent: tgtLLLLL4, tgtLLLLL5")
	equal(t, f.ok(t, "cluster declare-lost t[tgtLLLLL4] --force"), "Declared lost: tgtLLLLL4 (rebalance g7 settles the placement)")
	equal(t, f.ok(t, "cluster declare-lost tgtLLLLL4 t[tgtLLLLL5] -f"), "Declared lost: tgtLLLLL4, tgtLLLLL5")
	contains(t, f.fails(t, "cluster declare-lost tgtAAAAA1 --force"), "cannot declare-lost t[tgtAAAAA1]: it owns names")
	contains(t, f.fails(t, "cluster declare-lost tgtLLLLL4"), "cancelled")
	// What cannot be is told before anything is asked.
	for _, words := range []string{"nobody", "tgtLLLLL4 nobody"} {
		r := f.run(t, "LOST\n", append([]string{"cluster", "declare-lost"}, strings.Fields(words)...)...)
		contains(t, r.err, "t[nobody] is not absent", "absent: tgtLLLLL4, tgtLLLLL5")
		if r.code == 0 || r.out != "" {
			t.Errorf("%s: %+v", words, r)
		}
	}
	f.absent = append(f.absent, "tgtAAAAA1") // it has died a moment ago
	contains(t, f.fails(t, "cluster declare-lost tgtAAAAA1"), "t[tgtAAAAA1] owns names", "after a minute")
	contains(t, f.fails(t, "cluster declare-lost"), "absent: tgtLLLLL4, tgtLLLLL5")
	f.absent = []string{"tgtAAAAA1"}
	contains(t, f.fails(t, "cluster declare-lost"), "tgtAAAAA1 owns names until")
	f.absent = []string{"tgtLLLLL4", "tgtLLLLL5"}
	if r := f.run(t, "yes\nLOST\n", "cluster", "declare-lost", "tgtLLLLL5"); r.code != 0 ||
		!strings.HasPrefix(r.out, `Give up what only tgtLLLLL5 holds? There is no way back. (type "LOST" to confirm): `) {
		t.Errorf("%+v", r)
	}
	if want := []string{"declare-lost tgtLLLLL4", "declare-lost tgtLLLLL4 tgtLLLLL5", "declare-lost tgtLLLLL5"}; !slices.Equal(f.changes, want) {
		t.Errorf("%q", f.changes)
	}
	contains(t, f.ok(t, "cluster show target tgtAAAAA1"), "t[tgtAAAAA1]")
	contains(t, f.run(t, "", "cluster", "declare-lost", "--generate-shell-completion").out, "t[tgtLLLLL4]", "t[tgtLLLLL5]")

	f.setAside = []wire.SetAside{
		{Mountpath: "/mp1", Dir: "/mp1/.ais.quarantine/lost.5", Placement: 5, Counted: true, Files: 12, Bytes: 3 << 20},
		{Mountpath: "/mp2", Dir: "/mp2/.ais.quarantine/lost.5", Placement: 5},
	}
	contains(t, f.run(t, "", "storage", "show").err,
		"t[tgtAAAAA1]: what /mp1 held when the target was declared lost is in /mp1/.ais.quarantine/lost.5: 12 files, 3.00MiB",
		"t[tgtAAAAA1]: what /mp2 held when the target was declared lost is in /mp2/.ais.quarantine/lost.5")
}
