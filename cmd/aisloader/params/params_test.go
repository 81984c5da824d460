package params

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
	"time"
)

func noEnv(string) string { return "" }

// given are flags with a value that changes what a run does, and the way to
// see it. Every flag is here or is refused.
var given = []struct {
	args  string
	check func(p *Params) bool
}{
	{"-ip=1.2.3.4 -port=81", func(p *Params) bool { return p.URL == "http://1.2.3.4:81" }},
	{"-ip=::1", func(p *Params) bool { return p.URL == "http://[::1]:8080" }},
	{"-timeout=3s", func(p *Params) bool { return p.Timeout == 3*time.Second }},
	{"-randomproxy", func(p *Params) bool { return p.RandomProxy }},
	{"-tokenfile=x", func(p *Params) bool { return p.TokenFile == "x" }},
	{"-direct", func(p *Params) bool { return p.Direct }},
	{"-bucket=ais://b -cleanup=false", func(p *Params) bool { return p.Bucket.Name == "b" && !p.Cleanup && p.Named }},
	{"-bucket=ais://#ns/b -cleanup=true", func(p *Params) bool { return p.Bucket.Ns.Name == "ns" && p.Cleanup }},
	{"-bucket b -provider ais --cleanup", func(p *Params) bool { return p.Bucket.Provider == "ais" && p.Cleanup }},
	{`-bprops={"mirror":{"enabled":true}}`, func(p *Params) bool { return strings.Contains(p.Bprops, "mirror") }},
	{"-duration=2s", func(p *Params) bool { return p.Duration == 2*time.Second }},
	{"-totalputsize=1M -pctput=100", func(p *Params) bool { return p.TotalPutSize == 1<<20 && p.Duration == 0 }},
	{"-epochs=2", func(p *Params) bool { return p.Epochs == 2 && p.Duration == 0 }},
	{"-epochs=2 -duration=1s", func(p *Params) bool { return p.Duration == time.Second }},
	{"-numworkers=3", func(p *Params) bool { return p.Workers == 3 }},
	{"-pctput=4", func(p *Params) bool { return p.PctPut == 4 }},
	{"-pctupdate=4", func(p *Params) bool { return p.PctUpdate == 4 }},
	{"-pctlist=4 -pagesize=7", func(p *Params) bool { return p.PctList == 4 && p.PageSize == 7 }},
	{"-maxputs=4 -pctput=1", func(p *Params) bool { return p.MaxPuts == 4 && p.Duration == time.Minute }},
	{"-rate=4.5", func(p *Params) bool { return p.Rate == 4.5 }},
	{"-seed=4", func(p *Params) bool { return p.Seed == 4 }},
	{"", func(p *Params) bool { return p.Seed != 0 && p.Cleanup && !p.Named && len(p.Bucket.Name) == RandomName }},
	{"", func(p *Params) bool { return p.MinSize == 1<<20 && p.MaxSize == 1<<30 }},
	{"-minsize=100 -maxsize=4K", func(p *Params) bool { return p.MinSize == 100 && p.MaxSize == 4096 }},
	{"-maxsize=2KB", func(p *Params) bool { return p.MinSize == 2048 && p.MaxSize == 2048 }},
	{"-minsize=1KiB", func(p *Params) bool { return p.MinSize == 1024 && p.MaxSize == 1<<30 }},
	{"-minsize=2GiB", func(p *Params) bool { return p.MaxSize == 2<<30 }},
	{"-perm-shuffle-max=9", func(p *Params) bool { return p.ShuffleMax == 9 }},
	{"-readertype=file -tmpdir=/x", func(p *Params) bool { return p.Reader == "file" && p.TmpDir == "/x" }},
	{"-cksum-type=md5", func(p *Params) bool { return p.Checksum == "md5" }},
	{"-verifyhash", func(p *Params) bool { return p.Verify }},
	{"-subdir=a/b", func(p *Params) bool { return p.Subdir == "a/b" }},
	{"-num-subdirs=99999", func(p *Params) bool { return p.NumSubdirs == 99999 }},
	{"-randomname=false", func(p *Params) bool { return !p.RandomName }},
	{"-filelist=x", func(p *Params) bool { return p.FileList == "x" }},
	{"-skiplist -pctput=100", func(p *Params) bool { return p.SkipList }},
	{"-readoff=1K -readlen=2K", func(p *Params) bool { return p.ReadOff == 1024 && p.ReadLen == 2048 && p.Ranged() }},
	{"-latest -cached -list-dirs", func(p *Params) bool { return p.Latest && p.Cached && p.ListDirs }},
	{"-multipart-chunks=4 -pctmultipart=5 -pctput=10", func(p *Params) bool { return p.Parts == 4 && p.PctMultipart == 5 }},
	{"-pctmpdstream=5", func(p *Params) bool { return p.PctFetch == 5 && p.Chunk == 8<<20 && p.Fetchers == 16 }},
	{"-pctmpdstream=5 -mpdstream-chunk-size=10 -mpdstream-workers=2", func(p *Params) bool { return p.Chunk == 10 && p.Fetchers == 2 }},
	{"-loaderid=3 -loadernum=20", func(p *Params) bool { return p.LoaderID == 3 && p.LoaderBits == 8 }},
	{"-loaderid=abc -loaderidhashlen=6", func(p *Params) bool { return p.LoaderID < 64 && p.LoaderBits == 8 }},
	{"-getloaderid -loaderid=3 -loadernum=4", func(p *Params) bool { return p.GetLoaderID && p.LoaderID == 3 }},
	{"-statsinterval=3 -stats-output=x", func(p *Params) bool { return p.StatsInterval == 3*time.Second && p.StatsOutput == "x" }},
	{"-statsdip=h -statsdport=9", func(p *Params) bool { return p.StatsdIP == "h" && p.StatsdPort == 9 }},
	{"-json -stoppable -dry-run -trace-http -quiet", func(p *Params) bool { return p.JSON && p.Stoppable && p.DryRun && p.Trace && p.Quiet }},
	{"-duration=0s -totalputsize=0 -cleanup=true -bucket=b", func(p *Params) bool { return p.CleanupOnly() }},
	{"-nbi=false -arch.pct=0 -get-batchsize=0", func(*Params) bool { return true }},
}

func TestEveryFlag(t *testing.T) {
	t.Parallel()
	tried := map[string]bool{probeFlag: true} // below: its name has blanks
	for _, tc := range given {
		p, err := Parse(strings.Fields(tc.args), noEnv)
		if err != nil || !tc.check(p) {
			t.Errorf("%q: %+v, %v", tc.args, p, err)
		}
		for _, arg := range strings.Fields(tc.args) {
			name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
			tried[name] = true
		}
	}
	if p, err := Parse([]string{"-" + probeFlag}, noEnv); err != nil || !p.StatsdProbe {
		t.Errorf("probe: %v", err)
	}
	for _, l := range later {
		tried[l.name] = true
	}
	define(&Params{}, &raw{}, io.Discard).VisitAll(func(f *flag.Flag) {
		if !tried[f.Name] {
			t.Errorf("-%s is not tried", f.Name)
		}
	})
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	for args, names := range map[string]string{
		"-bucket=b":                         "-cleanup",
		"-uniquegets":                       "uniquegets",
		"-putshards":                        "putshards",
		"extra":                             "extra",
		"-minsize=x":                        "minsize",
		"-minsize=2K -maxsize=1K":           "-minsize=2KiB",
		"-maxsize=6TiB":                     "-maxsize",
		"-pctput=101":                       "-pctput=101",
		"-pctupdate=-1":                     "-pctupdate=-1",
		"-pctlist=101":                      "-pctlist=101",
		"-pctmultipart=101":                 "-pctmultipart",
		"-pctmpdstream=101":                 "-pctmpdstream",
		"-numworkers=0":                     "-numworkers=0",
		"-numworkers=10001":                 "-numworkers",
		"-timeout=-1s":                      "-timeout",
		"-duration=-1s":                     "-duration",
		"-rate=-1":                          "-rate",
		"-rate=NaN":                         "-rate",
		"-statsinterval=-1":                 "-statsinterval",
		"-statsdport=0":                     "-statsdport",
		"-port=0":                           "-port",
		"-readertype=tar":                   "-readertype",
		"-cksum-type=abc":                   "-cksum-type",
		"-subdir=/a":                        "-subdir",
		"-num-subdirs=100000":               "-num-subdirs",
		"-pctlist=1 -pagesize=0":            "-pagesize",
		"-pagesize=5":                       "-pctlist",
		"-skiplist":                         "-skiplist",
		"-skiplist -filelist=x -pctput=100": "-filelist",
		"-readlen=-1":                       "-readlen",
		"-readoff=1":                        "-readlen",
		"-readlen=1 -verifyhash":            "-verifyhash",
		"-pctput=100 -pctupdate=1":          "-pctupdate",
		"-pctput=100 -pctlist=1":            "-pctlist",
		"-totalputsize=1K":                  "-totalputsize",
		"-totalputsize=-1 -pctput=1":        "-totalputsize",
		"-maxputs=1":                        "-maxputs",
		"-epochs=1 -pctput=100":             "-epochs",
		"-randomproxy -direct":              "-direct",
		"-multipart-chunks=4 -pctput=100":   "-pctmultipart",
		"-multipart-chunks=4 -pctmultipart=0 -pctput=100":                "-pctmultipart",
		"-pctmultipart=4 -pctput=100":                                    "-multipart-chunks",
		"-multipart-chunks=10000 -pctmultipart=1 -pctput=9":              "-multipart-chunks",
		"-multipart-chunks=4 -pctmultipart=4":                            "-pctput",
		"-multipart-chunks=4 -pctmultipart=4 -pctput=9 -minsize=3":       "-minsize=3B",
		"-multipart-chunks=4 -pctmultipart=4 -pctput=9 -readertype=file": "-readertype=file",
		"-pctmpdstream=5 -pctput=1":                                      "-pctput",
		"-pctmpdstream=5 -readlen=1":                                     "-readlen",
		"-pctmpdstream=5 -verifyhash":                                    "-verifyhash",
		"-mpdstream-chunk-size=5":                                        "-pctmpdstream",
		"-pctmpdstream=5 -mpdstream-chunk-size=-5":                       "-mpdstream-chunk-size",
		"-pctmpdstream=5 -mpdstream-workers=-5":                          "-mpdstream-workers",
		"-loaderid=abc":                                                  "-loaderidhashlen",
		"-loaderid=4 -loadernum=4":                                       "-loadernum=4",
		"-loaderid=1":                                                    "-loadernum",
		"-loadernum=4 -loaderidhashlen=4":                                "-loaderidhashlen",
		"-loaderidhashlen=64":                                            "-loaderidhashlen=64",
		"-bucket=a/b -cleanup=false":                                     "a/b",
		"-bucket=s3://b -cleanup=false":                                  "remote buckets are not built yet",
		"-bucket=ais://b -provider=aws -cleanup=false":                   "do not match",
		"-provider=xyz":                                                  "xyz",
		"-bucket=ais://@uuid/b -cleanup=false":                           "remote buckets are not built yet",
		"-arch.pct=10":                                                   "archives are not built yet",
		"-get-batchsize=10":                                              "batches is not built yet",
		"-etl=md5":                                                       "transformations are not built yet",
		"-nbi":                                                           "inventory is not built yet",
		"-s3endpoint=http://x":                                           "S3 endpoint is not built yet",
		"-evict-batchsize=5":                                             "remote buckets",
	} {
		p, err := Parse(strings.Fields(args), noEnv)
		if err == nil || !strings.Contains(err.Error(), names) {
			t.Errorf("%q: %v, %v; want an error that names %q", args, p, err, names)
		}
		var syntax *SyntaxError
		wantSyntax := strings.HasPrefix(args, "-uniquegets") || strings.HasPrefix(args, "-putshards") || args == "extra" || args == "-minsize=x"
		if errors.As(err, &syntax) != wantSyntax {
			t.Errorf("%q: exit status of %v", args, err)
		}
	}
	for _, l := range later {
		value := "=5"
		if l.boolean {
			value = ""
		}
		if _, err := Parse([]string{"-" + l.name + value}, noEnv); err == nil || !strings.Contains(err.Error(), l.what) {
			t.Errorf("-%s: %v", l.name, err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	env := func(name, value string) func(string) string {
		return func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		}
	}
	if p, err := Parse(nil, env("AIS_ENDPOINT", "10.0.0.1:51080/")); err != nil || p.URL != "http://10.0.0.1:51080" {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := Parse(nil, env("AIS_ENDPOINT", "https://host:51443")); err != nil || p.URL != "https://host:51443" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := Parse([]string{"-ip=10.0.0.2"}, env("AIS_ENDPOINT", "http://10.0.0.1:51080")); err == nil || !strings.Contains(err.Error(), "AIS_ENDPOINT") {
		t.Errorf("both addresses: %v", err)
	}
	if _, err := Parse(nil, env("S3_ENDPOINT", "http://s3")); err == nil || !strings.Contains(err.Error(), "S3_ENDPOINT is set") {
		t.Errorf("S3_ENDPOINT: %v", err)
	}
}

func TestUsageNamesEveryFlag(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	Usage(&out)
	define(&Params{}, &raw{}, io.Discard).VisitAll(func(f *flag.Flag) {
		if !strings.Contains(out.String(), "  -"+f.Name) {
			t.Errorf("-%s is not in the usage", f.Name)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, tc := range given {
		f.Add(tc.args)
	}
	f.Fuzz(func(t *testing.T, args string) {
		p, err := Parse(strings.Fields(args), noEnv)
		if err == nil && !p.GetLoaderID && (p.MinSize > p.MaxSize || p.Workers < 1 || p.Bucket.Name == "") {
			t.Errorf("%q: %+v", args, p)
		}
	})
}
