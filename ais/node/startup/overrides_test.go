package startup

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/core/meta"
)

// change overrides a key of a running node.
func change(t *testing.T, s *Settings, key, value string, transient bool) {
	t.Helper()
	if err := s.Live.Change(config.ParsePairs(maps.All(map[string]string{key: value})), transient); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

// options are those of a node whose files are in a folder.
func options(t *testing.T, dir string) Options {
	t.Helper()
	cluster, err := json.Marshal(config.DefaultCluster())
	if err != nil {
		t.Fatal(err)
	}
	local := `{"confdir":"` + dir + `/conf","log_dir":"` + dir + `/log","host_net":{"port":"8080","port_intra_control":"9080"}}`
	o := Options{
		Role: meta.RoleProxy, Getenv: func(string) string { return "" },
		ClusterFile: filepath.Join(dir, "ais.json"), LocalFile: filepath.Join(dir, "ais_local.json"),
	}
	for path, data := range map[string]string{o.ClusterFile: string(cluster), o.LocalFile: local} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func load(t *testing.T, o Options) *Settings {
	t.Helper()
	s, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOverridesSurviveRestarts(t *testing.T) {
	t.Parallel()
	o := options(t, t.TempDir())
	s := load(t, o)
	change(t, s, "disk.disk_util_low_wm", "10", false)
	change(t, s, "log.level", "4", true)
	change(t, s, "space.highwm", "92", false)
	if c := s.Config(); c.Disk.UtilLowWM != 10 || c.Log.Level != 4 || c.Space.HighWM != 92 {
		t.Errorf("not in force at once: %+v %+v %+v", c.Disk, c.Log, c.Space)
	}
	s = load(t, o)
	if c := s.Config(); c.Disk.UtilLowWM != 10 || c.Log.Level != 3 || c.Space.HighWM != 92 {
		t.Errorf("after a restart: %+v %+v %+v", c.Disk, c.Log, c.Space)
	}
	if err := s.Live.Reset(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.Local.ConfDir, overrideFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there after a reset: %v", err)
	}
	if err := s.Live.Reset(); err != nil {
		t.Errorf("a second reset: %v", err)
	}
	if c := load(t, o).Config(); c.Disk.UtilLowWM != 20 {
		t.Errorf("after a reset and a restart: %+v", c.Disk)
	}
}

func TestCustomOverrides(t *testing.T) {
	t.Parallel()
	o := options(t, t.TempDir())
	o.Custom = "log.level=4,client.list_timeout=1m"
	load(t, o)
	o.Custom, o.Transient = "log.level=5", true
	if c := load(t, o).Config(); c.Log.Level != 5 || c.Client.ListTimeout.D() != time.Minute {
		t.Errorf("%+v %+v", c.Log, c.Client)
	}
	o.Custom, o.Transient = "", false
	if c := load(t, o).Config(); c.Log.Level != 4 {
		t.Errorf("a transient level is kept: %+v", c.Log)
	}
	for custom, want := range map[string]string{
		"ec.enabled=true":                 "ec configuration can only be globally updated",
		"disk.disk_util_low_wm=99":        "disk.disk_util_high_wm",
		"rate_limit.backend.enabled=true": "not built yet",
	} {
		o.Custom = custom
		if _, err := Load(o); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "-config_custom") {
			t.Errorf("%s: %v", custom, err)
		}
	}
}

// What was kept for another configuration of the cluster does not keep a node
// from starting, and is there again when it fits.
func TestOverrideThatDoesNotFit(t *testing.T) {
	t.Parallel()
	o := options(t, t.TempDir())
	s := load(t, o)
	change(t, s, "disk.disk_util_low_wm", "70", false)
	change(t, s, "log.level", "4", false)
	narrow := config.DefaultCluster()
	narrow.Disk.UtilHighWM = 60
	s.UseStored(narrow)
	if c := s.Config(); c.Disk.UtilLowWM != 20 || c.Disk.UtilHighWM != 60 || c.Log.Level != 4 {
		t.Errorf("%+v %+v", c.Disk, c.Log)
	}
	if all := strings.Join(s.Warnings, "\n"); !strings.Contains(all, `section "disk"`) {
		t.Errorf("no warning: %q", all)
	}
	s.Reconfigure(config.DefaultCluster())
	if c := s.Config(); c.Disk.UtilLowWM != 70 {
		t.Errorf("%+v", c.Disk)
	}
	s.UseStored(nil)
	if c := s.Config(); c.Disk.UtilLowWM != 70 {
		t.Errorf("%+v", c.Disk)
	}
}

// A node that cannot store an override does not have it either.
func TestOverrideThatCannotBeStored(t *testing.T) {
	t.Parallel()
	o := options(t, t.TempDir())
	s := load(t, o)
	if err := os.RemoveAll(s.Local.ConfDir); err != nil {
		t.Fatal(err)
	}
	err := s.Live.Change(config.ParsePairs(maps.All(map[string]string{"log.level": "4"})), false)
	if err == nil || s.Config().Log.Level != 3 {
		t.Errorf("%v %+v", err, s.Config().Log)
	}
	change(t, s, "log.level", "5", true)
	if s.Config().Log.Level != 5 {
		t.Errorf("%+v", s.Config().Log)
	}
}

func TestFirstConfig(t *testing.T) {
	t.Parallel()
	s := settings(t, meta.RoleProxy)
	s.Cluster.Proxy.PrimaryURL = "http://localhost:9080"
	control := meta.NetInfo{Host: "127.0.0.1", Port: "9080", URL: "http://127.0.0.1:9080"}
	first := s.FirstConfig(meta.NewSnode("node0001", meta.RoleProxy, control, control, control))
	if first.Proxy.PrimaryURL != control.URL || first.Proxy.OriginalURL != control.URL || first.LastUpdate == "" {
		t.Errorf("%+v", first)
	}
	if s.Cluster.Proxy.PrimaryURL != "http://localhost:9080" {
		t.Error("the file's configuration was changed")
	}
}
