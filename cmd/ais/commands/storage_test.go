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

// storage answers of disks and mountpaths of tgtAAAAA1; the other target does not
// answer.
func (f *fakeCluster) storage(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get(wire.HeaderNodeID) != "tgtAAAAA1" {
		w.WriteHeader(http.StatusBadGateway)
		return nil
	}
	switch r.URL.Query().Get("what") {
	case "disk":
		return json.NewEncoder(w).Encode(&wire.DiskStatsCap{
			AllDiskStats: map[string]wire.DiskStats{"sda": {ReadBps: 1 << 20, ReadAvg: 4096, WriteBps: 3 << 20, WriteAvg: 65536, Util: 40}, "sdb": {Util: 20}},
			Capacity: wire.Capacity{
				PctAvg: 60, TotalAvail: 5 << 30, Error: "out of space: used 96%",
				Mountpaths: map[string]*wire.CDF{
					"/mp1": {Disks: []string{"sda(out-of-space)"}, Used: 96 << 30, Avail: 4 << 30, PctUsed: 96},
					"/mp2": {Disks: []string{"sdb"}, Used: 1 << 30, Avail: 1 << 30, PctUsed: 50, Label: "ssd"},
				},
			},
			SetAside: f.setAside,
		})
	case "mountpaths":
		return json.NewEncoder(w).Encode(&wire.MountpathList{Available: []string{"/mp1", "/mp2"}, Disabled: []string{"/mp3"}})
	}
	var msg struct {
		Action string `json:"action"`
		Value  string `json:"value"`
	}
	if err := json.NewDecoder(r.Body).Decode(&msg); err != nil {
		return err
	}
	f.changes = append(f.changes, r.Method+" "+msg.Action+" "+msg.Value+" "+r.URL.RawQuery)
	switch msg.Value {
	case "/missing":
		return apierr.New(http.StatusNotFound, wire.CodeMountpathNotFound, "mountpath %q does not exist", msg.Value)
	case "/mp2":
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

func TestStorage(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	r := f.run(t, "", "storage", "show")
	equal(t, squeeze(r.out), `TARGET MOUNTPATH LABEL DISKS USED AVAIL USED(%) ALERT
t[tgtAAAAA1] /mp1 sda 96.00GiB 4.00GiB 96% out-of-space
t[tgtAAAAA1] /mp2 ssd sdb 1.00GiB 1.00GiB 50%
t[tgtCCCCC3] - - - - - - <offline>`)
	contains(t, r.err, "t[tgtAAAAA1]: out of space: used 96%")
	contains(t, f.ok(t, "show storage tgtAAAAA1 --json"), `"pct_used": 96`)
	equal(t, f.ok(t, "storage disk tgtAAAAA1"), `TARGET DISK READ READ(avg size) WRITE WRITE(avg size) UTIL(%) CAP USED(%) CAP AVAIL
t[tgtAAAAA1] sda 1.00MiB/s 4.00KiB 3.00MiB/s 64.00KiB 40% 96% 4.00GiB
t[tgtAAAAA1] sdb 0B/s 0B 0B/s 0B 20% 50% 1.00GiB`)
	equal(t, f.ok(t, "show storage disk tgtAAAAA1 -H --regex a$"), "t[tgtAAAAA1] sda 1.00MiB/s 4.00KiB 3.00MiB/s 64.00KiB 40% 96% 4.00GiB")
	equal(t, f.ok(t, "storage disk -H --summary tgtAAAAA1"), "t[tgtAAAAA1] 2 disks 1.00MiB/s 2.00KiB 3.00MiB/s 32.00KiB 30% 60% 5.00GiB")
	equal(t, f.ok(t, "storage mountpath show tgtAAAAA1"), `TARGET MOUNTPATH STATE USED(%) ALERT
t[tgtAAAAA1] /mp1 available 96% out-of-space
t[tgtAAAAA1] /mp2 available 50%
t[tgtAAAAA1] /mp3 disabled -`)
	contains(t, f.fails(t, "storage disk proxyAAA1"), "expecting the id of one target")
	contains(t, f.fails(t, "storage disk --regex ("), "--regex")
}

func TestChangeMountpaths(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	for line, want := range map[string]string{
		"storage mountpath attach tgtAAAAA1=/mp4 --label pool":         "PUT attach-mp /mp4 mountpath_label=pool",
		"storage mountpath detach t[tgtAAAAA1]=/mp4":                   "DELETE detach-mp /mp4 ",
		"storage mountpath disable tgtAAAAA1=/mp4 --no-resilver --yes": "POST disable-mp /mp4 dntres=true",
		"storage mountpath fshc tgtAAAAA1=/mp4":                        "POST fshc-mp /mp4 ",
		"storage mountpath rescan-disks tgtAAAAA1=/mp4":                "POST rescan-mp /mp4 ",
	} {
		f.changes = nil
		contains(t, f.ok(t, line), "t[tgtAAAAA1]: mountpath /mp4 ")
		if !slices.Equal(f.changes, []string{want}) {
			t.Errorf("%s: %q", line, f.changes)
		}
	}
	contains(t, f.ok(t, "storage mountpath enable tgtAAAAA1=/mp2"), "is so already")
	contains(t, f.fails(t, "storage mountpath attach tgtAAAAA1=/missing"), "does not exist")
	contains(t, f.fails(t, "storage mountpath attach /mp1"), "expecting TARGET_ID=PATH")
	// What cannot be is told before anything is asked, or changed.
	f.changes = nil
	for words, want := range map[string]string{
		"tgtAAAAA1=/nowhere":          `has no mountpath "/nowhere" (it has /mp1, /mp2, /mp3)`,
		"tgtAAAAA1=/mp1 proxyAAA1=/a": "is not a target",
	} {
		r := f.run(t, "y\n", append([]string{"storage", "mountpath", "disable", "--no-resilver"}, strings.Fields(words)...)...)
		contains(t, r.err, want)
		if r.code == 0 || r.out != "" || len(f.changes) > 0 {
			t.Errorf("%s: %+v, %q", words, r, f.changes)
		}
	}
	contains(t, f.fails(t, "storage mountpath attach proxyAAA1=/mp1"), "is not a target")
	contains(t, f.fails(t, "storage mountpath attach"), "missing arguments")
}
