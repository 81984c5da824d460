package params

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmd/ais/settings"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
)

// SyntaxError is a command line that cannot be read: the program ends with 2.
type SyntaxError struct{ Err error }

// Error names the flag and shows where to look.
func (e *SyntaxError) Error() string { return e.Err.Error() + " (see `aisloader usage`)" }

// Unwrap returns the cause.
func (e *SyntaxError) Unwrap() error { return e.Err }

// ErrCleanup tells that nobody said what becomes of the bucket.
var ErrCleanup = errors.New("-cleanup=true or -cleanup=false must be given with -bucket: true destroys the bucket and all its objects at the end")

// Parse reads arguments (without the program's name) and the environment.
func Parse(args []string, getenv func(string) string) (*Params, error) {
	p, r := &Params{}, &raw{}
	f := define(p, r, io.Discard)
	if err := f.Parse(args); err != nil {
		return nil, &SyntaxError{err}
	}
	if f.NArg() > 0 {
		return nil, &SyntaxError{fmt.Errorf("unexpected argument %q", f.Arg(0))}
	}
	given := map[string]bool{}
	var errs []error
	f.Visit(func(set *flag.Flag) {
		given[set.Name] = true
		if why := refused(set.Name, set.Value.String()); why != "" {
			errs = append(errs, fmt.Errorf("-%s: %s", set.Name, why))
		}
	})
	if getenv("S3_ENDPOINT") != "" {
		errs = append(errs, errors.New("S3_ENDPOINT is set: going straight to an S3 endpoint is not built yet (unset it to load the cluster)"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, step := range []func(*raw, map[string]bool, func(string) string) error{p.setIdentity, p.setEndpoint, p.setDefaults, p.setBucket} {
		if err := step(r, given, getenv); err != nil {
			return nil, err
		}
		if p.GetLoaderID {
			return p, nil // nothing else is asked for
		}
	}
	return p, p.validate(given)
}

// setIdentity makes the loader's number of the four flags about it.
func (p *Params) setIdentity(r *raw, given map[string]bool, _ func(string) string) error {
	switch {
	case r.hashLen > MaxHashLen:
		return fmt.Errorf("-loaderidhashlen=%d: expected 0 to %d", r.hashLen, MaxHashLen)
	case r.hashLen > 0 && given["loadernum"]:
		return errors.New("-loadernum and -loaderidhashlen cannot be combined: a hash has no number of loaders")
	case r.hashLen > 0:
		p.LoaderID = hrw.Digest(r.loaderID) & (1<<r.hashLen - 1)
		p.LoaderBits = roundUp(r.hashLen)
		return nil
	}
	id, err := strconv.ParseUint(r.loaderID, 10, 64)
	if err != nil {
		return fmt.Errorf("-loaderid=%q: expected a number (any text only with -loaderidhashlen)", r.loaderID)
	}
	if given["loadernum"] && r.loaderNum == 0 || r.loaderNum > 0 && id >= uint64(r.loaderNum) || r.loaderNum == 0 && id > 0 {
		return fmt.Errorf("-loaderid=%d -loadernum=%d: expected a number below that of the loaders", id, r.loaderNum)
	}
	p.LoaderID = id
	if r.loaderNum > 1 {
		p.LoaderBits = roundUp(uint(bits.Len(r.loaderNum - 1)))
	}
	return nil
}

// roundUp makes whole hexadecimal digits of bits.
func roundUp(n uint) uint { return (n + 3) / 4 * 4 }

func (p *Params) setEndpoint(r *raw, _ map[string]bool, getenv func(string) string) error {
	p.URL = strings.TrimRight(getenv(settings.EnvEndpoint), "/")
	switch {
	case p.URL != "" && r.ip != "localhost":
		return fmt.Errorf("-ip=%s and AIS_ENDPOINT=%s: give one of them", r.ip, p.URL)
	case p.URL == "" && strings.Contains(r.ip, ":"): // an IPv6 address
		p.URL = "http://[" + strings.Trim(r.ip, "[]") + "]:" + r.port
	case p.URL == "":
		p.URL = "http://" + r.ip + ":" + r.port
	case !strings.Contains(p.URL, "://"):
		p.URL = "http://" + p.URL
	}
	if port, err := strconv.ParseUint(r.port, 10, 16); err != nil || port == 0 {
		return fmt.Errorf("-port=%s: expected 1 to 65535", r.port)
	}
	return nil
}

// setDefaults completes what depends on other flags.
func (p *Params) setDefaults(r *raw, given map[string]bool, _ func(string) string) error {
	if !given["duration"] && (given["totalputsize"] || given["epochs"]) {
		p.Duration = 0
	}
	switch {
	case !given["minsize"] && !given["maxsize"]:
		p.MinSize, p.MaxSize = 1<<20, 1<<30
	case !given["minsize"]:
		p.MinSize = min(1<<20, p.MaxSize)
	case !given["maxsize"]:
		p.MaxSize = max(1<<30, p.MinSize)
	}
	if p.Seed == 0 {
		p.Seed = time.Now().UnixNano()
	}
	if p.Chunk == 0 {
		p.Chunk = DefaultChunk
	}
	if p.Fetchers == 0 {
		p.Fetchers = DefaultFetch
	}
	p.StatsInterval = time.Duration(r.statsInterval) * time.Second
	return nil
}

func (p *Params) setBucket(r *raw, given map[string]bool, _ func(string) string) error {
	provider, err := naming.Provider(r.provider)
	if err != nil {
		return fmt.Errorf("-provider: %w", err)
	}
	if r.bucket == "" {
		p.Bucket = wire.Bck{Name: randomBucket(p.Seed), Provider: provider}
	} else {
		p.Named = true
		if p.Bucket, err = uri.ParseBucket(r.bucket, provider); err != nil {
			return fmt.Errorf("-bucket: %w", err)
		}
		if given["provider"] && p.Bucket.Provider != provider {
			return fmt.Errorf("-bucket=%s and -provider=%s do not match", r.bucket, r.provider)
		}
		if !given["cleanup"] {
			return ErrCleanup
		}
	}
	if p.Bucket.Provider != wire.ProviderAIS || p.Bucket.Ns.UUID != "" {
		return fmt.Errorf("%s: remote buckets are not built yet (expected a bucket ais://name)", p.Bucket)
	}
	return naming.ValidateBucket(p.Bucket)
}

func randomBucket(seed int64) string {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	random := rand.New(rand.NewPCG(uint64(seed), uint64(time.Now().UnixNano())))
	name := make([]byte, RandomName)
	for i := range name {
		name[i] = letters[random.IntN(len(letters))]
	}
	return string(name)
}

// validate checks what the flags say together.
func (p *Params) validate(given map[string]bool) error {
	for _, name := range slices.Sorted(keys(p.percents())) {
		if pct := p.percents()[name]; pct < 0 || pct > 100 {
			return fmt.Errorf("-%s=%d: expected 0 to 100", name, pct)
		}
	}
	if err := cksum.Validate(p.Checksum); err != nil {
		return fmt.Errorf("-cksum-type: %w", err)
	}
	for _, check := range []struct {
		wrong bool
		text  string
	}{
		{p.Workers < 1 || p.Workers > MaxWorkers, fmt.Sprintf("-numworkers=%d: expected 1 to %d", p.Workers, MaxWorkers)},
		{p.Timeout < 0, fmt.Sprintf("-timeout=%v: expected 0 or more", p.Timeout)},
		{p.Duration < 0, fmt.Sprintf("-duration=%v: expected 0 or more", p.Duration)},
		{p.TotalPutSize < 0, fmt.Sprintf("-totalputsize=%v: expected 0 or more", p.TotalPutSize)},
		{p.MinSize < 0 || p.MaxSize < p.MinSize, fmt.Sprintf("-minsize=%v -maxsize=%v: expected 0 <= minsize <= maxsize", p.MinSize, p.MaxSize)},
		{p.MaxSize > MaxSize, fmt.Sprintf("-maxsize=%v: expected at most %v", p.MaxSize, MaxSize)},
		{badRate(p.Rate), fmt.Sprintf("-rate=%v: expected 0 or more", p.Rate)},
		{p.StatsInterval < 0, fmt.Sprintf("-statsinterval=%d: expected 0 or more seconds", p.StatsInterval/time.Second)},
		{p.StatsdPort < 1 || p.StatsdPort > 65535, fmt.Sprintf("-statsdport=%d: expected 1 to 65535", p.StatsdPort)},
		{!slices.Contains([]string{ReaderMemory, ReaderFile, ReaderRandom}, p.Reader), fmt.Sprintf("-readertype=%s: expected sg, file or rand", p.Reader)},
		{strings.HasPrefix(p.Subdir, "/"), fmt.Sprintf("-subdir=%s: must not begin with a slash", p.Subdir)},
		{p.NumSubdirs >= MaxSubdirs, fmt.Sprintf("-num-subdirs=%d: expected less than %d", p.NumSubdirs, MaxSubdirs)},
		{p.PageSize < 1 || p.PageSize > MaxPageSize, fmt.Sprintf("-pagesize=%d: expected 1 to %d", p.PageSize, MaxPageSize)},
		{given["pagesize"] && p.PctList == 0, "-pagesize is for -pctlist, which is 0"},
		{p.SkipList && p.PctPut != 100, fmt.Sprintf("-skiplist needs -pctput=100 (it is %d): what is read must be known", p.PctPut)},
		{p.SkipList && p.FileList != "", "-skiplist and -filelist cannot be combined"},
		{p.ReadOff < 0 || p.ReadLen < 0, fmt.Sprintf("-readoff=%v -readlen=%v: expected 0 or more", p.ReadOff, p.ReadLen)},
		{p.Ranged() && p.Verify, "-readlen and -verifyhash cannot be combined: a range has no checksum"},
		{p.ReadOff > 0 && !p.Ranged(), "-readoff needs -readlen: an offset alone is no range"},
		{p.PctPut == 100 && p.PctUpdate > 0, "-pctupdate with -pctput=100: there are no GETs to update after"},
		{p.PctPut == 100 && p.PctList > 0, "-pctlist with -pctput=100: there are no GETs to list in place of"},
		{p.TotalPutSize > 0 && p.PctPut == 0 && p.PctUpdate == 0, "-totalputsize needs -pctput or -pctupdate above 0"},
		{p.MaxPuts > 0 && p.PctPut == 0, "-maxputs needs -pctput above 0"},
		{p.Epochs > 0 && p.PctPut == 100, "-epochs needs -pctput below 100: it counts GETs"},
		{p.RandomProxy && p.Direct, "-randomproxy and -direct cannot be combined: direct requests ask no gateway"},
	} {
		if check.wrong {
			return errors.New(check.text)
		}
	}
	return p.validateParts(given)
}

// validateParts checks multipart uploads and parallel downloads.
func (p *Params) validateParts(given map[string]bool) error {
	switch {
	case p.Parts < 0 || p.Parts > MaxParts:
		return fmt.Errorf("-multipart-chunks=%d: expected 0 to %d", p.Parts, MaxParts)
	case p.PctMultipart > 0 && p.Parts == 0:
		return errors.New("-pctmultipart needs -multipart-chunks above 0")
	case p.Parts > 0 && given["pctmultipart"] && p.PctMultipart == 0 || p.Parts > 0 && !given["pctmultipart"]:
		return errors.New("-multipart-chunks needs -pctmultipart above 0")
	case p.PctMultipart > 0 && p.PctPut == 0:
		return errors.New("-pctmultipart needs -pctput above 0: it is a share of the PUTs")
	case p.PctMultipart > 0 && int64(p.MinSize) < int64(p.Parts):
		return fmt.Errorf("-multipart-chunks=%d with -minsize=%v: a part has at least one byte", p.Parts, p.MinSize)
	case p.PctMultipart > 0 && p.Reader != ReaderMemory:
		return fmt.Errorf("-readertype=%s and multipart PUTs cannot be combined (expected sg)", p.Reader)
	case p.Chunk < 0:
		return fmt.Errorf("-mpdstream-chunk-size=%d: expected 0 or more", p.Chunk)
	case p.Fetchers < 0 || p.Fetchers > MaxWorkers:
		return fmt.Errorf("-mpdstream-workers=%d: expected 0 to %d", p.Fetchers, MaxWorkers)
	case p.PctFetch == 0 && (given["mpdstream-chunk-size"] || given["mpdstream-workers"]):
		return errors.New("-mpdstream-chunk-size and -mpdstream-workers need -pctmpdstream above 0")
	case p.PctFetch > 0 && p.PctPut > 0:
		return errors.New("-pctmpdstream and -pctput cannot be combined: parallel downloads are for runs that only read")
	case p.PctFetch > 0 && p.Verify:
		return errors.New("-pctmpdstream and -verifyhash cannot be combined: ranges have no checksum")
	case p.PctFetch > 0 && p.Ranged():
		return errors.New("-pctmpdstream and -readlen cannot be combined: a parallel download makes its own ranges")
	}
	return nil
}

func keys(m map[string]int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
