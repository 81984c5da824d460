package test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/deploy/playground"
)

// killedEncoding is an encoded bucket "b" whose targets die in the middle of jobs.
type killedEncoding struct {
	jobCluster
	proof ecProof
	all   objects // that are only read, with their contents
	load  *userLoad
	jobs  map[string]bool // ids of ec-encode before the last kill
}

// TestTargetsAreKilledWhileTheyEncode: a target is killed with SIGKILL in the middle
// of the encoding of a whole bucket, and in the middle of a repair: while slices are half
// received, while they are staged and not committed, while objects are rebuilt. It is
// back soon; the job goes on under its id or is begun again, every object has all of
// its slices at the end, none is read wrong meanwhile, and nothing is left behind.
func TestTargetsAreKilledWhileTheyEncode(t *testing.T) {
	t.Parallel()
	k := &killedEncoding{
		jobCluster: newJobCluster(t, 1, 6), proof: ecProof{data: 2, parity: 2, targets: 6}, all: objects{},
	}
	k.Mountpaths = 2
	k.Config["rebalance"] = map[string]any{"dest_retry_time": "2s", "repair_delay": "2s", "enabled": false, "bundle_multiplier": 2, "burst_buffer": 1024}
	k.Config["periodic"] = map[string]any{"notif_time": "1m"} // longer than a restart
	k.up()
	createBucket(t, k.nodes[0], "b", "")
	k.put("first", 60)
	k.begin("slice 6")
	id := k.encode(true)
	k.killedInTheMiddle(k.targets()[1], id, "a slice is half received", "/%wk/")
	k.whole(id)

	k.encode(false)
	k.put("second", 60)
	k.begin("commit 6")
	id = k.encode(true)
	k.killedInTheMiddle(k.targets()[2], id, "a slice is staged", ".next")
	k.whole(id)

	k.begin("range 6")
	k.wiped(k.targets()[3]) // whose repair begins by itself
	k.killedInTheMiddle(k.targets()[3], "", "an object is being rebuilt", "/%wk/")
	k.whole("")

	k.begin("slice 6")
	k.wiped(k.targets()[4])
	k.killedInTheMiddle(k.targets()[0], "", "a slice is made again", "")
	k.whole("")
}

// put adds objects that have slices, and some that have replicas.
func (k *killedEncoding) put(prefix string, count int) {
	k.t.Helper()
	for i := range count {
		name := fmt.Sprintf("%s/%03d", prefix, i)
		k.all[name] = mixedContent(name, []int{10, 5000, 70_000, 300_000}[i%4])
		must(k.t, http.StatusOK, http.MethodPut, objectURL(k.nodes[0], "b", name), k.all[name])
	}
}

// begin begins with users, and has jobs stop in their middle by a rule, see
// ais/target/gatedslices.go.
func (k *killedEncoding) begin(rule string) {
	k.t.Helper()
	k.load = k.cluster.load(k.nodes[0], "b", maps.Clone(k.all), 1)
	k.hold(rule)
}

// encode turns erasure coding on, which starts the job whose id it returns, or off.
func (k *killedEncoding) encode(enabled bool) (id string) {
	k.t.Helper()
	set := fmt.Sprintf(`{"action":"set-bprops","value":{"ec":{"enabled":%t,"data_slices":2,"parity_slices":2,"objsize_limit":%d}}}`, enabled, ecSizeLimit)
	return must(k.t, http.StatusOK, http.MethodPatch, k.nodes[0].URL()+"/v1/buckets/b", set, "Content-Type", jsonType).body
}

// wiped kills a target, removes all that it holds of buckets, and starts it.
func (k *killedEncoding) wiped(n *playground.Node) {
	k.t.Helper()
	k.load.nodesDie.Store(true)
	k.kill(n)
	for i := range k.Mountpaths {
		if err := os.RemoveAll(filepath.Join(k.Mountpath(n, i+1), "@ais")); err != nil {
			k.t.Fatal(err)
		}
	}
	k.start(n)
	k.waitReady()
}

// killedInTheMiddle waits until the job, "" for one that begins by itself, is where it
// is held: the victim has a file whose path has a part, or others have one that is being
// received if there is none; then it kills the victim and lets all go on.
func (k *killedEncoding) killedInTheMiddle(victim *playground.Node, id, what, part string) {
	k.t.Helper()
	k.eventually(what, func() error {
		for _, n := range k.targets() {
			if part != "" && n != victim {
				continue
			}
			files := k.filesBelow(n)
			for _, file := range files {
				if part != "" && strings.Contains(file, part) || part == "" && strings.Contains(file, "/%wk/") && n != victim {
					return nil
				}
			}
		}
		return fmt.Errorf("no such file")
	})
	if id != "" {
		if s, err := k.jobStatus(k.nodes[0], id); err != nil || s.EndTime != 0 {
			k.t.Fatalf("the job is not in its middle: %+v, %v", s, err)
		}
	}
	k.load.nodesDie.Store(true)
	k.jobs = k.encodings()
	k.kill(victim)
	k.letGo()
	k.start(victim)
	k.waitReady()
	k.load.nodesDie.Store(false)
}

// encodings are the ids of all jobs ec-encode.
func (k *killedEncoding) encodings() map[string]bool {
	k.t.Helper()
	a := must(k.t, http.StatusOK, http.MethodGet, k.nodes[0].URL()+"/v1/cluster?what=qryxstats", `{"kind":"ec-encode"}`, "Content-Type", jsonType)
	ids := map[string]bool{}
	for _, snaps := range decode[map[string][]wire.Snap](k.t, a.body) {
		for _, s := range snaps {
			ids[s.ID] = true
		}
	}
	return ids
}

// awaitRepair waits until the repair has ended that a target asks for which has started.
func (k *killedEncoding) awaitRepair() {
	k.t.Helper()
	var repair string
	k.eventually("a repair begins", func() error {
		for id := range k.encodings() {
			if !k.jobs[id] {
				repair = id
				return nil
			}
		}
		return fmt.Errorf("there are only %v", k.jobs)
	})
	if s := k.awaitJob(k.nodes[0], repair); s.Aborted || s.Err != "" {
		k.t.Errorf("repair: %+v", s)
	}
}

// whole waits until everything has its slices again and nothing runs that makes any.
func (k *killedEncoding) whole(id string) {
	k.t.Helper()
	if id != "" {
		if s := k.awaitJob(k.nodes[0], id); s.Aborted {
			k.t.Errorf("ec-encode does not go on: %+v", s)
		}
	}
	k.awaitRepair()
	k.load.end(k.cluster)
	for name := range k.load.living() {
		must(k.t, http.StatusOK, http.MethodDelete, objectURL(k.nodes[0], "b", name), "")
	}
	k.proof.wantProtection(k.cluster, k.targets(), k.all)
	k.eventually("nothing is left behind", func() error {
		var left []string
		for _, n := range k.targets() {
			for _, file := range k.filesBelow(n) {
				if strings.Contains(file, "/%wk/") || strings.HasSuffix(file, ".next") {
					left = append(left, file)
				}
			}
			for i := range k.Mountpaths {
				aside, err := filepath.Glob(filepath.Join(k.Mountpath(n, i+1), ".ais.quarantine", "*"))
				if err != nil {
					return err
				}
				left = append(left, aside...)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
	k.atOnce(k.all)
}
