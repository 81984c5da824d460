package test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// notTraced ends a test that cannot trace: the gate installs strace and takes
// no excuse; elsewhere the order of the same calls is shown by the injected
// failures of fs.TestContentIsFlushedBeforeItsName and
// core.TestFaultAtEveryCall.
func notTraced(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("AIS_TEST_STRACE") != "" {
		t.Fatalf("not traced: %v", err)
	}
	t.Skipf("not traced: %v", err)
}

// TestSystemCallsOfASyncPut watches the system calls of one PUT.
func TestSystemCallsOfASyncPut(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		notTraced(t, err)
	}
	c := startCluster(t, 1, 1)
	createBucket(t, c.nodes[0], "b", `{"durability":"sync"}`)
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "dir/before"), "data") // makes the directory
	n := c.nodes[1]
	file, end := trace(t, strace, n.PID(), "-y", "-s", "40",
		"-e", "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,fsetxattr,setxattr,write,writev,sendto,sendfile")
	for i := range 3 {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "dir/traced"+itoa(i)), "data")
	}
	end()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	calls, from := parseTrace(string(data)), 0
	for i := range 3 {
		renames := func(s traced) bool {
			return !s.begins && strings.HasPrefix(s.name, "rename") && strings.Contains(s.args, "/dir/traced"+itoa(i)+`"`)
		}
		tried := slices.IndexFunc(calls, renames)
		renamed := slices.IndexFunc(calls, func(s traced) bool { return renames(s) && s.result == "0" })
		if renamed < 0 {
			t.Fatalf("no rename of traced%d:\n%s", i, data)
		}
		commit := slices.IndexFunc(calls, func(s traced) bool { return s.begins && s.id == calls[tried].id })
		flushed := func(where []traced, path string) int {
			return slices.IndexFunc(where, func(s traced) bool {
				return !s.begins && s.result == "0" && slices.Contains([]string{"fsync", "fdatasync", "syncfs"}, s.name) && strings.Contains(s.args, path)
			})
		}
		record := slices.IndexFunc(calls[from:commit], func(s traced) bool {
			return !s.begins && s.name == "fsetxattr" && strings.Contains(s.args, "/%wk/") && strings.Contains(s.args, `"user.ais.lom"`)
		})
		content := flushed(calls[from:commit], "/%wk/")
		if record < 0 || content < 0 || content < record {
			t.Errorf("traced%d: record set at %d, work file flushed at %d, before the rename:\n%s", i, record, content, data)
		}
		answered := slices.IndexFunc(calls[renamed:], func(s traced) bool { return s.begins && strings.Contains(s.args, `"HTTP/1.1 200`) })
		if directory := flushed(calls[renamed:], "/%ob/dir>"); answered < 0 || directory < 0 || directory > answered {
			t.Errorf("traced%d: directory flushed at %d, answered at %d, after the rename:\n%s", i, directory, answered, data)
		}
		if tried < renamed { // the directory was missing on this mountpath: its own entry counts, too
			if parent := flushed(calls[tried:], "/%ob>"); parent < 0 || tried+parent > renamed+answered {
				t.Errorf("traced%d: parent directory flushed at %d, answered at %d:\n%s", i, tried+parent, renamed+answered, data)
			}
		}
		from = renamed
	}
}

// trace begins to write the system calls of a process to a file; end ends that.
func trace(t *testing.T, strace string, pid int, options ...string) (file string, end func()) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "calls")
	cmd := exec.Command(strace, append([]string{"-f", "-o", file, "-p", itoa(pid)}, options...)...)
	var said bytes.Buffer
	reader, writer := io.Pipe()
	cmd.Stderr = writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	attached := make(chan struct{})
	go func() {
		buf := make([]byte, 4096)
		for once := true; ; {
			k, err := reader.Read(buf)
			said.Write(buf[:k])
			if once && (err != nil || strings.Contains(said.String(), " attached")) {
				close(attached)
				once = false
			}
			if err != nil {
				return
			}
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- errors.Join(cmd.Wait(), writer.Close()) }()
	select {
	case <-attached:
	case err := <-ended:
		notTraced(t, err)
	}
	end = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // fails if the process has ended, and strace with it
		<-ended
	})
	t.Cleanup(end)
	return file, end
}

// traced is the begin or the end of a system call.
type traced struct {
	id         int // of the call
	name, args string
	begins     bool
	result     string // at the end
}

// parseTrace reads what strace writes, one line a call, or two if another
// thread's call came between.
func parseTrace(text string) (calls []traced) {
	open := map[string]traced{}
	for id, line := range strings.Split(text, "\n") {
		thread, rest, ok := strings.Cut(line, " ")
		if rest = strings.TrimSpace(rest); !ok || rest == "" || rest[0] == '+' || rest[0] == '-' {
			continue
		}
		call, resumed := open[thread], strings.HasPrefix(rest, "<... ")
		if !resumed {
			name, args, _ := strings.Cut(rest, "(")
			call = traced{id: id, name: name, args: args, begins: true}
			calls = append(calls, call)
			if strings.HasSuffix(rest, "<unfinished ...>") {
				open[thread] = call
				continue
			}
		}
		delete(open, thread)
		call.begins = false
		if at := strings.LastIndex(rest, " = "); at >= 0 {
			call.result = rest[at+len(" = "):]
		}
		calls = append(calls, call)
	}
	return calls
}
