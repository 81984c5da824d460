package target_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/config"
)

// TestCopiesGoOverStreams: what a job copies to other targets goes over
// signed streams, compressed if the section of the job says so, and is counted;
// long names need no room in a message's header.
func TestCopiesGoOverStreams(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 3, Signed: true, Config: func(c *config.Cluster) {
		c.TCB.Compression, c.TCB.BundleMultiplier = config.CompressAlways, 3
		c.Transport.MaxHeaderSize = 512
	}})
	base := c.Proxies[0].URL() + "/v1"
	expect(t, 200, follower, "POST", base+"/buckets/src", strings.NewReader(`{"action":"create-bck","value":{}}`))
	content := map[string]string{}
	for i := range 24 {
		name := strings.Repeat("long-name-", 90) + fmt.Sprint(i)
		content[name] = strings.Repeat(fmt.Sprintf("content of %d, ", i), 1+i*i*i*10)
		expect(t, 200, follower, "PUT", base+"/objects/src/"+name, strings.NewReader(content[name]))
	}
	expect(t, 200, follower, "POST", base+"/buckets/src?bck_to="+url.QueryEscape("ais/@#/dst/"), strings.NewReader(`{"action":"copy-bck","value":{}}`))
	eventually(t, "everything is copied", func() bool {
		copied := 0
		for name := range content {
			res, err := follower.Head(base + "/objects/dst/" + name)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode == 200 {
				copied++
			}
		}
		return copied == len(content)
	})
	for name, want := range content {
		if _, got := expect(t, 200, follower, "GET", base+"/objects/dst/"+name, nil); got != want {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(want))
		}
	}
	sum := map[string]int64{}
	eventually(t, "senders know all verdicts", func() bool {
		clear(sum)
		for _, target := range c.Targets {
			for name, value := range target.Metrics().Tracker() {
				sum[name] += value
			}
		}
		return sum["stream.out.n"] == sum["stream.in.n"]
	})
	if sum["stream.out.n"] == 0 || sum["stream.raw.size"] == 0 || sum["stream.packed.size"] >= sum["stream.raw.size"]/2 || sum["err.stream.n"] != 0 {
		t.Errorf("streams: %d out, %d bytes, %d of them compressed to %d, %d errors",
			sum["stream.out.n"], sum["stream.out.size"], sum["stream.raw.size"], sum["stream.packed.size"], sum["err.stream.n"])
	}
}
