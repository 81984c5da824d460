package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// What existing tests of a cluster's configuration rely on.
//
//	20.1 periodic, space and lru by query, and back
//	20.2 an action message is in force on every node at once
//	20.3 a node cannot override what is of the cluster
//	20.4 an override stays after a restart
//	20.5 config_version grows by 1
//	20.6 the answer as a plain object
func TestFactsOfConfiguration(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 2)
	p, target := c.nodes[0], c.targets()[0]

	t.Run("20.1 periodic, space and lru by query, and back", func(t *testing.T) {
		setConfig(t, c.nodes[1], "periodic.stats_time=12s&periodic.retry_sync_time=3s&periodic.notif_time=40s&"+
			"space.cleanupwm=60&space.lowwm=70&space.highwm=91&space.out_of_space=97&"+
			"lru.enabled=true&lru.dont_evict_time=90m&lru.capacity_upd_time=5m")
		for _, n := range c.nodes {
			s := configOf(t, n, "config")
			for text, want := range map[string]time.Duration{
				s.Periodic.StatsTime: 12 * time.Second, s.Periodic.RetrySyncTime: 3 * time.Second, s.Periodic.NotifTime: 40 * time.Second,
				s.LRU.DontEvictTime: 90 * time.Minute, s.LRU.CapacityUpdTime: 5 * time.Minute,
			} {
				if d, err := time.ParseDuration(text); err != nil || d != want {
					t.Errorf("%s: %q, want %v", n.Name(), text, want)
				}
			}
			if s.Space.CleanupWM != 60 || s.Space.LowWM != 70 || s.Space.HighWM != 91 || s.Space.OutOfSpace != 97 || !s.LRU.Enabled {
				t.Errorf("%s: %+v %+v", n.Name(), s.Space, s.LRU)
			}
		}
	})
	t.Run("20.2 an action message is in force on every node at once", func(t *testing.T) {
		for round, gateway := range c.proxies() {
			slices := 3 + round
			act(t, http.StatusOK, gateway, "", fmt.Sprintf(`{"action":"set-config","value":{"ec":{"data_slices":%d},"features":"%d"}}`, slices, 16*round))
			for _, n := range c.nodes {
				for _, what := range []string{"config", "cluster_config"} {
					if s := configOf(t, n, what); s.EC.DataSlices != slices || s.EC.ParitySlices != 2 || s.Features != itoa(16*round) {
						t.Errorf("set at %s, %s of %s: %+v, features %s", gateway.Name(), what, n.Name(), s.EC, s.Features)
					}
				}
			}
		}
		// Turning it on waits for erasure coding itself.
		notBuilt(t, call(t, http.MethodPut, p.URL()+"/v1/cluster", `{"action":"set-config","value":{"auth":{"client_auth_required":true},"ec":{"enabled":true,"data_slices":9}}}`))
		if s := clusterConfig(t, p); s.EC.Enabled || s.EC.DataSlices == 9 {
			t.Errorf("%+v", s.EC)
		}
	})
	t.Run("20.3 a node cannot override what is of the cluster", func(t *testing.T) {
		before := configOf(t, target, "config").EC
		a := onNode(t, http.StatusBadRequest, p, target, "/set-config?ec.data_slices=7", "")
		checkError(t, a, http.StatusBadRequest, "ec configuration can only be globally updated")
		if now := configOf(t, target, "config").EC; now != before {
			t.Errorf("%+v, was %+v", now, before)
		}
	})
	t.Run("20.4 an override stays after a restart", func(t *testing.T) {
		onNode(t, http.StatusOK, c.nodes[2], target, "/set-config?disk.disk_util_low_wm=13", "")
		onNode(t, http.StatusOK, p, target, "?transient=true", `{"action":"set-config","value":{"log":{"level":"5"}}}`)
		if s := configOf(t, target, "config"); s.Disk.UtilLowWM != 13 || s.Log.Level != "5" {
			t.Errorf("not in force at once: %+v %+v", s.Disk, s.Log)
		}
		if s := configOf(t, target, "cluster_config"); s.Disk.UtilLowWM != 20 || s.Log.Level != "4" {
			t.Errorf("shown as the cluster's: %+v %+v", s.Disk, s.Log)
		}
		c.restart(target)
		if s := configOf(t, target, "config"); s.Disk.UtilLowWM != 13 || s.Log.Level != "4" {
			t.Errorf("after a restart (the log level was transient): %+v %+v", s.Disk, s.Log)
		}
		if s := configOf(t, c.targets()[1], "config"); s.Disk.UtilLowWM != 20 {
			t.Errorf("another node: %+v", s.Disk)
		}
		if _, err := os.Stat(filepath.Join(target.Dir, ".ais.override_config")); err != nil {
			t.Error(err)
		}
	})
	t.Run("20.5 config_version grows by 1", func(t *testing.T) {
		start := clusterConfig(t, p)
		for i := 1; i <= 4; i++ {
			setConfig(t, c.proxies()[i%3], "log.stats_time="+itoa(60+i)+"s")
			for _, n := range c.nodes {
				if s := configOf(t, n, "cluster_config"); s.version(t) != start.version(t)+i {
					t.Errorf("update %d: version %s at %s, was %s before the first", i, s.Version, n.Name(), start.Version)
				}
			}
		}
		onNode(t, http.StatusOK, p, target, "/set-config?log.level=3", "")
		s := clusterConfig(t, p)
		if s.version(t) != start.version(t)+4 {
			t.Errorf("version %s after an override of one node", s.Version)
		}
		if s.LastUpdate == start.LastUpdate {
			t.Errorf("lastupdate_time stays %s", s.LastUpdate)
		}
		if _, err := time.Parse("2006-01-02 15:04:05.999999 -0700 MST", s.LastUpdate); err != nil {
			t.Error(err)
		}
	})
	t.Run("20.6 the answer as a plain object", func(t *testing.T) {
		for _, n := range c.proxies() {
			shown := decode[map[string]any](t, must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/cluster?what=cluster_config", "").body)
			if uuid, _ := shown["uuid"].(string); uuid == "" || uuid != mapOf(t, n).UUID {
				t.Errorf("uuid %v, that of the map is %q", shown["uuid"], mapOf(t, n).UUID)
			}
			for _, section := range []string{
				"backend", "mirror", "ec", "chunks", "log", "periodic", "timeout", "client", "proxy", "space", "lru", "disk", "rebalance", "resilver", "checksum",
				"versioning", "net", "fshc", "auth", "keepalivetracker", "downloader", "transport", "memsys", "tcb", "tco", "arch", "lso", "write_policy", "rate_limit", "get_batch",
			} {
				if _, is := shown[section].(map[string]any); !is {
					t.Errorf("section %s: %v", section, shown[section])
				}
			}
		}
	})
	t.Run("reset-config drops the overrides of one node, then of all", func(t *testing.T) {
		for _, n := range c.nodes {
			onNode(t, http.StatusOK, p, n, "/set-config?client.list_timeout=77s&disk.disk_util_low_wm=14", "")
		}
		setConfig(t, p, "log.level=5&transient=true")
		onNode(t, http.StatusOK, c.nodes[1], target, "", `{"action":"reset-config"}`)
		if s := configOf(t, target, "config"); s.Client.ListTimeout != "5m" || s.Disk.UtilLowWM != 20 || s.Log.Level != "4" {
			t.Errorf("%+v", s)
		}
		if s := configOf(t, p, "config"); s.Client.ListTimeout != "1m17s" || s.Log.Level != "5" {
			t.Errorf("%+v", s)
		}
		version := clusterConfig(t, p).Version
		act(t, http.StatusOK, c.nodes[2], "", `{"action":"reset-config"}`)
		act(t, http.StatusOK, c.nodes[2], "", `{"action":"reset-config"}`)
		for _, n := range c.nodes {
			if s := configOf(t, n, "config"); s.Client.ListTimeout != "5m" || s.Disk.UtilLowWM != 20 || s.Log.Level != "4" || s.EC.DataSlices != 5 || s.Version != version {
				t.Errorf("%s: %+v", n.Name(), s)
			}
			if _, err := os.Stat(filepath.Join(n.Dir, ".ais.override_config")); !os.IsNotExist(err) {
				t.Errorf("%s keeps overrides: %v", n.Name(), err)
			}
		}
	})
	t.Run("a transient change of the cluster is everywhere, and lost by a restart", func(t *testing.T) {
		version := clusterConfig(t, p).Version
		setConfig(t, c.nodes[1], "client.list_timeout=2m&transient=true")
		for _, n := range c.nodes {
			if s := configOf(t, n, "config"); s.Client.ListTimeout != "2m" {
				t.Errorf("%s: %+v", n.Name(), s.Client)
			}
			if s := configOf(t, n, "cluster_config"); s.Client.ListTimeout != "5m" || s.Version != version {
				t.Errorf("%s: %+v", n.Name(), s.Client)
			}
		}
		c.restart(target)
		if s := configOf(t, target, "config"); s.Client.ListTimeout != "5m" {
			t.Errorf("after a restart: %+v", s.Client)
		}
		if s := configOf(t, p, "config"); s.Client.ListTimeout != "2m" {
			t.Errorf("of a node that was not restarted: %+v", s.Client)
		}
	})
	t.Run("concurrent changes through all gateways are all made", func(t *testing.T) {
		start := clusterConfig(t, p).version(t)
		keys := []string{"mirror.copies=5", "lru.capacity_upd_time=7m", "periodic.notif_time=33s", "space.highwm=92", "client.list_timeout=4m", "log.stats_time=99s"}
		var wg sync.WaitGroup
		for i, key := range keys {
			wg.Go(func() {
				a, err := try(client, http.MethodPut, c.proxies()[i%3].URL()+"/v1/cluster/set-config?"+key, "")
				if err != nil || a.status != http.StatusOK {
					t.Errorf("%s: %v %d %s", key, err, a.status, a.body)
				}
			})
		}
		wg.Wait()
		s := clusterConfig(t, c.nodes[2])
		if s.version(t) != start+len(keys) || s.Mirror.Copies != 5 || s.LRU.CapacityUpdTime != "7m" || s.Periodic.NotifTime != "33s" ||
			s.Space.HighWM != 92 || s.Client.ListTimeout != "4m" || s.Log.StatsTime != "1m39s" {
			t.Errorf("version %s, was %d: %+v", s.Version, start, s)
		}
	})
}
