package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
)

// parameters of a run, as the user gave them.
type parameters struct {
	ip, port         string
	bucket           wire.Bck
	cleanup          bool
	duration         time.Duration
	totalPutSize     unit.Size
	workers, pctPut  int
	minSize, maxSize unit.Size
	seed             int64
	json, quiet      bool
	dryRun           bool
	direct           bool
}

const (
	maxWorkers = 10000
	maxSize    = 5 << 30 // bytes of one generated object
)

func flags(p *parameters, name *string, out io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("aisloader", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&p.ip, "ip", "localhost", "gateway's address; AIS_ENDPOINT overrides it")
	f.StringVar(&p.port, "port", "8080", "gateway's port")
	f.StringVar(name, "bucket", "", "bucket name or ais://name; a random one if empty")
	f.BoolVar(&p.cleanup, "cleanup", false, "destroy the bucket at the end (required with -bucket: say true or false)")
	f.DurationVar(&p.duration, "duration", time.Minute, "time of the run; 0 = no limit")
	f.Var(sizeFlag{&p.totalPutSize}, "totalputsize", "stop when this much was PUT; 0 = no limit")
	f.IntVar(&p.workers, "numworkers", 10, "concurrent workers")
	f.IntVar(&p.pctPut, "pctput", 0, "percent of PUTs; the rest are GETs of objects that exist")
	f.Var(sizeFlag{&p.minSize}, "minsize", "smallest object; 1MiB if not given")
	f.Var(sizeFlag{&p.maxSize}, "maxsize", "largest object; 1GiB if not given")
	f.Int64Var(&p.seed, "seed", 0, "of the random choices; 0 = the time")
	f.BoolVar(&p.json, "json", false, "print JSON")
	f.BoolVar(&p.quiet, "quiet", false, "do not print the parameters at the start")
	f.BoolVar(&p.dryRun, "dry-run", false, "print the parameters and stop")
	f.BoolVar(&p.direct, "direct", false, "place objects by the cluster map and go straight to their owners")
	return f
}

// sizeFlag makes a size a flag's value.
type sizeFlag struct{ size *unit.Size }

func (s sizeFlag) String() string {
	if s.size == nil {
		return ""
	}
	return s.size.String()
}

func (s sizeFlag) Set(text string) (err error) {
	*s.size, err = unit.ParseSize(text)
	return err
}

func parse(args []string) (*parameters, error) {
	p, name := &parameters{}, ""
	f := flags(p, &name, io.Discard)
	if err := f.Parse(args); err != nil {
		return nil, fmt.Errorf("%w (see `aisloader usage`)", err)
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q (see `aisloader usage`)", f.Arg(0))
	}
	given := map[string]bool{}
	f.Visit(func(set *flag.Flag) { given[set.Name] = true })
	if name != "" && !given["cleanup"] {
		return nil, errors.New("-cleanup=true or -cleanup=false must be given with -bucket: true destroys the bucket at the end")
	}
	if given["totalputsize"] && !given["duration"] {
		p.duration = 0
	}
	switch {
	case !given["minsize"] && !given["maxsize"]:
		p.minSize, p.maxSize = 1<<20, 1<<30
	case !given["minsize"]:
		p.minSize = min(1<<20, p.maxSize)
	case !given["maxsize"]:
		p.maxSize = max(1<<30, p.minSize)
	}
	if p.seed == 0 {
		p.seed = time.Now().UnixNano()
	}
	p.bucket = wire.Bck{Name: strings.TrimPrefix(name, "ais://"), Provider: wire.ProviderAIS}
	if name == "" {
		p.bucket.Name, p.cleanup = fmt.Sprintf("aisloader-%x", uint32(p.seed)), true
	}
	return p, p.validate()
}

func (p *parameters) validate() error {
	switch {
	case p.workers < 1 || p.workers > maxWorkers:
		return fmt.Errorf("-numworkers=%d: expected 1 to %d", p.workers, maxWorkers)
	case p.pctPut < 0 || p.pctPut > 100:
		return fmt.Errorf("-pctput=%d: expected 0 to 100", p.pctPut)
	case p.minSize < 0 || p.maxSize < p.minSize || p.maxSize > maxSize:
		return fmt.Errorf("-minsize=%v -maxsize=%v: expected 0 <= minsize <= maxsize <= 5GiB", p.minSize, p.maxSize)
	case p.duration < 0:
		return fmt.Errorf("-duration=%v: expected 0 or more", p.duration)
	case p.duration == 0 && p.totalPutSize == 0:
		return errors.New("a run without an end: give -duration or -totalputsize")
	case p.totalPutSize > 0 && p.pctPut == 0:
		return errors.New("-totalputsize needs -pctput above 0")
	}
	return naming.ValidateBucket(p.bucket)
}

// endpoint is where the cluster is asked.
func (p *parameters) endpoint() string {
	if url := os.Getenv("AIS_ENDPOINT"); url != "" {
		return url
	}
	return "http://" + p.ip + ":" + p.port
}

func printUsage(out io.Writer) {
	fmt.Fprint(out, `aisloader loads a cluster with PUT and GET requests.

  aisloader -bucket=ais://b -cleanup=false -pctput=100 -minsize=4KiB -maxsize=4KiB -duration=10s
  aisloader -bucket=ais://b -cleanup=true -duration=10s -json

flags:
`)
	p, name := &parameters{minSize: 1 << 20, maxSize: 1 << 30}, ""
	flags(p, &name, out).PrintDefaults()
}
