package params

import (
	"encoding/json"
	"fmt"
	"io"
)

const usage = `aisloader loads a cluster with PUT and GET requests and says how it does.

  aisloader -flag=value ...
  aisloader usage
  aisloader version

Examples:

  # write 4 KiB objects for 10 seconds, then remove the bucket
  aisloader -bucket=ais://bench -cleanup=true -pctput=100 -minsize=4KiB -maxsize=4KiB -duration=10s

  # write 1 GiB and keep it
  aisloader -bucket=ais://bench -cleanup=false -pctput=100 -minsize=1MiB -maxsize=1MiB -totalputsize=1GiB

  # read it, each object twice, straight from the owners, and verify it
  aisloader -bucket=ais://bench -cleanup=false -epochs=2 -direct -verifyhash

  # mixed, 500 operations a second, latencies counted from when they were due
  aisloader -bucket=ais://bench -cleanup=false -pctput=20 -maxsize=64KiB -rate=500 -duration=1m -json

  # remove the bucket, and nothing else
  aisloader -bucket=ais://bench -cleanup=true -duration=0s -totalputsize=0

Sizes: 4096, 4K, 4KB and 4KiB are all 4096 bytes. The cluster is that of -ip
and -port, or of AIS_ENDPOINT. Exit status: 0; 1 after an error; 2 for flags
that cannot be read.

Flags:
`

// Usage prints what the program takes.
func Usage(out io.Writer) {
	fmt.Fprint(out, usage)
	define(&Params{}, &raw{}, out).PrintDefaults()
}

// Configuration is what is printed before a run.
func (p *Params) Configuration(nameGetter string) string {
	duration := "-"
	if p.Duration > 0 {
		duration = p.Duration.String()
	}
	text, err := json.MarshalIndent(configuration{
		URL: p.URL, Bucket: p.Bucket.String(), Duration: duration, Workers: p.Workers, Interval: p.StatsInterval.String(),
		Put: p.PctPut, Update: p.PctUpdate, Multipart: p.PctMultipart, List: p.PctList, Fetch: p.PctFetch,
		MinSize: int64(p.MinSize), MaxSize: int64(p.MaxSize), PutLimit: int64(p.TotalPutSize), Shards: "-", Names: nameGetter,
		Reader: p.Reader, Cleanup: p.Cleanup, Rate: p.Rate, Direct: p.Direct, Seed: p.Seed, Checksum: p.Checksum,
	}, "", "   ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// configuration has the keys that users look for, in their order, and those
// of this program after them.
type configuration struct {
	URL       string  `json:"proxy"`
	Bucket    string  `json:"bucket"`
	Duration  string  `json:"duration"`
	Workers   int     `json:"# workers"`
	Interval  string  `json:"stats interval"`
	Put       int     `json:"% PUT"`
	Update    int     `json:"% Update Existing"`
	Multipart int     `json:"% Multipart PUT"`
	Batch     int     `json:"GET(batch): batch size"`
	MinSize   int64   `json:"minimum object size (bytes)"`
	MaxSize   int64   `json:"maximum object size (bytes)"`
	PutLimit  int64   `json:"PUT upper bound"`
	Shards    string  `json:"archive (shards)"`
	Names     string  `json:"name-getter"`
	Reader    string  `json:"reader-type"`
	Cleanup   bool    `json:"cleanup"`
	List      int     `json:"% list"`
	Fetch     int     `json:"% parallel download"`
	Rate      float64 `json:"operations a second"`
	Direct    bool    `json:"direct"`
	Checksum  string  `json:"checksum"`
	Seed      int64   `json:"seed"`
}
