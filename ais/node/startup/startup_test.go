package startup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settings are those of a node with the given initial cluster configuration.
func settings(t *testing.T, role string) *Settings {
	t.Helper()
	cluster := config.DefaultCluster()
	return &Settings{
		Options: Options{Role: role}, Cluster: cluster, Live: config.NewLive(config.LiveOptions{Cluster: cluster}),
		Local: &config.Local{ConfDir: t.TempDir(), HostNet: config.HostNet{Port: "8080"}},
	}
}

func TestSeeds(t *testing.T) {
	t.Parallel()
	public := meta.NetInfo{Host: "127.0.0.1", Port: "8080", URL: "http://127.0.0.1:8080"}
	control := meta.NetInfo{Host: "127.0.0.1", Port: "9080", URL: "http://127.0.0.1:9080"}
	for _, tc := range []struct {
		name, role                        string
		env, primary, original, discovery string
		want                              []string
		found                             bool
	}{
		{"nothing", meta.RoleProxy, "", "", "", "", nil, false},
		{"itself", meta.RoleProxy, "", "http://127.0.0.1:9080", "", "", []string{"http://127.0.0.1:9080"}, true},
		{"itself by another name", meta.RoleProxy, "", "http://localhost:9080/", "", "", []string{"http://127.0.0.1:9080"}, true},
		{"itself by its public address", meta.RoleProxy, "", "http://localhost:8080", "", "", []string{"http://127.0.0.1:9080"}, true},
		{"another port", meta.RoleProxy, "", "http://127.0.0.1:9081", "", "", []string{"http://127.0.0.1:9081"}, false},
		{"another host", meta.RoleProxy, "", "http://192.0.2.1:9080", "", "", []string{"http://192.0.2.1:9080"}, false},
		{"environment wins", meta.RoleProxy, "http://192.0.2.1:9080", "http://127.0.0.1:9080", "", "", []string{"http://192.0.2.1:9080", "http://127.0.0.1:9080"}, false},
		{"environment is itself", meta.RoleProxy, "http://127.0.0.1:9080", "http://192.0.2.1:9080", "", "", []string{"http://127.0.0.1:9080", "http://192.0.2.1:9080"}, true},
		{"a target founds nothing", meta.RoleTarget, "", "http://127.0.0.1:9080", "", "", []string{"http://127.0.0.1:9080"}, false},
		{"all, once each", meta.RoleProxy, "", "http://192.0.2.1:1", "http://192.0.2.1:1/", "http://192.0.2.2:1", []string{"http://192.0.2.1:1", "http://192.0.2.2:1"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := settings(t, tc.role)
			s.Env.PrimaryEP = tc.env
			s.Cluster.Proxy = config.ProxyConf{PrimaryURL: tc.primary, OriginalURL: tc.original, DiscoveryURL: tc.discovery}
			seeds, found := s.Seeds(meta.NewSnode("node0001", tc.role, public, control, control))
			if !slices.Equal(seeds, tc.want) || found != tc.found {
				t.Errorf("%q %v, want %q %v", seeds, found, tc.want, tc.found)
			}
		})
	}
}

func TestProxyID(t *testing.T) {
	t.Parallel()
	s := settings(t, meta.RoleProxy)
	proxyID := func(inState string) (string, error) {
		id, keep, err := s.ProxyID(inState)
		if err == nil {
			err = keep()
		}
		return id, err
	}
	if id, _, err := s.ProxyID(""); err != nil || len(id) != 8 {
		t.Fatalf("%q %v", id, err)
	}
	if earlier, err := s.earlierLife(); earlier != "" || err != nil {
		t.Errorf("an id was kept that nobody asked to keep: %q %v", earlier, err)
	}
	first, err := proxyID("stateful1")
	if err != nil || first != "stateful1" {
		t.Fatalf("the state file's id: %q %v", first, err)
	}
	if again, err := proxyID(""); again != first || err != nil {
		t.Errorf("%q %v, want %q", again, err, first)
	}
	s.Env.NodeID = "fromEnvironment"
	if id, err := proxyID("stateful1"); id != "fromEnvironment" || err != nil {
		t.Errorf("%q %v", id, err)
	}
	s.NodeID = "fromFlag"
	if id, err := proxyID(""); id != "fromFlag" || err != nil {
		t.Errorf("%q %v", id, err)
	}
	s.Env.NodeID, s.NodeID = "", ""
	if id, err := proxyID(""); id != "fromFlag" || err != nil {
		t.Errorf("what was said last is kept: %q %v", id, err)
	}
	if err := os.WriteFile(filepath.Join(s.Local.ConfDir, proxyIDFile), []byte("../x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := proxyID(""); err == nil || !strings.Contains(err.Error(), proxyIDFile) {
		t.Errorf("a damaged file: %v", err)
	}
	if id, err := proxyID("stateful1"); id != "stateful1" || err != nil {
		t.Errorf("a damaged file, with a state file: %q %v", id, err)
	}
	if id, err := proxyID(""); id != "stateful1" || err != nil {
		t.Errorf("the damaged file was not replaced: %q %v", id, err)
	}
	s = settings(t, meta.RoleProxy)
	s.Local.TestFSPaths.Root = "/tmp/x"
	if id, err := proxyID(""); !strings.HasSuffix(id, "p8080") || err != nil {
		t.Errorf("in a test environment: %q %v", id, err)
	}
}

func TestReplaceFileLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, content := range []string{"one", "two"} {
		if err := replaceFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(path); string(data) != content || err != nil {
			t.Errorf("%q %v", data, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "taken", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(filepath.Join(dir, "taken"), []byte("x")); err == nil {
		t.Error("a directory was replaced")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	t.Parallel()
	_, err := Load(Options{Role: meta.RoleProxy, Getenv: func(string) string { return "" }, LocalFile: "/nonexistent"})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "-local_config") {
		t.Error(err)
	}
}

func TestEvery(t *testing.T) {
	t.Parallel()
	s := settings(t, meta.RoleProxy)
	var rounds atomic.Int64
	stop := s.Every(func(c *config.Cluster) time.Duration { return c.Log.StatsTime.D() }, func() { rounds.Add(1) })
	defer func() { stop() }()
	// The interval of three minutes is not waited for once it is shorter.
	start := time.Now()
	change(t, s, "log.stats_time", "1s", true)
	eventually(t, "a round", func() bool { return rounds.Load() > 0 })
	if took := time.Since(start); took < minInterval/2 {
		t.Errorf("the first round came after %v", took)
	}
	change(t, s, "log.stats_time", "0s", true)
	before := rounds.Load()
	if stop(); rounds.Load() > before+1 {
		t.Errorf("%d rounds while there should be none", rounds.Load()-before)
	}
	stop = func() {}
}

// TestFeaturesOfMetrics count at once, as the cluster's configuration says.
func TestFeaturesOfMetrics(t *testing.T) {
	t.Parallel()
	s := settings(t, meta.RoleTarget)
	m := metrics.New(meta.RoleTarget, "target001")
	s.Measure(m)
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	for i, on := range []bool{false, true, false} {
		conf := config.DefaultCluster()
		conf.Version = int64(i + 2)
		if on {
			conf.Features |= feature.CountObjectNotFound
		}
		s.Reconfigure(conf)
		before := m.Tracker()["err.get.n"]
		m.Failed(metrics.Get, bck, 404)
		m.Failed(metrics.Head, bck, 404)
		if counted := m.Tracker()["err.get.n"] > before; counted != on {
			t.Errorf("the feature is %v, and a missing object counted: %v", on, counted)
		}
	}
	if got := m.Tracker()["err.head.n"]; got != 3 {
		t.Errorf("err.head.n is %d", got)
	}
}
