package target_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// underProtected is what the metrics of all targets say of the bucket "b".
func underProtected(t *testing.T, nodes []*aistest.Node) (count int) {
	t.Helper()
	for _, n := range nodes {
		_, text := expect(t, 200, follower, "GET", n.URL()+"/metrics", nil)
		for line := range strings.SplitSeq(text, "\n") {
			var value int
			labels, shown, _ := strings.Cut(line, "} ")
			if strings.HasPrefix(labels, "ais_target_underprotected_count{") && strings.Contains(labels, `bucket="ais://b"`) {
				if _, err := fmt.Sscan(shown, &value); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				count += value
			}
		}
	}
	return count
}

// wantUnderProtected waits until metrics say how many objects have less than their
// bucket asks for, and compares the summary.
func wantUnderProtected(t *testing.T, c *aistest.Cluster, nodes []*aistest.Node, what string, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s: %d objects below their level of protection", what, want), func() bool { return underProtected(t, nodes) == want })
	client, err := api.New(api.Options{URL: c.Proxies[0].URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	eventually(t, fmt.Sprintf("%s: the summary counts %d", what, want), func() bool {
		sums, err := client.Summarize(t.Context(), wire.Bck{Name: "b", Provider: wire.ProviderAIS}, &wire.SummaryMsg{}, nil)
		return err == nil && len(sums) == 1 && sums[0].Count.Present > 0 && sums[0].UnderProtected == uint64(want)
	})
}

// scrubbed runs the job scrub on the bucket "b" and returns what it says of all targets.
func scrubbed(t *testing.T, c *aistest.Cluster) string {
	t.Helper()
	_, id := expect(t, 200, follower, "PUT", c.Proxies[0].URL()+"/v1/cluster", strings.NewReader(`{"action":"start","value":{"Kind":"scrub","Bck":{"name":"b","provider":"ais"}}}`))
	return ended(t, c, id)
}

// ended waits for the end of a job and returns what it says of all targets.
func ended(t *testing.T, c *aistest.Cluster, id string) (said string) {
	t.Helper()
	eventually(t, "the end of job "+id, func() bool {
		_, said = expect(t, 200, follower, "GET", c.Proxies[0].URL()+"/v1/cluster?what=qryxstats", strings.NewReader(`{"id":"`+id+`"}`))
		return !strings.Contains(said, `"end-time":"0001-01-01T00:00:00Z"`) && strings.Contains(said, id)
	})
	return said
}

// TestTooFewMountpaths: objects that have fewer copies than they should, because
// there are too few mountpaths, are counted, in the summary too, and named by the scrub.
func TestTooFewMountpaths(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Mountpaths: 2})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	bucketAction(t, c, 200, "PATCH", "set-bprops", `{"mirror":{"enabled":true}}`)
	const count = 5
	for i := range count {
		expect(t, 200, follower, "PUT", object(c.Proxies[0], fmt.Sprint("o", i)), strings.NewReader("content"))
	}
	eventually(t, "two copies of each", func() bool {
		for i := range count {
			if copiesOf(t, c, fmt.Sprint("o", i)) != "2" {
				return false
			}
		}
		return true
	})
	wantUnderProtected(t, c, c.Targets, "two mountpaths", 0)
	mountpath(t, c, 200, "disable-mp", c.Targets[0].Paths[1], "")
	expect(t, 200, follower, "PUT", object(c.Proxies[0], "o5"), strings.NewReader("content"))
	eventually(t, "the scrub names them", func() bool {
		said := scrubbed(t, c)
		for i := range count + 1 {
			if !strings.Contains(said, fmt.Sprintf("ais://b/o%d is below its level of protection: 1 of 2 copies", i)) {
				return false
			}
		}
		return strings.Contains(said, "under-protected 6")
	})
	wantUnderProtected(t, c, c.Targets, "one mountpath", count+1)
}

// TestHoldersThatAreGone: objects whose slices were on a target that has left for
// ever, or that it owned, are counted at once; the former are named by the scrub, and none is counted any more when
// they are mended.
func TestHoldersThatAreGone(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 5})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	const count = 30
	for i := range count {
		expect(t, 200, follower, "PUT", object(c.Proxies[0], fmt.Sprintf("o%02d", i)), strings.NewReader(strings.Repeat("content", i*10)))
	}
	ec := `{"ec":{"enabled":true,"data_slices":1,"parity_slices":2,"objsize_limit":1000}}`
	bucketAction(t, c, 200, "PATCH", "set-bprops", ec)
	wantUnderProtected(t, c, c.Targets, "encoded", 0)

	gone := c.Targets[4]
	want := 0
	for i := range count {
		digest := hrw.Digest(wire.Bck{Name: "b", Provider: wire.ProviderAIS}.Uname(fmt.Sprintf("o%02d", i)))
		before := 0 // targets before it in the order of the name
		for _, n := range c.Targets {
			if hrw.Weight(hrw.Digest(n.ID()), digest) > hrw.Weight(hrw.Digest(gone.ID()), digest) {
				before++
			}
		}
		holders := 2
		if i*10*len("content") >= 1000 {
			holders = 3
		}
		if before <= holders {
			want++
		}
	}
	c.ChangeSmap(t, &meta.SmapPatch{Del: []string{gone.ID()}})
	eventually(t, "all objects are counted that had slices there, or were there", func() bool { return underProtected(t, c.Targets[:4]) == want })
	if said := scrubbed(t, c); !strings.Contains(said, "is below its level of protection: ") || !strings.Contains(said, " slices; it is being mended") {
		t.Errorf("the scrub says %s", said)
	}
	awaitRepair(t, c, startRepair(t, c))
	wantUnderProtected(t, c, c.Targets[:4], "repaired", 0)
	if said := scrubbed(t, c); strings.Contains(said, "below its level") {
		t.Errorf("the scrub says %s", said)
	}
}

// TestScrubReadsSlices: a slice with a flipped bit on another target is found, named with its object,
// and made again.
func TestScrubReadsSlices(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 4})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(
		`{"action":"create-bck","value":{"ec":{"enabled":true,"data_slices":2,"parity_slices":1,"objsize_limit":1000}}}`))
	const count = 6
	for i := range count {
		expect(t, 200, follower, "PUT", object(c.Proxies[0], fmt.Sprint("o", i)), strings.NewReader(strings.Repeat("content", 5000)))
	}
	wantUnderProtected(t, c, c.Targets, "encoded", 0)
	if said := scrubbed(t, c); strings.Contains(said, "below its level") {
		t.Errorf("before: %s", said)
	}
	damaged := ""
	for _, path := range c.Targets[0].Paths {
		err := filepath.WalkDir(path+"/@ais/b/%ec", func(file string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && (damaged != "" || !entry.Type().IsRegular()) {
				return nil
			}
			data, err := os.ReadFile(file)
			if err != nil || len(data) < 2000 {
				return err
			}
			damaged = file
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte{data[1000] ^ 1}, 1000)
			return errors.Join(err, f.Close())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if damaged == "" {
		t.Fatal("the target holds no slice")
	}
	if said := scrubbed(t, c); !strings.Contains(said, "is below its level of protection: 2 of 3 slices; it is being mended") {
		t.Errorf("with a damaged slice: %s", said)
	}
	wantUnderProtected(t, c, c.Targets, "mended", 0)
	if said := scrubbed(t, c); strings.Contains(said, "below its level") {
		t.Errorf("afterwards: %s", said)
	}
}

// keepVersions writes versions of some names at their owners, two of each, and deletes one
// of the objects, which leaves a delete marker.
func keepVersions(t *testing.T, c *aistest.Cluster, names ...string) {
	t.Helper()
	for i, name := range names {
		n, key := ownerOf(t, c, "b", name)
		for _, tag := range []string{"first of ", "second of "} {
			content := strings.Repeat(tag+name, 1+i*20_000)
			if _, err := n.Store.Put(t.Context(), key, strings.NewReader(content), core.PutOptions{Size: int64(len(content)), Keep: core.KeepVersion}); err != nil {
				t.Fatal(err)
			}
		}
	}
	n, key := ownerOf(t, c, "b", names[0])
	if _, err := n.Store.PutDeleteMarker(t.Context(), key, core.KeepVersion); err != nil {
		t.Fatal(err)
	}
}

// ownerOf is the target that owns a name of a bucket.
func ownerOf(t *testing.T, c *aistest.Cluster, bucket, name string) (*aistest.Node, core.Key) {
	t.Helper()
	bck := wire.Bck{Name: bucket, Provider: wire.ProviderAIS}
	view := c.Metadata.View()
	props, ok := view.BMD.Get(bck)
	owner, err := view.Smap.Owner(hrw.Digest(bck.Uname(name)))
	if !ok || err != nil {
		t.Fatalf("bucket %s: %v, %v", bucket, ok, err)
	}
	i := slices.IndexFunc(c.Targets, func(n *aistest.Node) bool { return n.ID() == owner.ID })
	return c.Targets[i], core.Key{Bck: bck, Props: props, Name: name}
}

// TestVersionsBelowTheirLevel: names whose noncurrent versions have fewer copies than the
// bucket asks for, or no slices in an erasure-coded one, are counted and named by the scrub.
func TestVersionsBelowTheirLevel(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, props string
		targets     int
		before      int // below their level while all disks are there
		after       int
		said        string
	}{
		{"mirror", `{"mirror":{"enabled":true}}`, 1, 0, 3, "ais://b/o2 is below its level of protection: 1 of 2 copies"},
		{"slices", `{"ec":{"enabled":true,"data_slices":1,"parity_slices":1,"objsize_limit":1000}}`, 3, 3, 3, "noncurrent versions have no slices: 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := aistest.New(t, aistest.Options{Targets: tc.targets, Mountpaths: 2})
			expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
			keepVersions(t, c, "o1", "o2", "o3")
			bucketAction(t, c, 200, "PATCH", "set-bprops", tc.props)
			eventually(t, "all that can be made is made", func() bool { return underProtected(t, c.Targets) == tc.before })
			if tc.name == "mirror" {
				n, key := ownerOf(t, c, "b", "o1")
				eventually(t, "two files of each version", func() bool {
					all, err := n.Store.ListVersions(t.Context(), key)
					return err == nil && len(all) == 3 && all[1].Attrs.Copies == 2 && all[2].Attrs.Copies == 2
				})
				mountpath(t, c, 200, "disable-mp", c.Targets[0].Paths[1], "")
			}
			eventually(t, "they are counted", func() bool { return underProtected(t, c.Targets) == tc.after })
			if said := scrubbed(t, c); !strings.Contains(said, tc.said) {
				t.Errorf("the scrub says %s", said)
			}
		})
	}
}

// TestRenameWithVersions: a bucket gets another name, and every version is there under its
// id, wherever the new name lies.
func TestRenameWithVersions(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 3})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprint("o", i))
	}
	keepVersions(t, c, names...)
	expect(t, 200, follower, "PUT", object(c.Proxies[0], "plain"), strings.NewReader("content"))
	versions := func(bucket, name string) (all []string) {
		n, key := ownerOf(t, c, bucket, name)
		found, err := n.Store.ListVersions(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for i := range found {
			v := &found[i]
			all = append(all, fmt.Sprint(v.Attrs.VersionID(), v.Current, v.Kind, v.Attrs.Size, v.Attrs.Checksum, v.Attrs.Mtime))
			if v.Kind.IsDeleted() {
				continue
			}
			r, err := n.Store.OpenVersion(t.Context(), key, v.Attrs.VersionID())
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size))
			if err := errors.Join(err, r.Close()); err != nil || !strings.HasSuffix(string(content), " of "+name) {
				t.Errorf("%s: %.30q, %v", name, content, err)
			}
		}
		return all
	}
	before := map[string][]string{}
	for _, name := range names {
		before[name] = versions("b", name)
	}
	bck := wire.Bck{Name: "new", Provider: wire.ProviderAIS}
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b?bck_to="+url.QueryEscape(bck.Uname("")), strings.NewReader(`{"action":"move-bck"}`))
	eventually(t, "the rename ends", func() bool {
		bmd := c.Metadata.View().BMD
		_, old := bmd.Get(wire.Bck{Name: "b", Provider: wire.ProviderAIS})
		props, ok := bmd.Get(bck)
		return !old && ok && props.Renamed == ""
	})
	for _, name := range names {
		if got := versions("new", name); len(got) != len(before[name]) || len(got) < 2 || !slices.Equal(got, before[name]) {
			t.Errorf("%s: %q, was %q", name, got, before[name])
		}
	}
	_, body := expect(t, 200, follower, "GET", c.Proxies[0].URL()+"/v1/objects/new/plain", nil)
	if body != "content" {
		t.Errorf("%q", body)
	}
}

// startRepair starts the repair of the encoded bucket "b"; one that runs goes before it.
func startRepair(t *testing.T, c *aistest.Cluster) (id string) {
	t.Helper()
	eventually(t, "a repair starts", func() bool {
		res, err := follower.Post(c.Proxies[0].URL()+"/v1/buckets/b", "application/json", strings.NewReader(`{"action":"ec-encode","name":"recover"}`))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body) // only to be told
		_ = res.Body.Close()
		id = string(text)
		return res.StatusCode == http.StatusOK
	})
	return id
}

// awaitRepair waits until a repair has ended on all targets without an error.
func awaitRepair(t *testing.T, c *aistest.Cluster, id string) {
	t.Helper()
	said := ""
	defer func() {
		if t.Failed() {
			t.Log(said)
		}
	}()
	eventually(t, "the repair ends", func() bool {
		_, said = expect(t, 200, follower, "GET", c.Proxies[0].URL()+"/v1/cluster?what=status", strings.NewReader(`{"id":"`+id+`"}`))
		return !strings.Contains(said, `"end_time":0`)
	})
	if !strings.Contains(said, `"aborted":false`) {
		t.Errorf("the repair: %s", said)
	}
}
