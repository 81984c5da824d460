package target_test

import (
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/config"
)

// TestSlicesGoOverStreams: slices and replicas go to their holders over signed
// streams, compressed if the bucket says so, and an object is rebuilt from what comes
// back, compressed likewise.
func TestSlicesGoOverStreams(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{config.CompressNever, config.CompressAlways} {
		c := aistest.New(t, aistest.Options{Targets: 4, Signed: true})
		base := c.Proxies[0].URL() + "/v1"
		expect(t, 200, follower, "POST", base+"/buckets/b", strings.NewReader(fmt.Sprintf(
			`{"action":"create-bck","value":{"durability":"redundant","ec":{"enabled":true,"data_slices":2,"parity_slices":1,"objsize_limit":10000,"compression":%q}}}`, compression)))
		content := map[string]string{}
		for i := range 12 {
			name := fmt.Sprintf("folder/%d", i)
			content[name] = strings.Repeat(fmt.Sprintf("content of %d, ", i), 1+i*i*i*50)
			expect(t, 200, follower, "PUT", base+"/objects/b/"+name, strings.NewReader(content[name]))
		}
		want := int64(0)
		for _, text := range content {
			if len(text) < 10000 {
				want++
			} else {
				want += 3
			}
		}
		// Slices that are begun between the commit of an object and the telling of
		// its holders are begun anew: more may have gone, and those end with an error.
		sum := map[string]int64{}
		eventually(t, "slices and replicas went over streams", func() bool {
			clear(sum)
			for _, target := range c.Targets {
				for name, value := range target.Metrics().Tracker() {
					sum[name] += value
				}
			}
			return sum["stream.out.n"] >= want && sum["stream.in.n"] >= want
		})
		if packed := sum["stream.raw.size"] > 0 && sum["stream.packed.size"] < sum["stream.raw.size"]/2; packed != (compression == config.CompressAlways) {
			t.Errorf("compression %s: %d bytes became %d", compression, sum["stream.raw.size"], sum["stream.packed.size"])
		}
		lost := 0
		for _, target := range c.Targets {
			for _, path := range target.Paths {
				err := filepath.WalkDir(path, func(path string, entry iofs.DirEntry, err error) error {
					if err == nil && !entry.IsDir() && strings.Contains(path, "/%ob/") {
						lost++
						return os.Remove(path)
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		if lost != len(content) {
			t.Errorf("%d objects of %d were there", lost, len(content))
		}
		for name, want := range content {
			if _, got := expect(t, 200, follower, "GET", base+"/objects/b/"+name, nil); got != want {
				t.Errorf("%s: %d bytes, want %d", name, len(got), len(want))
			}
		}
	}
}
