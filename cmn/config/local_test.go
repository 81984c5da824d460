package config_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
)

const (
	dirs  = `"confdir":"/etc/ais","log_dir":"/var/log/ais"`
	ports = `"host_net":{"port":"8080","port_intra_control":"9080","port_intra_data":"10080"}`
	paths = `"fspaths":{"/ais/d1":"","/ais/d2":{}}`
)

func TestParseLocal(t *testing.T) {
	t.Parallel()
	l, warnings, err := config.ParseLocal([]byte(`{`+dirs+`,`+ports+`,`+paths+`,"odd":1,"host_nett":{}}`), "target")
	if err != nil || len(warnings) != 2 {
		t.Fatalf("%v %v", warnings, err)
	}
	mountpaths, test := l.Mountpaths()
	if test || !cmp.Equal(mountpaths, map[string]string{"/ais/d1": "", "/ais/d2": ""}) {
		t.Errorf("%v %v", mountpaths, test)
	}
	data, err := json.Marshal(l)
	const want = `{"fspaths":{"paths":{"/ais/d1":"","/ais/d2":""}},"confdir":"/etc/ais","log_dir":"/var/log/ais",` +
		`"test_fspaths":{"root":"","count":0,"instance":0},` +
		`"host_net":{"hostname":"","hostname_intra_control":"","hostname_intra_data":"","port":"8080","port_intra_control":"9080","port_intra_data":"10080"}}`
	if err != nil || string(data) != want {
		t.Errorf("%s, %v", data, err)
	}
	again, _, err := config.ParseLocal(data, "target")
	if err != nil || !cmp.Equal(l, again) {
		t.Errorf("what is shown does not parse: %v", err)
	}
}

func TestParseLocalForms(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, role, file string
		paths            map[string]string
	}{
		{"a proxy has no mountpaths", "proxy", dirs + `,` + ports, map[string]string{}},
		{"labels", "target", dirs + `,` + ports + `,"fspaths":{"/a":"nvme","/b/c/":null}`, map[string]string{"/a": "nvme", "/b/c": ""}},
		{"the form that is shown", "target", dirs + `,` + ports + `,"fspaths":{"paths":{"/a":"x"}}`, map[string]string{"/a": "x"}},
		{"test mountpaths", "target", dirs + `,` + ports + `,"test_fspaths":{"root":"/tmp/ais","count":2,"instance":0}`,
			map[string]string{"/tmp/ais/mp1": "", "/tmp/ais/mp2": ""}},
		{"test mountpaths of one of several targets", "target", dirs + `,` + ports + `,"test_fspaths":{"root":"/tmp/ais/","count":2,"instance":7}`,
			map[string]string{"/tmp/ais/mp1/7": "", "/tmp/ais/mp2/7": ""}},
		{"names that only look nested", "target", dirs + `,` + ports + `,"fspaths":{"/a/b":"","/a/bc":""}`, map[string]string{"/a/b": "", "/a/bc": ""}},
		{"no data network", "proxy", dirs + `,"host_net":{"port":"8080","port_intra_control":"9080"}`, map[string]string{}},
		{"data on the control network", "proxy", dirs + `,"host_net":{"port":"8080","port_intra_control":"9080","port_intra_data":"9080"}`, map[string]string{}},
		{"networks told apart by host", "proxy",
			dirs + `,"host_net":{"hostname":"a,b","hostname_intra_control":"c","hostname_intra_data":"d","port":"80","port_intra_control":"80","port_intra_data":"80"}`, map[string]string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l, warnings, err := config.ParseLocal([]byte(`{`+tc.file+`}`), tc.role)
			if err != nil || len(warnings) > 0 {
				t.Fatalf("%v %v", warnings, err)
			}
			got, _ := l.Mountpaths()
			if got == nil {
				got = map[string]string{}
			}
			if diff := cmp.Diff(tc.paths, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDataNetworkDefaultsToControl(t *testing.T) {
	t.Parallel()
	l, _, err := config.ParseLocal([]byte(`{`+dirs+`,"host_net":{"hostname":"p","hostname_intra_control":"c","port":"8080","port_intra_control":"9080"}}`), "proxy")
	if err != nil {
		t.Fatal(err)
	}
	if host, port := l.HostNet.Data(); host != "c" || port != "9080" {
		t.Errorf("%s:%s", host, port)
	}
}

func TestParseLocalRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 255)
	for _, tc := range []struct{ name, role, file, want string }{
		{"another role", "client", `{}`, "role"},
		{"no JSON", "proxy", `x`, "line 1"},
		{"no confdir", "proxy", `{"log_dir":"/l",` + ports + `}`, "confdir is missing"},
		{"no log_dir", "proxy", `{"confdir":"/c",` + ports + `}`, "log_dir is missing"},
		{"a relative confdir", "proxy", `{"confdir":"c","log_dir":"/l",` + ports + `}`, "invalid confdir"},
		{"no ports", "proxy", `{` + dirs + `}`, "host_net.port is missing"},
		{"a number for a port", "proxy", `{` + dirs + `,"host_net":{"port":8080}}`, `"host_net.port"`},
		{"a port out of range", "proxy", `{` + dirs + `,"host_net":{"port":"65536","port_intra_control":"1"}}`, "invalid host_net.port"},
		{"no control network", "proxy", `{` + dirs + `,"host_net":{"port":"8080"}}`, "host_net.port_intra_control is missing"},
		{"control is public", "proxy", `{` + dirs + `,"host_net":{"port":"8080","port_intra_control":"8080"}}`, "host_net.port and host_net.port_intra_control"},
		{"control is public on one host", "proxy", `{` + dirs + `,"host_net":{"hostname":"a,b","hostname_intra_control":"b","port":"8080","port_intra_control":"8080"}}`, "different endpoints"},
		{"data is public", "proxy", `{` + dirs + `,"host_net":{"port":"8080","port_intra_control":"9080","port_intra_data":"8080"}}`, "host_net.port_intra_data"},
		{"data is public on one host", "proxy", `{` + dirs + `,"host_net":{"hostname":"a,b","hostname_intra_data":"b","port":"8080","port_intra_control":"9080","port_intra_data":"8080"}}`, "different endpoints"},
		{"one port, one name", "proxy", `{` + dirs + `,"host_net":{"hostname_intra_data":"b","port":"8080","port_intra_control":"9080","port_intra_data":"9080"}}`, "both networks a host name"},
		{"a name without a port", "proxy", `{` + dirs + `,"host_net":{"port":"8080","port_intra_control":"9080","hostname_intra_data":"d"}}`, "needs host_net.port_intra_data"},
		{"a URL for a name", "proxy", `{` + dirs + `,"host_net":{"hostname":"http://a","port":"8080","port_intra_control":"9080"}}`, "invalid host_net.hostname"},
		{"no mountpaths", "target", `{` + dirs + `,` + ports + `}`, "at least one mountpath"},
		{"no mountpaths in test mode", "target", `{` + dirs + `,` + ports + `,"test_fspaths":{"root":"/tmp","count":0}}`, "at least one mountpath"},
		{"a relative mountpath", "target", `{` + dirs + `,` + ports + `,"fspaths":{"a":""}}`, "absolute"},
		{"the root directory", "target", `{` + dirs + `,` + ports + `,"fspaths":{"/a/..":""}}`, "root directory"},
		{"a long mountpath", "target", `{` + dirs + `,` + ports + `,"fspaths":{"/` + long + `":""}}`, "255"},
		{"nested mountpaths", "target", `{` + dirs + `,` + ports + `,"fspaths":{"/a":"","/a/b/c":""}}`, `"/a/b/c" lies in mountpath "/a"`},
		{"one mountpath twice", "target", `{` + dirs + `,` + ports + `,"fspaths":{"/a":"","/a/":""}}`, "twice"},
		{"a label that is no text", "target", `{` + dirs + `,` + ports + `,"fspaths":{"/a":5}}`, "label"},
		{"a label that is an object", "target", `{` + dirs + `,` + ports + `,"fspaths":{"/a":{"x":1}}}`, "label"},
		{"a relative test root", "target", `{` + dirs + `,` + ports + `,"test_fspaths":{"root":"tmp","count":1}}`, "test_fspaths.root"},
		{"a negative test count", "target", `{` + dirs + `,` + ports + `,"test_fspaths":{"root":"/tmp","count":-1}}`, "test_fspaths.count"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := config.ParseLocal([]byte(tc.file), tc.role)
			if apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want one line with %q", err, tc.want)
			}
		})
	}
}

// What a node shows of its configuration has both parts on one level.
func TestNodeJSON(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(config.Node{Local: &config.Local{ConfDir: "/c"}, Cluster: config.DefaultCluster()})
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"fspaths", "confdir", "log_dir", "test_fspaths", "host_net", "backend", "mirror", "features", "config_version"} {
		if object[key] == nil {
			t.Errorf("%s is missing", key)
		}
	}
}

func FuzzParseLocal(f *testing.F) {
	f.Add([]byte(`{`+dirs+`,`+ports+`,`+paths+`}`), true)
	f.Add([]byte(`{`+dirs+`,`+ports+`,"test_fspaths":{"root":"/tmp","count":3,"instance":2}}`), true)
	f.Add([]byte(`{"fspaths":{"paths":{}}}`), false)
	f.Fuzz(func(t *testing.T, data []byte, target bool) {
		role := config.RoleProxy
		if target {
			role = config.RoleTarget
		}
		l, _, err := config.ParseLocal(data, role)
		if err != nil {
			return
		}
		if mountpaths, _ := l.Mountpaths(); target && len(mountpaths) == 0 {
			t.Error("a target without mountpaths")
		}
		if !target {
			return
		}
		out, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := config.ParseLocal(out, role); err != nil || !cmp.Equal(l, again) {
			t.Errorf("%s: %v", out, err)
		}
	})
}
