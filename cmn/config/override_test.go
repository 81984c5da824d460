package config_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
)

func TestOverride(t *testing.T) {
	t.Parallel()
	o, err := config.ParseCustom("log.level=4, disk.disk_util_low_wm=10,LRU.Dont_Evict_Time=3h,log.level=5")
	if err != nil || o.Len() != 3 {
		t.Fatalf("%d, %v", o.Len(), err)
	}
	cluster := config.DefaultCluster()
	got, err := o.Apply(cluster)
	if err != nil || got.Log.Level != 5 || got.Disk.UtilLowWM != 10 || got.LRU.DontEvictTime.D() != 3*time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
	if diff := cmp.Diff(config.DefaultCluster(), cluster); diff != "" {
		t.Errorf("the cluster's configuration was changed:\n%s", diff)
	}
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	stored, warnings, err := config.ParseOverride(data)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if again, err := stored.Apply(cluster); err != nil || !cmp.Equal(got, again) {
		t.Errorf("after a restart: %v", err)
	}
	more, err := config.ParseCustom("log.level=2,client.list_timeout=1m")
	if err != nil {
		t.Fatal(err)
	}
	stored.Merge(more)
	if again, err := stored.Apply(cluster); err != nil || again.Log.Level != 2 || again.Disk.UtilLowWM != 10 || again.Client.ListTimeout.D() != time.Minute {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestOverrideEmpty(t *testing.T) {
	t.Parallel()
	o, err := config.ParseCustom("")
	if err != nil {
		t.Fatal(err)
	}
	o.Merge(&config.Override{})
	if got, err := o.Apply(config.DefaultCluster()); err != nil || !cmp.Equal(got, config.DefaultCluster()) {
		t.Error(err)
	}
}

func TestOverrideRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"mirror.copies=3":                  "mirror configuration can only be globally updated",
		"checksum.type=md5":                "cksum configuration can only be globally updated",
		"get_batch.max_wait=2s":            "getbatch configuration can only be globally updated",
		"features=16":                      "features configuration can only be globally updated",
		"net.http.use_https=true":          "net configuration can only be globally updated",
		"log.leveL2=3":                     `unknown property "log.level2"`,
		"log=3":                            `unknown property "log"`,
		"log.level":                        "key=value",
		"=3":                               "key=value",
		"log.level=15":                     "invalid log.level",
		"log.max_size=big":                 "invalid log.max_size",
		"write_policy.data=delayed":        `property "write_policy.data" is readonly`,
		"keepalivetracker.proxy.name=x":    `property "keepalivetracker.proxy.name" is readonly`,
		"fspaths.paths=x":                  `property "fspaths.paths" is readonly`,
		"config_version=3":                 `property "config_version" is readonly`,
		"backend.aws={}":                   "backend configuration can only be globally updated",
		"log.level=3,,log.to_stderr=false": "key=value",
	} {
		if _, err := config.ParseCustom(text); apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	o, err := config.ParseCustom("disk.disk_util_low_wm=90")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Apply(config.DefaultCluster()); err == nil || !strings.Contains(err.Error(), "disk.disk_util_high_wm") {
		t.Errorf("a contradiction is accepted: %v", err)
	}
}

func TestParseOverrideIgnoresClusterKeys(t *testing.T) {
	t.Parallel()
	o, warnings, err := config.ParseOverride([]byte(`{"ec.enabled":"true","log.level":"4"}`))
	if err != nil || o.Len() != 1 || len(warnings) != 1 || !strings.Contains(warnings[0], "ec.enabled") {
		t.Errorf("%v %v", warnings, err)
	}
	if _, _, err := config.ParseOverride([]byte(`[]`)); err == nil {
		t.Error("an array is accepted")
	}
}

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestReadEnv(t *testing.T) {
	t.Parallel()
	e, err := config.ReadEnv(env(nil))
	if err != nil || e != (config.Env{ReadHeaderTimeout: 16 * time.Second}) || e.PrimaryURL(config.DefaultCluster()) != "" {
		t.Errorf("%+v, %v", e, err)
	}
	for text, want := range map[string]string{
		"host:9080": "http://host:9080", "host": "http://host", "http://10.0.0.1:9080/": "http://10.0.0.1:9080",
		"https://h:1": "http://h:1", "[::1]:9080": "http://[::1]:9080",
	} {
		e, err := config.ReadEnv(env(map[string]string{"AIS_PRIMARY_EP": text}))
		if err != nil || e.PrimaryURL(config.DefaultCluster()) != want {
			t.Errorf("%s: %q, %v", text, e.PrimaryEP, err)
		}
	}
	for name, bad := range map[string][]string{
		"AIS_PRIMARY_EP":          {"http://h:1/v1", "h/v1", "ftp://h", "http://", "h:x", "u@h:1"},
		"AIS_HOST_PORT":           {"0", "x", "70000", "-1"},
		"AIS_HOST_IP":             {"a/b", "a b"},
		"AIS_PUBLIC_HOSTNAME":     {"http://h"},
		"AIS_READ_HEADER_TIMEOUT": {"10", "-1s"},
		"AIS_HTTP_LOOP":           {"no", "OFF"},
	} {
		for _, value := range bad {
			if _, err := config.ReadEnv(env(map[string]string{name: value})); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%s: %v", name, value, err)
			}
		}
	}
}

func TestEnvOfANode(t *testing.T) {
	t.Parallel()
	e, err := config.ReadEnv(env(map[string]string{"AIS_HOST_IP": "10.0.0.1", "AIS_HOST_PORT": "8081", "AIS_DAEMON_ID": "abcdefgh", "AIS_READ_HEADER_TIMEOUT": "0s"}))
	if err != nil || e.ReadHeaderTimeout != 0 || e.NodeID != "abcdefgh" || e.HostIP != "10.0.0.1" || e.HostPort != "8081" {
		t.Fatal(e, err)
	}
}
