package wire_test

import (
	"encoding/json"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
)

type snode struct {
	ID string `json:"daemon_id"`
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNodeStateInfoJSON(t *testing.T) {
	t.Parallel()
	info := wire.NodeStateInfo{
		Smap:   wire.SmapInfo{Primary: wire.PrimaryInfo{PubURL: "http://127.0.0.1:8080", ControlURL: "http://127.0.0.1:9080", ID: "vWcp8080"}, UUID: "Q1wErTy7U", Version: 7},
		BMD:    wire.BMDInfo{UUID: "Q1wErTy7U", Version: 12},
		RMD:    wire.VersionInfo{Version: 3},
		Config: wire.VersionInfo{Version: 5},
		Flags:  wire.NodeHealthy,
	}
	want := `{"smap":{"Primary":{"pub_url":"http://127.0.0.1:8080","control_url":"http://127.0.0.1:9080","id":"vWcp8080"},` +
		`"uuid":"Q1wErTy7U","version":"7"},"bmd":{"uuid":"Q1wErTy7U","version":"12"},"rmd":{"version":"3"},"config":{"version":"5"},` +
		`"etlmd":{"version":"0"},"flags":6}`
	have := encode(t, info)
	if have != want {
		t.Fatalf("have\n%s\nwant\n%s", have, want)
	}
	var back wire.NodeStateInfo
	if err := json.Unmarshal([]byte(have), &back); err != nil || back != info {
		t.Fatalf("have %+v %v", back, err)
	}
}

func TestNodeStatusJSON(t *testing.T) {
	t.Parallel()
	status := wire.NodeStatus[*snode]{
		NodeStats: wire.NodeStats[*snode]{
			Snode:   &snode{"CAqt8081"},
			Tracker: wire.NewTracker(map[string]int64{"get.n": 1200, "up.ns.time": 3600000000000}),
			Capacity: wire.Capacity{
				Mountpaths: map[string]*wire.CDF{"/ais/d1": {FS: wire.FsInfo{Fs: "/dev/sda1", FsType: "ext4", FsID: wire.FsID{1, -2}}, Disks: []string{"sda"},
					Used: 1000000, Avail: 9000000, PctUsed: 10}},
				TotalUsed: 1000000, TotalAvail: 9000000, PctMax: 10, PctAvg: 10, PctMin: 10,
			},
		},
		Deployment: wire.DeploymentDev, Version: "5.0.abc", BuildTime: "2026-01-02 15:04:05-0700",
		SysInfo:     wire.MemCPU{MemUsed: 1, MemAvail: 2, PctMemUsed: 50, PctCPUUsed: 5, LoadAvg: wire.LoadAverage{One: 0.1, Five: 0.2, Fifteen: 0.3}, CPUUtil: 5},
		SmapVersion: 25,
	}
	want := `{"snode":{"daemon_id":"CAqt8081"},"tracker":{"get.n":{"v":"1200"},"up.ns.time":{"v":"3600000000000"}},` +
		`"capacity":{"mountpaths":{"/ais/d1":{"mountpath_label":"","fs":{"Fs":"/dev/sda1","FsType":"ext4","FsID":"1,-2"},"disks":["sda"],` +
		`"used":"1000000","avail":"9000000","pct_used":10}},"cs_err":"","total_used":"1000000","total_avail":"9000000","pct_max":10,"pct_avg":10,"pct_min":10},` +
		`"status":"","deployment":"dev","ais_version":"5.0.abc","build_time":"2026-01-02 15:04:05-0700","k8s_pod_name":"",` +
		`"cluster":{"smap":{"Primary":{"pub_url":"","control_url":"","id":""},"uuid":"","version":"0"},"bmd":{"uuid":"","version":"0"},"rmd":{"version":"0"},` +
		`"config":{"version":"0"},"etlmd":{"version":"0"},"flags":0},` +
		`"sys_info":{"mem_used":1,"mem_avail":2,"pct_mem_used":50,"pct_cpu_used":5,"load_avg":{"One":0.1,"Five":0.2,"Fifteen":0.3},"cpu_util":5},"smap_version":"25"}`
	have := encode(t, status)
	if have != want {
		t.Fatalf("have\n%s\nwant\n%s", have, want)
	}
	var back wire.NodeStatus[*snode]
	if err := json.Unmarshal([]byte(have), &back); err != nil {
		t.Fatal(err)
	}
	if back.Tracker.Get("get.n") != 1200 || back.Tracker.Get("put.n") != 0 || back.Capacity.Mountpaths["/ais/d1"].FS.FsID != (wire.FsID{1, -2}) || back.Snode.ID != "CAqt8081" {
		t.Fatalf("have %+v", back)
	}
}

func TestOtherJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title string
		value any
		want  string
	}{
		{"capacity of a proxy", wire.Capacity{}, `{"mountpaths":null,"cs_err":"","total_used":"0","total_avail":"0","pct_max":0,"pct_avg":0,"pct_min":0}`},
		{"disks", wire.DiskStatsCap{AllDiskStats: map[string]wire.DiskStats{"nvme0n1": {ReadBps: 1, ReadAvg: 2, WriteBps: 3, WriteAvg: 4, Util: 5}}},
			`{"AllDiskStats":{"nvme0n1":{"RBps":1,"Ravg":2,"WBps":3,"Wavg":4,"Util":5}},"mountpaths":null,"cs_err":"","total_used":"0","total_avail":"0","pct_max":0,"pct_avg":0,"pct_min":0}`},
		{"target's sysinfo", wire.TargetSysInfo{FsUsed: 1, FsCapacity: 2, PctFsUsed: 50},
			`{"mem_used":0,"mem_avail":0,"pct_mem_used":0,"pct_cpu_used":0,"load_avg":{"One":0,"Five":0,"Fifteen":0},"cpu_util":0,"fs_used":"1","fs_capacity":"2","pct_fs_used":50}`},
		{"mountpaths", wire.MountpathList{Available: []string{"/a"}, Waiting: []string{}, Disabled: []string{}}, `{"available":["/a"],"waiting_dd":[],"disabled":[]}`},
		{"remote clusters", wire.RemoteClusters[*snode]{}, `{"a":null,"ver":0}`},
		{"join", wire.JoinResult{NodeID: "abc", RebalanceID: "g3"}, `{"daemon_id":"abc","rebalance_id":"g3"}`},
		{"job", wire.Snap{ID: "x", Kind: "rebalance"}, `{"ext":null,"start-time":"0001-01-01T00:00:00Z","end-time":"0001-01-01T00:00:00Z",` +
			`"bck":{"name":"","provider":"","namespace":{"uuid":"","name":""}},"src-bck":{"name":"","provider":"","namespace":{"uuid":"","name":""}},` +
			`"dst-bck":{"name":"","provider":"","namespace":{"uuid":"","name":""}},"id":"x","kind":"rebalance","abort-err":"","err":"","glob.id":"",` +
			`"stats":{"loc-objs":"0","loc-bytes":"0","out-objs":"0","out-bytes":"0","in-objs":"0","in-bytes":"0"},"aborted":false,"is_idle":false}`},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			if have := encode(t, tt.value); have != tt.want {
				t.Fatalf("have\n%s\nwant\n%s", have, tt.want)
			}
		})
	}
}

func TestFsIDRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{`"1"`, `"a,b"`, `"1,2,3"`, `"1,99999999999"`, `5`} {
		var id wire.FsID
		if err := json.Unmarshal([]byte(s), &id); err == nil {
			t.Errorf("%s is accepted as %v", s, id)
		}
	}
	var id wire.FsID
	if err := json.Unmarshal([]byte(`""`), &id); err != nil || id != (wire.FsID{}) {
		t.Errorf("empty: %v %v", id, err)
	}
}

func TestNodeFlags(t *testing.T) {
	t.Parallel()
	tests := []struct {
		flags wire.NodeFlags
		want  string
	}{
		{6, "ok"},
		{0, "[cluster-not-started-yet node-not-started-yet]"},
		{4, "cluster-not-started-yet"},
		{2, "node-not-started-yet"},
		{7, "vote-in-progress"},
		{6 | 256, "OOS"},
		{6 | 8 | 32768, "[rebalancing high-number-of-goroutines]"},
		{6 | 524288, "keep-alive-errors"},
		{6 | 1048576 | 2097152, "[out-of-cpu low-cpu]"},
		{6 | 4194304 | 8388608, "[disk-OOS disk-low-capacity]"},
		{6 | 1<<41, "unknown-2199023255552"},
		{6 | 16 | 1<<40, "[rebalance-interrupted under-protected]"},
	}
	for _, tt := range tests {
		if have := tt.flags.String(); have != tt.want {
			t.Errorf("%d: have %q, want %q", uint64(tt.flags), have, tt.want)
		}
	}
	if wire.NodeHealthy != 6 || wire.NodeRed&wire.NodeWarning != 0 || !wire.NodeFlags(6).Has(wire.NodeStarted) {
		t.Error("the classes are wrong")
	}
}
