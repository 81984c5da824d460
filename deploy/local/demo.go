package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

const demoBucket = "ais://demo"

// demo does the main job before the user's eyes, with the commands that the
// user would type: it stores the Go toolchain's source tree, lists it, reads
// it back in parallel and compares every file with its original.
func (c *commands) demo(ctx context.Context) error {
	source, err := goSource(ctx)
	if err != nil {
		return err
	}
	back := filepath.Join(c.Root, "demo")
	if err := os.RemoveAll(back); err != nil {
		return err
	}
	c.say("\nThe main job: store the Go source tree (%s), list it, read it back, compare.", source)
	if c.ais(ctx, io.Discard, "bucket", "props", "show", demoBucket) == nil {
		if err := c.ais(ctx, c.out, "rmb", demoBucket); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"create", demoBucket},
		{"put", "-r", "--yes", source, demoBucket},
		{"ls", demoBucket, "--count-only"},
		{"get", demoBucket, "--prefix", "", "--checksum", "--yes", back},
	} {
		if err := c.ais(ctx, c.out, args...); err != nil {
			return err
		}
	}
	began := time.Now()
	files, bytes, err := compareTrees(source, back)
	if err != nil {
		return err
	}
	c.say("Compared %d files (%.1f MiB) with their originals in %.1f s: all equal.", files, float64(bytes)/(1<<20), time.Since(began).Seconds())
	return os.RemoveAll(back)
}

// ais runs the CLI against this playground and shows the command.
func (c *commands) ais(ctx context.Context, out io.Writer, args ...string) error {
	shown := make([]string, len(args))
	for i, arg := range args {
		if arg == "" || strings.ContainsAny(arg, " '\"") {
			arg = fmt.Sprintf("%q", arg)
		}
		shown[i] = arg
	}
	if out != io.Discard {
		c.say("\n$ ais %s", strings.Join(shown, " "))
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.Bin, "ais"), args...)
	cmd.Env = append(os.Environ(), "AIS_ENDPOINT="+c.Nodes()[0].URL(), "AIS_CLI_CONFIG_DIR="+c.cliConfig())
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if out == io.Discard {
		cmd.Stderr = io.Discard
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ais %s: %w", strings.Join(shown, " "), err)
	}
	return nil
}

// goSource is the source tree of the Go toolchain that builds this program.
func goSource(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find the Go source tree (`go env GOROOT`): %w", err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(strings.TrimSpace(string(root)), "src"))
	if err != nil {
		return "", fmt.Errorf("find the Go source tree of %s: %w", runtime.Version(), err)
	}
	return dir, nil
}

// compareTrees fails on the first file that is missing, extra or different.
func compareTrees(source, copied string) (files int, bytes int64, err error) {
	want, err := digests(source)
	if err != nil {
		return 0, 0, err
	}
	got, err := digests(copied)
	if err != nil {
		return 0, 0, err
	}
	for name, w := range want {
		g, ok := got[name]
		switch {
		case !ok:
			return 0, 0, fmt.Errorf("%s was stored but not read back", name)
		case g != w:
			return 0, 0, fmt.Errorf("%s differs from its original", name)
		}
		files++
		bytes += w.size
	}
	if len(got) != len(want) {
		return 0, 0, fmt.Errorf("read back %d files, stored %d", len(got), len(want))
	}
	return files, bytes, nil
}

type digest struct {
	size int64
	sum  uint64
}

func digests(root string) (map[string]digest, error) {
	found := make(map[string]digest, 16384)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		found[name], err = digestOf(path)
		return err
	})
	return found, err
}

func digestOf(path string) (digest, error) {
	file, err := os.Open(path)
	if err != nil {
		return digest{}, err
	}
	h := xxhash.New()
	n, err := io.Copy(h, file)
	return digest{size: n, sum: h.Sum64()}, errors.Join(err, file.Close())
}
