package test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestMountpathIdentity(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	p, n, stranger := c.nodes[0], c.nodes[1], c.nodes[2]
	createBucket(t, p, "b", "")
	for i := range 40 {
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", itoa(i)), "content "+itoa(i))
	}
	const diskFault = 1 << 13
	restart := func(wantDisabled ...string) {
		t.Helper()
		c.start(n)
		c.waitReady()
		c.eventually("return of "+n.Name(), func() error { // gateways hear of it a moment later
			for i := range 40 {
				a, err := try(client, http.MethodHead, objectURL(p, "b", itoa(i)), "")
				if err != nil || a.status == http.StatusServiceUnavailable {
					return errors.Join(err, errors.New(a.header.Get("Hdr-Error")))
				}
			}
			return nil
		})
		list := decode[struct{ Available, Disabled []string }](t, must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=mountpaths", "").body)
		if !slices.Equal(list.Disabled, wantDisabled) || len(list.Available)+len(list.Disabled) != c.Mountpaths {
			t.Errorf("mountpaths %+v, want %v disabled", list, wantDisabled)
		}
		want := uint64(6)
		if len(wantDisabled) > 0 {
			want |= diskFault
			if text := tail(filepath.Join(n.LogDir(), "aistarget.ERROR"), 64<<10); !strings.Contains(text, wantDisabled[0]) {
				t.Errorf("%s is not named in the log of errors:\n%s", wantDisabled[0], text)
			}
		}
		c.eventually("flags of "+n.Name(), func() error {
			flags, err := nodeFlags(n)
			if err == nil && flags != want {
				err = fmt.Errorf("flags %d, want %d", flags, want)
			}
			return err
		})
	}
	stop := func() {
		t.Helper()
		if err := n.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		c.waitStopped(n)
	}
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	second, third := c.Mountpath(n, 2), c.Mountpath(n, 3)

	// An unmounted disk without its mount point.
	stop()
	rename(second, second+".away")
	restart(second)
	if _, err := os.Stat(second); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the missing mountpath was made: %v", err)
	}
	must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "meanwhile"), "written with a disk missing")

	// An unmounted disk whose empty mount point is there.
	stop()
	rename(second+".away", second)
	rename(third, third+".away")
	if err := os.Mkdir(third, 0o755); err != nil {
		t.Fatal(err)
	}
	restart(third)
	for range 20 {
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", "meanwhile"), "written with a disk missing")
	}
	if entries, err := os.ReadDir(third); err != nil || len(entries) != 0 {
		t.Errorf("written to an empty mount point: %v %v", entries, err)
	}

	// All back, and all there.
	stop()
	if err := os.Remove(third); err != nil {
		t.Fatal(err)
	}
	rename(third+".away", third)
	restart()
	for i := range 40 {
		if a := must(t, http.StatusOK, http.MethodGet, objectURL(p, "b", itoa(i)), ""); a.body != "content "+itoa(i) {
			t.Errorf("%d holds %q", i, a.body)
		}
	}

	// A disk of another node.
	stop()
	foreign, err := os.ReadFile(filepath.Join(c.Mountpath(stranger, 3), ".ais.id"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile(filepath.Join(third, ".ais.id"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(third, ".ais.id"), foreign, 0o644); err != nil {
		t.Fatal(err)
	}
	code, output := runNode(t, nil, "-role", n.Role, "-config", n.ClusterFile(), "-local_config", n.LocalFile())
	if code != 1 || strings.Count(strings.TrimSpace(output), "\n") != 0 || !strings.Contains(output, "storage integrity error sie#10") || !strings.Contains(output, third) {
		t.Errorf("exit code %d:\n%s", code, output)
	}
	if err := os.WriteFile(filepath.Join(third, ".ais.id"), own, 0o644); err != nil {
		t.Fatal(err)
	}
	restart()
}
