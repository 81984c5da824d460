package params

import (
	"time"

	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Limits of parameters.
const (
	MaxWorkers   = 10000
	MaxSubdirs   = 100_000
	MaxHashLen   = 63 // bits of a hashed loader id
	MaxParts     = 9999
	MaxPageSize  = 100_000
	MaxSize      = 5 * unit.TiB
	DefaultChunk = 8 << 20 // bytes of a part of a parallel download
	DefaultFetch = 16      // parts of a parallel download at a time
	DefaultPage  = 1000
	RandomName   = 8 // characters of the name of a bucket that nobody named
)

// Kinds of payload.
const (
	ReaderMemory = "sg"
	ReaderFile   = "file"
	ReaderRandom = "rand"
)

// Params are the parameters of a run, complete and valid.
type Params struct {
	// Connection.
	URL         string // of the cluster
	Timeout     time.Duration
	RandomProxy bool
	TokenFile   string
	Direct      bool

	// Bucket.
	Bucket  wire.Bck
	Named   bool   // by the user
	Bprops  string // JSON
	Cleanup bool

	// Workload.
	Duration     time.Duration // 0: no limit
	TotalPutSize unit.Size     // 0: no limit
	Epochs       uint
	Workers      int
	PctPut       int
	PctUpdate    int
	PctList      int
	MaxPuts      uint
	Rate         float64
	Seed         int64
	MinSize      unit.Size
	MaxSize      unit.Size
	ShuffleMax   uint
	Reader       string
	TmpDir       string
	Checksum     string
	Verify       bool

	// Names, listing, ranges.
	Subdir     string
	NumSubdirs uint
	RandomName bool
	FileList   string
	SkipList   bool
	PageSize   int
	ReadOff    unit.Size
	ReadLen    unit.Size
	Latest     bool
	Cached     bool
	ListDirs   bool

	// Multipart uploads and parallel downloads.
	Parts        int
	PctMultipart int
	Chunk        int64
	Fetchers     int
	PctFetch     int

	// Identity, output, the rest.
	LoaderID      uint64
	LoaderBits    uint // low bits of a counted name that hold LoaderID
	GetLoaderID   bool
	StatsInterval time.Duration
	StatsOutput   string
	StatsdIP      string
	StatsdPort    int
	StatsdProbe   bool
	JSON          bool
	Stoppable     bool
	DryRun        bool
	Trace         bool
	Quiet         bool
}

// CleanupOnly tells that the run is only to remove the bucket.
func (p *Params) CleanupOnly() bool {
	return p.Cleanup && p.Duration == 0 && p.TotalPutSize == 0 && !p.Stoppable && p.Epochs == 0 && p.MaxPuts == 0
}

// Ranged tells that reads ask for a range: an offset alone is none.
func (p *Params) Ranged() bool { return p.ReadLen > 0 }

// Reads tells that the run reads objects, or their names.
func (p *Params) Reads() bool { return p.PctPut < 100 }
