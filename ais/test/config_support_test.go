package test

import (
	"fmt"
	"net/http"
	"strconv"
	"syscall"
	"testing"

	"github.com/aistore-go/aistore/deploy/playground"
)

// shownConfig is a part of a configuration as nodes show it.
type shownConfig struct {
	Mirror struct {
		Copies  int  `json:"copies"`
		Enabled bool `json:"enabled"`
	} `json:"mirror"`
	EC struct {
		DataSlices   int  `json:"data_slices"`
		ParitySlices int  `json:"parity_slices"`
		Enabled      bool `json:"enabled"`
	} `json:"ec"`
	Log struct {
		Level     string `json:"level"`
		StatsTime string `json:"stats_time"`
	} `json:"log"`
	Periodic struct {
		StatsTime     string `json:"stats_time"`
		RetrySyncTime string `json:"retry_sync_time"`
		NotifTime     string `json:"notif_time"`
	} `json:"periodic"`
	Client struct {
		ListTimeout string `json:"list_timeout"`
	} `json:"client"`
	Proxy struct {
		PrimaryURL   string `json:"primary_url"`
		OriginalURL  string `json:"original_url"`
		DiscoveryURL string `json:"discovery_url"`
	} `json:"proxy"`
	Space struct {
		CleanupWM  int `json:"cleanupwm"`
		LowWM      int `json:"lowwm"`
		HighWM     int `json:"highwm"`
		OutOfSpace int `json:"out_of_space"`
	} `json:"space"`
	LRU struct {
		DontEvictTime   string `json:"dont_evict_time"`
		CapacityUpdTime string `json:"capacity_upd_time"`
		Enabled         bool   `json:"enabled"`
	} `json:"lru"`
	Disk struct {
		UtilLowWM  int `json:"disk_util_low_wm"`
		UtilHighWM int `json:"disk_util_high_wm"`
	} `json:"disk"`
	Net struct {
		HTTP struct {
			UseHTTPS bool `json:"use_https"`
		} `json:"http"`
	} `json:"net"`
	Features   string `json:"features"`
	UUID       string `json:"uuid"`
	Version    string `json:"config_version"`
	LastUpdate string `json:"lastupdate_time"`
}

func (s *shownConfig) version(t *testing.T) int {
	t.Helper()
	v, err := strconv.Atoi(s.Version)
	if err != nil {
		t.Fatalf("config_version %q: %v", s.Version, err)
	}
	return v
}

// configOf asks a node for its configuration: "config" with its overrides,
// "cluster_config" without.
func configOf(t *testing.T, n *playground.Node, what string) *shownConfig {
	t.Helper()
	shown := decode[shownConfig](t, must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what="+what, "").body)
	return &shown
}

// shownMap is a part of a cluster map as nodes show it.
type shownMap struct {
	UUID    string `json:"uuid"`
	Primary struct {
		IntraControl struct {
			URL string `json:"direct_url"`
		} `json:"intra_control_net"`
	} `json:"proxy_si"`
}

func mapOf(t *testing.T, n *playground.Node) *shownMap {
	t.Helper()
	shown := decode[shownMap](t, must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=smap", "").body)
	return &shown
}

// clusterConfig asks a gateway as clients do.
func clusterConfig(t *testing.T, n *playground.Node) *shownConfig {
	t.Helper()
	shown := decode[shownConfig](t, must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/cluster?what=cluster_config", "").body)
	return &shown
}

// setConfig changes the cluster's configuration by a query and checks that the
// answer is empty.
func setConfig(t *testing.T, n *playground.Node, query string) {
	t.Helper()
	if a := must(t, http.StatusOK, http.MethodPut, n.URL()+"/v1/cluster/set-config?"+query, ""); a.body != "" {
		t.Errorf("the answer to set-config has a body: %q", a.body)
	}
}

// act sends an action message to the cluster.
func act(t *testing.T, status int, n *playground.Node, query, message string) answer {
	t.Helper()
	return must(t, status, http.MethodPut, n.URL()+"/v1/cluster"+query, message, "Content-Type", jsonType)
}

// idOf is the id of a node.
func idOf(t *testing.T, n *playground.Node) string {
	t.Helper()
	return decode[struct {
		ID string `json:"daemon_id"`
	}](t, must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=snode", "").body).ID
}

// onNode changes the configuration of one node through a gateway.
func onNode(t *testing.T, status int, gateway, n *playground.Node, path, message string) answer {
	t.Helper()
	return must(t, status, http.MethodPut, gateway.URL()+"/v1/reverse/daemon"+path, message, "Ais-Node-Id", idOf(t, n), "Content-Type", jsonType)
}

// restart kills a node, as a crash does, and starts it again.
func (c *cluster) restart(n *playground.Node, options ...string) {
	c.t.Helper()
	if err := n.Signal(syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
	c.eventually(n.Name()+" is gone", func() error {
		if n.PID() != 0 {
			return fmt.Errorf("it runs")
		}
		return nil
	})
	c.start(n, options...)
	c.waitReady()
}
