package test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/cksum"
)

// Requirements drawn from where users of storage systems got hurt.
//
//	identity of mountpaths          TestMountpathIdentity; fs: TestMissingMountpaths, TestConflicts,
//	                                        TestMovedMountPointKeepsPlacement
//	exclusive lock                  TestSecondProcessOnTheSameDisksOrAddressesEnds; fs: TestLockBetweenTwoNodes
//	bounded names of work files     TestObjectsOnTheDisk; fs: TestWorkFiles
//	cp yields the bytes             TestObjectsOnTheDisk
//	names stay in their bucket      TestObjectsOnTheDisk, TestBadInputIsRefusedWithTheFieldNamed; cmn/naming: TestValidateObject
//	custom metadata                 TestObjectsOnTheDisk; core: TestCustomMerge, TestSidecarWhenTheAttributeDoesNotFit
//	damaged record                  TestObjectsOnTheDisk; core: TestDamageGoesToQuarantine, TestRecordEveryDamagedByteIsSeen
//	xxhash and xxhash2              TestObjectsOnTheDisk; core: TestIdenticalPut
//	record before rename            TestSystemCallsOfASyncPut; core: TestFaultAtEveryCall
//	durable before the answer       TestSystemCallsOfASyncPut; fs: TestContentIsFlushedBeforeItsName, TestNoAnswerBeforeItsFlush
//	kill at any instruction         TestKillATargetDuringAThousandPuts; core: TestKillDuringWrites
//	failure before the commit       TestShortBodyLeavesNothing, here: a wrong checksum; core: TestFaultAtEveryCall, TestNoSpaceKeepsTheOldObject
//	bounded memory                  TestMemoryIsBoundedByNoObject, and with slow clients TestManySlowClients
//	loopback is for loopback        TestNoLoopbackForStrangers; ais/node: TestPlanEndpoints, TestLoopbackIsForLoopback
func TestObjectsOnTheDisk(t *testing.T) {
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

	t.Run("names of 255 bytes", func(t *testing.T) {
		long := strings.Repeat("n", 255)
		for _, name := range []string{long, "dir/" + strings.Repeat("m", 255), strings.Repeat("k", 255) + "/" + long} {
			put(t, name, "content")
			get(t, name, "content")
			put(t, name, "replaced")
			get(t, name, "replaced")
			c.fileOf("b", name) // under its own name
		}
	})
	t.Run("cp yields the bytes", func(t *testing.T) {
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
	t.Run("names stay in their bucket", func(t *testing.T) {
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
	t.Run("custom metadata", func(t *testing.T) { customMetadata(t, c) })
	t.Run("damaged record", func(t *testing.T) {
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
	t.Run("file of another size", func(t *testing.T) {
		put(t, "short", "precious bytes")
		if err := os.Truncate(c.fileOf("b", "short"), 8); err != nil {
			t.Fatal(err)
		}
		quarantined(t, c, "b", "short", "precious")
	})
	t.Run("xxhash equals xxhash2", func(t *testing.T) {
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
	t.Run("a failed write leaves the old object", func(t *testing.T) {
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
