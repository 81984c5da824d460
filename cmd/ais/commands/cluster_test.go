package commands

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aistore-go/aistore/cmd/ais/settings"
)

func TestShowCluster(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	r := f.run(t, "", "show", "cluster")
	if r.code != 0 || r.err != "" {
		t.Fatalf("%+v", r)
	}
	equal(t, squeeze(r.out), `PROXY MEM USED(%) MEM AVAIL SYS CPU(%) UPTIME
p[proxyAAA1][P] 6.25% 15.00GiB 12% 1h2m3s

TARGET MEM USED(%) MEM AVAIL CAP USED(%) CAP AVAIL SYS CPU(%) UPTIME STATUS VERSION BUILD TIME
t[tgtAAAAA1] 6.25% 15.00GiB 25% 6.00GiB 12% 1h2m3s online 5.0.abc 2026-01-01
t[tgtCCCCC3] - - - - - - <offline> - -

Summary:
CLI Endpoint: `+f.server.URL+`
Proxies: 1 (electable: 1)
Targets: 2 (total disks: 2) - 1 unreachable
Capacity: used 2.00GiB (25%), available 6.00GiB
Cluster Map: version 7, UUID Q1wErTy7U, primary p[proxyAAA1]
Software: AIStore 5.0.abc
Backend: none
Deployment: linux
Status: 2 online, 1 not
Rebalance: n/a
Authentication: disabled
Version: 5.0.abc
Build: 2026-01-01`)
	equal(t, f.ok(t, "show cluster proxy"), "PROXY MEM USED(%) MEM AVAIL SYS CPU(%) UPTIME\np[proxyAAA1][P] 6.25% 15.00GiB 12% 1h2m3s")
	equal(t, f.ok(t, "show cluster t[tgtAAAAA1] -H"), "t[tgtAAAAA1] 6.25% 15.00GiB 25% 6.00GiB 12% 1h2m3s")
	contains(t, f.ok(t, "show cluster target tgtAAAAA1 --verbose"), "LOAD AVERAGE", "REBALANCE", "ALERT", "[0.0 0.0 0.0]", "ok")
	equal(t, f.ok(t, "show cluster proxy -H --refresh 1ms --count 2"),
		"p[proxyAAA1][P] 6.25% 15.00GiB 12% 1h2m3s\n---\np[proxyAAA1][P] 6.25% 15.00GiB 12% 1h2m3s")
	contains(t, f.fails(t, "show cluster FOO"), "expecting a valid NODE_ID or node type")
	contains(t, f.fails(t, "show cluster p[tgtAAAAA1]"), "expecting a valid NODE_ID or node type")
	contains(t, f.fails(t, "show cluster --count 2"), "requires --refresh")

	var form map[string]map[string]map[string]any
	if err := json.Unmarshal([]byte(f.run(t, "", "show", "cluster", "--json").out), &form); err != nil ||
		form["target"]["tgtAAAAA1"]["ais_version"] != "5.0.abc" || form["target"]["tgtCCCCC3"]["error"] == nil {
		t.Errorf("%v, %v", form, err)
	}

	f.fenced = "the cluster has another history"
	contains(t, f.ok(t, "show cluster target"), "tgtCCCCC3] - - - - - - <fenced> ", "fenced: the cluster has another history")
	f.fenced = ""

	f.version = "5.1.x"
	if r := f.run(t, "", "show", "cluster"); !strings.Contains(r.err, "has version 5.1.x") || strings.Contains(r.err, "may not") {
		t.Errorf("%+v", r)
	}
	f.version = "4.5"
	if r := f.run(t, "", "show", "cluster"); !strings.Contains(r.err, "may not be compatible") {
		t.Errorf("%+v", r)
	}
}

func TestShowSmap(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	for _, line := range []string{"show cluster smap", "show cluster smap tgtAAAAA1"} {
		equal(t, f.ok(t, line), `NODE TYPE PUBLIC URL
p[proxyAAA1][P] proxy `+f.server.URL+`
t[tgtAAAAA1] target `+f.server.URL+`
t[tgtCCCCC3] target `+f.server.URL+`

Version: 7
UUID: Q1wErTy7U
Created: 2026-01-01 00:00:00
Electable: 1 of 1 proxies
Targets: 2, active: 2`)
	}
	contains(t, f.run(t, "", "show", "cluster", "smap", "--json").out, `"uuid": "Q1wErTy7U"`, `"version": "7"`)
}

func TestVersionAndConfig(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	for _, line := range []string{"version", "--version"} {
		equal(t, f.ok(t, line), "version 1.32.abc1234 (build 2026-01-01)")
	}
	equal(t, f.ok(t, "config cli --path"), filepath.Join(f.dir, "cli.json"))
	equal(t, f.ok(t, "config cli show --path"), filepath.Join(f.dir, "cli.json"))
	contains(t, f.ok(t, "show config cli"), "PROPERTY VALUE", "cluster.url http://127.0.0.1:8080", "aliases.ls bucket ls")
	contains(t, f.run(t, "", "config", "cli", "show", "--json").out, `"tcp_timeout": "60s"`)
}

func TestAliases(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	file := settings.Defaults(false)
	file.Aliases = map[string]string{"mk": "bucket create", "gone": "bucket nosuch", "bucket": "object put"}
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, settings.FileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	equal(t, f.ok(t, "mk ais://b"), `"ais://b" created`)
	equal(t, f.ok(t, "bucket ls -H -F"), "ais://b")
	contains(t, f.fails(t, "gone x"), `unknown command "gone"`)
	contains(t, f.fails(t, "ls"), `unknown command "ls"`)
}

func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	for line, text := range map[string]string{
		"bukket":                "did you mean 'ais bucket'",
		"bucket craete":         "did you mean 'ais bucket create'",
		"object":                "",
		"ls --no-header":        "did you mean --no-headers",
		"ls --limit x":          "invalid value",
		"ls --units furlongs":   "invalid units",
		"ls a b":                "unexpected argument",
		"put x":                 "expecting a source",
		"show object":           "expecting one object",
		"get ais://b/o a b":     "expecting BUCKET/OBJECT_NAME",
		"config cli nosuch":     "unknown command",
		"show cluster smap x":   `node "x" does not exist`,
		"ls --refresh sometime": "invalid duration",
	} {
		if text == "" {
			contains(t, f.ok(t, line), "COMMANDS:")
			continue
		}
		if message := f.fails(t, line); !strings.Contains(message, text) || !strings.HasPrefix(message, "Error: ") {
			t.Errorf("ais %s: %q lacks %q", line, message, text)
		}
	}
}

func TestUnreachableAndStartingUp(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	f.starting = 1
	r := f.run(t, "", "ls")
	if r.code != 0 || !strings.Contains(r.err, "is starting up") || !strings.Contains(r.out, "No buckets") {
		t.Errorf("%+v", r)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.server.Close()
	f.server.URL = "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	contains(t, f.fails(t, "ls"), "AIStore cannot be reached at "+f.server.URL, "AIS_ENDPOINT")
}

// Ctrl-C is no failure.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out strings.Builder
	env := Environment{In: strings.NewReader(""), Out: &out, Err: &out, Getenv: func(name string) string {
		return map[string]string{settings.EnvEndpoint: f.server.URL, settings.EnvConfigDir: f.dir}[name]
	}}
	if code := Run(ctx, env, []string{"ais", "ls"}); code != 0 {
		t.Errorf("%d %s", code, out.String())
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	f.ok(t, "create ais://b1 ais://b2")
	complete := func(line string) []string {
		return strings.Fields(f.run(t, "", append(strings.Fields(line), "--generate-bash-completion")...).out)
	}
	for line, want := range map[string][]string{
		"bucket":                    {"ls", "create", "rm", "show", "props", "cp", "mv", "summary", "evict", "rechunk"},
		"ls":                        {"ais://b1", "ais://b2"},
		"get":                       {"ais://b1/", "ais://b2/"},
		"put":                       {},
		"put file":                  {"ais://b1/", "ais://b2/"},
		"rmb ais://b1":              {"ais://b1", "ais://b2"},
		"show cluster":              {"smap", "proxy", "target", "p[proxyAAA1]", "t[tgtAAAAA1]", "t[tgtCCCCC3]"},
		"completion -":              {"--help"},
		"rmb --":                    {"--ignore-error", "--yes", "--all", "--help"},
		"bucket props reset --nosu": {"--help"},
	} {
		if diff := cmp.Diff(want, complete(line)); diff != "" {
			t.Errorf("ais %s: %s", line, diff)
		}
	}
	contains(t, strings.Join(complete("bucket props set ais://b1"), " "), "checksum.type=", "durability=")
	contains(t, f.ok(t, "completion bash"), "complete -o bashdefault -o default -F _ais_complete ais")
	contains(t, f.ok(t, "completion zsh"), "#compdef ais")
}

// Every command has a help text, a usage line, and, unless it is a group,
// examples that begin with its program.
func TestHelpOfAllCommands(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	app := &App{config: settings.Defaults(false)}
	var visit func(path []string, names []string)
	visit = func(path []string, names []string) {
		for _, name := range names {
			words := append(append([]string{}, path...), name)
			r := f.run(t, "", append(words, "--help")...)
			if r.code != 0 || !strings.Contains(r.out, "USAGE:") {
				t.Errorf("%v: %+v", words, r)
			}
			if !strings.Contains(r.out, "COMMANDS:") && !strings.Contains(r.out, "Examples:\n") {
				t.Errorf("%v has no examples:\n%s", words, r.out)
			}
		}
	}
	root := app.tree()
	for _, cmd := range root.Commands {
		visit(nil, []string{cmd.Name})
		for _, sub := range cmd.Commands {
			visit([]string{cmd.Name}, []string{sub.Name})
			for _, leaf := range sub.Commands {
				visit([]string{cmd.Name, sub.Name}, []string{leaf.Name})
			}
		}
	}
}
