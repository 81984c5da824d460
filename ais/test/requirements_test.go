package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/deploy/playground"
)

// Requirements drawn from where users of storage systems got hurt.
//
//	REQ-2   identity of mountpaths          TestRequirementMountpathIdentity; fs: TestMissingMountpaths, TestConflicts,
//	                                        TestMovedMountPointKeepsPlacement
//	REQ-4   exclusive lock                  TestSecondProcessOnTheSameDisksOrAddressesEnds; fs: TestLockBetweenTwoNodes
//	REQ-18  bounded names of work files     TestRequirementsOfObjects; fs: TestWorkFiles
//	REQ-20  cp yields the bytes             TestRequirementsOfObjects
//	REQ-21  names stay in their bucket      TestRequirementsOfObjects, TestBadInputIsRefusedWithTheFieldNamed; cmn/naming: TestValidateObject
//	REQ-24  custom metadata                 TestRequirementsOfObjects; core: TestCustomMerge, TestSidecarWhenTheAttributeDoesNotFit
//	REQ-25  damaged record                  TestRequirementsOfObjects; core: TestDamageGoesToQuarantine, TestRecordEveryDamagedByteIsSeen
//	REQ-26  xxhash and xxhash2              TestRequirementsOfObjects; core: TestIdenticalPut
//	REQ-34  record before rename            TestRequirementSyncPut; core: TestFaultAtEveryCall
//	REQ-35  durable before the answer       TestRequirementSyncPut; fs: TestContentIsFlushedBeforeItsName, TestNoAnswerBeforeItsFlush
//	REQ-37  kill at any instruction         TestKillATargetDuringAThousandPuts; core: TestKillDuringWrites
//	REQ-40  failure before the commit       TestShortBodyLeavesNothing, here: a wrong checksum; core: TestFaultAtEveryCall, TestNoSpaceKeepsTheOldObject
//	REQ-90  bounded memory                  TestMemoryIsBoundedByNoObject, and with slow clients TestRequirementSlowClients
//	REQ-91  loopback is for loopback        TestRequirementNoLoopbackForStrangers; ais/node: TestPlanEndpoints, TestLoopbackIsForLoopback
func TestRequirementsOfObjects(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	p := c.nodes[0]
	createBucket(t, p, "b", "")
	put := func(t *testing.T, name, content string, headers ...string) answer {
		t.Helper()
		return must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", name), content, headers...)
	}
	get := func(t *testing.T, name, want string) answer {
		t.Helper()
		a := must(t, http.StatusOK, http.MethodGet, objectURL(p, "b", name), "")
		if a.body != want {
			t.Errorf("%.40s holds %.40q, want %.40q", name, a.body, want)
		}
		return a
	}

	t.Run("REQ-18 names of 255 bytes", func(t *testing.T) {
		long := strings.Repeat("n", 255)
		for _, name := range []string{long, "dir/" + strings.Repeat("m", 255), strings.Repeat("k", 255) + "/" + long} {
			put(t, name, "content")
			get(t, name, "content")
			put(t, name, "replaced")
			get(t, name, "replaced")
			c.fileOf("b", name) // under its own name
		}
	})
	t.Run("REQ-20 cp yields the bytes", func(t *testing.T) {
		content := strings.Repeat("any tool can read this\n", 50_000)
		put(t, "dir/plain.txt", content)
		taken := filepath.Join(t.TempDir(), "copy")
		if out, err := exec.Command("cp", c.fileOf("b", "dir/plain.txt"), taken).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if data, err := os.ReadFile(taken); err != nil || string(data) != content {
			t.Errorf("%d bytes, want %d: %v", len(data), len(content), err)
		}
	})
	t.Run("REQ-21 names stay in their bucket", func(t *testing.T) {
		before := len(c.filesBelow(c.nodes[1])) + len(c.filesBelow(c.nodes[2]))
		for _, path := range []string{"../../../escaped", "a/../../escaped", "%2e%2e/escaped", "..%2Fescaped", "./escaped", "a/%00", "a%01b", "~/escaped"} {
			for _, n := range c.nodes {
				request := "PUT /v1/objects/b/" + path + " HTTP/1.1\r\nHost: x\r\nAis-Smap-Version: 1\r\nContent-Length: 1\r\n\r\nx"
				if a := exchange(t, n, request); a.status != http.StatusBadRequest {
					t.Errorf("%s at %s: %d %s", path, n.Name(), a.status, a.body)
				}
			}
		}
		if after := len(c.filesBelow(c.nodes[1])) + len(c.filesBelow(c.nodes[2])); after != before {
			t.Errorf("%d files on disk, %d before", after, before)
		}
	})
	t.Run("REQ-24 custom metadata", func(t *testing.T) { customMetadata(t, c) })
	t.Run("REQ-25 damaged record", func(t *testing.T) {
		put(t, "damaged", "precious bytes")
		file := c.fileOf("b", "damaged")
		record := make([]byte, 4096)
		n, err := unix.Getxattr(file, "user.ais.lom", record)
		if err != nil {
			t.Fatal(err)
		}
		record[n/2] ^= 0x10
		if err := unix.Setxattr(file, "user.ais.lom", record[:n], 0); err != nil {
			t.Fatal(err)
		}
		quarantined(t, c, "b", "damaged", "precious bytes")
		put(t, "damaged", "a new beginning")
		get(t, "damaged", "a new beginning")
	})
	t.Run("REQ-25 file of another size", func(t *testing.T) {
		put(t, "short", "precious bytes")
		if err := os.Truncate(c.fileOf("b", "short"), 8); err != nil {
			t.Fatal(err)
		}
		quarantined(t, c, "b", "short", "precious")
	})
	t.Run("REQ-26 xxhash equals xxhash2", func(t *testing.T) {
		const content = "the same bytes"
		sum, err := cksum.Of(cksum.XXHash, []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		first := put(t, "same", content)
		if first.header.Get("Ais-Version") != "1" || first.header.Get("Ais-Checksum-Type") != "xxhash2" || first.header.Get("Ais-Checksum-Value") != sum.Value {
			t.Fatalf("%v", first.header)
		}
		for _, kind := range []string{"xxhash", "xxhash2"} {
			again := put(t, "same", content, "Ais-Checksum-Type", kind, "Ais-Checksum-Value", sum.Value)
			if again.header.Get("Ais-Version") != "1" || again.header.Get("Ais-Checksum-Type") != "xxhash2" || again.header.Get("Ais-Checksum-Value") != sum.Value {
				t.Errorf("%s: %v", kind, again.header)
			}
			a := call(t, http.MethodPut, objectURL(p, "b", "same"), "other bytes", "Ais-Checksum-Type", kind, "Ais-Checksum-Value", sum.Value)
			checkError(t, a, 500, "BAD DATA CHECKSUM: "+kind+"(")
		}
		if a := get(t, "same", content); a.header.Get("Ais-Version") != "1" {
			t.Errorf("%v", a.header)
		}
		other, err := cksum.Of(cksum.XXHash, []byte("other bytes"))
		if err != nil {
			t.Fatal(err)
		}
		if a := put(t, "same", "other bytes", "Ais-Checksum-Type", "xxhash", "Ais-Checksum-Value", other.Value); a.header.Get("Ais-Version") != "2" {
			t.Errorf("%v", a.header)
		}
	})
	t.Run("REQ-40 a failed write leaves the old object", func(t *testing.T) {
		put(t, "kept", "old content", "Ais-Custom-Md", "k=v")
		checkError(t, call(t, http.MethodPut, objectURL(p, "b", "kept"), "new content", "Ais-Checksum-Type", "sha256", "Ais-Checksum-Value", "00"), 500, "BAD DATA CHECKSUM")
		if a := get(t, "kept", "old content"); a.header.Get("Ais-Version") != "1" || a.header.Get("Ais-Custom-Md") != "k=v" {
			t.Errorf("%v", a.header)
		}
		for _, n := range c.targets() {
			for _, file := range c.filesBelow(n) {
				if strings.Contains(file, "/%wk/") {
					t.Errorf("left over: %s", file)
				}
			}
		}
	})
}

// quarantined reads a damaged object: the read that finds it fails, later ones
// do not find it, and its bytes lie where an operator looks for them.
func quarantined(t *testing.T, c *cluster, bucket, name, content string) {
	t.Helper()
	a := call(t, http.MethodGet, objectURL(c.nodes[0], bucket, name), "")
	checkError(t, a, 500, "BAD DATA CHECKSUM:")
	must(t, http.StatusNotFound, http.MethodGet, objectURL(c.nodes[0], bucket, name), "")
	if names := listAll(t, c.proxies(), bucket, name, 0); len(names) != 0 {
		t.Errorf("%v is still listed", names)
	}
	for _, n := range c.targets() {
		for i := 1; i <= c.Mountpaths; i++ {
			dirs, err := filepath.Glob(filepath.Join(c.Mountpath(n, i), ".ais.quarantine", "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, dir := range dirs {
				text, err := os.ReadFile(filepath.Join(dir, "why.json"))
				if err != nil {
					t.Error(err)
				}
				if why := decode[struct{ Bucket, Name, Finding string }](t, string(text)); why.Name != name || why.Finding == "" {
					continue
				}
				if data, err := os.ReadFile(filepath.Join(dir, "data")); err != nil || string(data) != content {
					t.Errorf("quarantine holds %q: %v", data, err)
				}
				return
			}
		}
	}
	t.Errorf("%s/%s is in no quarantine", bucket, name)
}

// customMetadata stores as much as S3 allows, on the filesystem that the tests
// run on, and finds one byte more refused while the client still waits for
// permission to send.
func customMetadata(t *testing.T, c *cluster) {
	for _, pairs := range []int{1, 8, 64} {
		var headers, want []string
		for i := range pairs {
			pair := fmt.Sprintf("%02d=", i)
			pair += strings.Repeat("v", 2048/pairs-len(pair)+1) // "=" does not count
			headers, want = append(headers, "Ais-Custom-Md", pair), append(want, pair)
		}
		name := "custom" + itoa(pairs)
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", name), "data", headers...)
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			got := must(t, http.StatusOK, method, objectURL(c.nodes[0], "b", name), "").header.Values("Ais-Custom-Md")
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s with %d pairs: %d come back", method, pairs, len(got))
			}
		}
		// Other keys add up, more than one attribute holds.
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", name), "data2", "Ais-Custom-Md", "more="+strings.Repeat("w", 2000))
		if got := must(t, http.StatusOK, http.MethodHead, objectURL(c.nodes[0], "b", name), "").header.Values("Ais-Custom-Md"); len(got) != pairs+1 {
			t.Errorf("%d pairs, want %d", len(got), pairs+1)
		}
	}
	owner := c.owner("b", "toolarge")
	a := exchange(t, owner, "PUT /v1/objects/b/toolarge?"+c.marker("b", "toolarge")+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\nExpect: 100-continue\r\n"+
		"Ais-Custom-Md: k="+strings.Repeat("v", 2048)+"\r\n\r\n")
	checkError(t, a, 400, "total size 2049 exceeds max 2048 bytes")
	must(t, http.StatusNotFound, http.MethodGet, objectURL(c.nodes[0], "b", "toolarge"), "")
}

func TestRequirementMountpathIdentity(t *testing.T) {
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

// TestRequirementSyncPut watches the system calls of one PUT.
func TestRequirementSyncPut(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		notTraced(t, err)
	}
	c := startCluster(t, 1, 1)
	createBucket(t, c.nodes[0], "b", `{"durability":"sync"}`)
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "dir/before"), "data") // makes the directory
	n := c.nodes[1]
	file := filepath.Join(t.TempDir(), "calls")
	cmd := exec.Command(strace, "-f", "-y", "-s", "40", "-o", file, "-p", itoa(n.PID()),
		"-e", "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,fsetxattr,setxattr,write,writev,sendto,sendfile")
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
	for i := range 3 {
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "dir/traced"+itoa(i)), "data")
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-ended
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

// TestRequirementSlowClients holds many transfers open that do not move.
func TestRequirementSlowClients(t *testing.T) {
	c := startCluster(t, 1, 1)
	createBucket(t, c.nodes[0], "b", `{"durability":"none"}`)
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "large"), strings.Repeat("x", 16*mib))
	must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "b", "large"), "")
	n, clients := c.nodes[1], 100
	before := anonymous(t, c.nodes...)
	half := strings.Repeat("y", mib)
	var conns []net.Conn
	for i := range clients {
		get, put := dial(t, n), dial(t, n)
		conns = append(conns, get, put)
		for _, conn := range []net.Conn{get, put} {
			if err := conn.SetDeadline(time.Now().Add(stepTimeout)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(get, "GET /v1/objects/b/large HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_, err := fmt.Fprintf(put, "PUT /v1/objects/b/slow%d?%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", i, c.marker("b", fmt.Sprintf("slow%d", i)), 16*mib, half)
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < len(conns); i += 2 { // every answer has begun
		if _, err := io.ReadFull(conns[i], make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	grown := anonymous(t, c.nodes...) - before
	t.Logf("%d readers and %d writers that stand still: anonymous memory grew by %d KiB", clients, clients, grown>>10)
	if grown > 64*mib {
		t.Errorf("anonymous memory grew by %d MiB, more than 64", grown/mib)
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "b", "large"), "")
}

// TestRequirementNoLoopbackForStrangers: a node that others can reach tells
// them an address that they can use; one that only listens on loopback is not
// offered to them.
func TestRequirementNoLoopbackForStrangers(t *testing.T) {
	t.Parallel()
	own := globalAddress(t)
	c := newCluster(t, 1, 2)
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	open, closed := []*playground.Node{c.nodes[0], c.nodes[1]}, c.nodes[2]
	for _, n := range open {
		editJSON(t, n.LocalFile(), func(m map[string]any) { m["host_net"].(map[string]any)["hostname"] = "0.0.0.0" })
	}
	if own == "" {
		// With no address but loopback there is nothing to tell.
		n := open[0]
		code, output := runNode(t, nil, "-role", n.Role, "-config", n.ClusterFile(), "-local_config", n.LocalFile())
		if code != 1 || !strings.Contains(output, "no address besides loopback") {
			t.Errorf("%d %s", code, output)
		}
		return
	}
	t.Cleanup(c.down)
	for _, n := range c.nodes {
		c.start(n)
	}
	c.waitReady()
	for _, n := range open {
		health := decode[struct {
			URL string `json:"public_url"`
		}](t, must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/health?cii=true", "").body)
		want := "http://" + net.JoinHostPort(own, itoa(n.Port))
		if health.URL != want {
			t.Errorf("%s advertises %s, want %s", n.Name(), health.URL, want)
		}
		if log := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/daemon?what=log", "").body; !strings.Contains(log, want) {
			t.Errorf("%s does not log its address:\n%s", n.Name(), log)
		}
	}
	createBucket(t, c.nodes[0], "b", "")
	outside := "http://" + net.JoinHostPort(own, itoa(c.nodes[0].Port))
	reached, refused := 0, 0
	for i := range 40 {
		path := "/v1/objects/b/" + itoa(i)
		must(t, http.StatusOK, http.MethodPut, c.nodes[0].URL()+path, "data")
		a, err := try(unfollowed, http.MethodGet, outside+path, "")
		switch {
		case err != nil:
			t.Fatal(err)
		case a.status == http.StatusMovedPermanently:
			if host := location(t, a).Hostname(); host != own {
				t.Errorf("redirected to %s", host)
			}
			reached++
		case a.status == http.StatusServiceUnavailable:
			checkError(t, a, 503, "loopback")
			refused++
		default:
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if reached == 0 || refused == 0 {
		t.Errorf("%d redirects, %d refusals: expected some of both", reached, refused)
	}
	if a := single(t, http.StatusOK, http.MethodGet, closed.URL()+"/v1/health?cii=true", ""); !json.Valid([]byte(a.body)) || !strings.Contains(a.body, closed.URL()) {
		t.Errorf("%s", a.body)
	}
}

// globalAddress is an IPv4 address by which others can reach this machine, ""
// if it has none.
func globalAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		if network, ok := addr.(*net.IPNet); ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	return ""
}
