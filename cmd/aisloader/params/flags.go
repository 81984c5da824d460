package params

import (
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/aistore-go/aistore/cmn/unit"
)

// probeFlag is the flag that asks for a probe of the StatsD server. Its name
// is a phrase: so it is spelled where scripts use it.
const probeFlag = "test-probe StatsD server prior to benchmarks"

// raw are values of flags that become something else.
type raw struct {
	ip, port         string
	bucket, provider string
	loaderID         string
	loaderNum        uint
	hashLen          uint
	statsInterval    int
}

// define declares all flags.
func define(p *Params, r *raw, out io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("aisloader", flag.ContinueOnError)
	f.SetOutput(out)

	f.StringVar(&r.ip, "ip", "localhost", "gateway's address; AIS_ENDPOINT stands for -ip and -port")
	f.StringVar(&r.port, "port", "8080", "gateway's port")
	f.DurationVar(&p.Timeout, "timeout", 10*time.Minute, "of one HTTP request")
	f.BoolVar(&p.RandomProxy, "randomproxy", false, "send each request to a gateway picked at random")
	f.StringVar(&p.TokenFile, "tokenfile", "", "file with the token, {\"token\":\"...\"}; else as the CLI finds it")
	f.BoolVar(&p.Direct, "direct", false, "place objects by the cluster map and go straight to their owners")

	f.StringVar(&r.bucket, "bucket", "", "bucket, a name or ais://name; a random name if empty")
	f.StringVar(&r.provider, "provider", "ais", "bucket's provider; must match the one in -bucket")
	f.StringVar(&p.Bprops, "bprops", "", "bucket properties in JSON; \"ec\" and \"mirror\" are applied")
	f.BoolVar(&p.Cleanup, "cleanup", true, "destroy the bucket at the end; must be given with -bucket")

	f.DurationVar(&p.Duration, "duration", time.Minute, "time of the run, 0 = no limit; no limit either if it is not given and -totalputsize or -epochs is")
	f.Var(sizeFlag{&p.TotalPutSize}, "totalputsize", "stop when this much was PUT, 0 = no limit")
	f.UintVar(&p.Epochs, "epochs", 0, "stop after so many GETs of every object, 0 = no limit")
	f.IntVar(&p.Workers, "numworkers", 10, "concurrent workers")
	f.IntVar(&p.PctPut, "pctput", 0, "percent of PUTs; the rest are GETs")
	f.IntVar(&p.PctUpdate, "pctupdate", 0, "percent of GETs that are followed by a PUT of the same name and size")
	f.IntVar(&p.PctList, "pctlist", 0, "percent of GETs in whose place a page of names is listed")
	f.UintVar(&p.MaxPuts, "maxputs", 0, "stop after so many PUTs, 0 = no limit")
	f.Float64Var(&p.Rate, "rate", 0, "operations a second of all workers together, latency counted from when they were due; 0 = as fast as they go")
	f.Int64Var(&p.Seed, "seed", 0, "of all random choices; 0 = the time")
	f.Var(sizeFlag{&p.MinSize}, "minsize", "smallest object (1MiB, or -maxsize if that is less)")
	f.Var(sizeFlag{&p.MaxSize}, "maxsize", "largest object (1GiB, or -minsize if that is more)")
	f.UintVar(&p.ShuffleMax, "perm-shuffle-max", 100_000, "shuffle the names of up to so many objects; step through more of them by a prime number")
	f.StringVar(&p.Reader, "readertype", ReaderMemory, "what PUTs send: sg (memory), file, rand (new bytes for each)")
	f.StringVar(&p.TmpDir, "tmpdir", filepath.Join(os.TempDir(), "ais"), "folder of the files of -readertype=file")
	f.StringVar(&p.Checksum, "cksum-type", "xxhash", "checksum that PUTs send; none = none")
	f.BoolVar(&p.Verify, "verifyhash", false, "compare what GETs read with the checksum of the answer")

	f.StringVar(&p.Subdir, "subdir", "", "virtual folder of all names, written and listed")
	f.UintVar(&p.NumSubdirs, "num-subdirs", 0, "spread new names over so many virtual folders")
	f.BoolVar(&p.RandomName, "randomname", true, "names of 32 random characters; else counted, in hexadecimal")
	f.StringVar(&p.FileList, "filelist", "", "file with names to read, one in a line, in place of a listing")
	f.BoolVar(&p.SkipList, "skiplist", false, "do not list the bucket first (100% PUT only)")
	f.IntVar(&p.PageSize, "pagesize", DefaultPage, "names in a page of -pctlist")
	f.Var(sizeFlag{&p.ReadOff}, "readoff", "GET: offset of the range")
	f.Var(sizeFlag{&p.ReadLen}, "readlen", "GET: length of the range, 0 = the whole object")
	f.BoolVar(&p.Latest, "latest", false, "GET: the newest version of the remote object")
	f.BoolVar(&p.Cached, "cached", false, "list only what is in the cluster")
	f.BoolVar(&p.ListDirs, "list-dirs", false, "list virtual folders, too")

	f.IntVar(&p.Parts, "multipart-chunks", 0, "parts of a multipart PUT")
	f.IntVar(&p.PctMultipart, "pctmultipart", 0, "percent of PUTs that are multipart")
	f.Int64Var(&p.Chunk, "mpdstream-chunk-size", 0, "parallel download: bytes of a part, 0 = 8MiB")
	f.IntVar(&p.Fetchers, "mpdstream-workers", 0, "parallel download: parts at a time, 0 = 16")
	f.IntVar(&p.PctFetch, "pctmpdstream", 0, "percent of GETs that are parallel downloads")

	f.StringVar(&r.loaderID, "loaderid", "0", "number of this loader among several; any text with -loaderidhashlen")
	f.UintVar(&r.loaderNum, "loadernum", 0, "how many loaders there are")
	f.UintVar(&r.hashLen, "loaderidhashlen", 0, "bits of the hash of -loaderid that is the number")
	f.BoolVar(&p.GetLoaderID, "getloaderid", false, "print the number of this loader and stop")
	f.IntVar(&r.statsInterval, "statsinterval", 10, "seconds between lines of statistics, 0 = none but at the end")
	f.StringVar(&p.StatsOutput, "stats-output", "", "file for the statistics; else they are printed")
	f.StringVar(&p.StatsdIP, "statsdip", "localhost", "StatsD server (deprecated)")
	f.IntVar(&p.StatsdPort, "statsdport", 8125, "its UDP port")
	f.BoolVar(&p.StatsdProbe, probeFlag, false, "fail if the StatsD server does not listen")
	f.BoolVar(&p.JSON, "json", false, "statistics in JSON")
	f.BoolVar(&p.Stoppable, "stoppable", false, "SIGINT and SIGTERM end the run with its statistics; SIGHUP switches -trace-http on and off")
	f.BoolVar(&p.DryRun, "dry-run", false, "print the parameters and stop; nothing is written or created")
	f.BoolVar(&p.Trace, "trace-http", false, "measure connections, redirects and answers")
	f.BoolVar(&p.Quiet, "quiet", false, "do not print the parameters at the start")
	defineRefused(f)
	return f
}

// sizeFlag makes a size a flag's value.
type sizeFlag struct{ size *unit.Size }

// String implements flag.Value.
func (s sizeFlag) String() string {
	if s.size == nil || *s.size == 0 {
		return ""
	}
	return s.size.String()
}

// Set implements flag.Value.
func (s sizeFlag) Set(text string) (err error) {
	*s.size, err = unit.ParseSize(text)
	return err
}

// later are flags of things that are not built: declared, so that they are
// refused with a reason instead of as unknown.
var later = []struct {
	name, what string
	boolean    bool
}{
	{"s3endpoint", "going straight to an S3 endpoint is not built yet", false},
	{"s3profile", "going straight to an S3 endpoint is not built yet", false},
	{"s3-use-path-style", "going straight to an S3 endpoint is not built yet", true},
	{"nbi", "listing from a bucket inventory is not built yet", true},
	{"evict-batchsize", "remote buckets are not built yet, and other buckets are destroyed as a whole", false},
	{"arch.pct", "archives are not built yet", false},
	{"arch.list", "archives are not built yet", true},
	{"arch.format", "archives are not built yet", false},
	{"arch.prefix", "archives are not built yet", false},
	{"arch.num-files", "archives are not built yet", false},
	{"arch.minsize", "archives are not built yet", false},
	{"arch.maxsize", "archives are not built yet", false},
	{"get-batchsize", "reading in batches is not built yet", false},
	{"cont-on-err", "reading in batches is not built yet", true},
	{"etl", "transformations are not built yet", false},
	{"etl-spec", "transformations are not built yet", false},
}

func defineRefused(f *flag.FlagSet) {
	for _, l := range later {
		if l.boolean {
			f.Bool(l.name, false, "refused: "+l.what)
		} else {
			f.String(l.name, "", "refused: "+l.what)
		}
	}
}

// refused returns why a flag that was given cannot be served, "" if it can.
// Off is no request.
func refused(name, value string) string {
	for _, l := range later {
		if l.name == name && !(l.boolean && value == "false") && value != "0" && value != "" {
			return l.what
		}
	}
	return ""
}

// percents are the flags of a percentage.
func (p *Params) percents() map[string]int {
	return map[string]int{
		"pctput": p.PctPut, "pctupdate": p.PctUpdate, "pctlist": p.PctList, "pctmultipart": p.PctMultipart, "pctmpdstream": p.PctFetch,
	}
}

// badRate tells numbers that are no rate.
func badRate(rate float64) bool { return rate < 0 || math.IsNaN(rate) || math.IsInf(rate, 0) }
