package core

import (
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/aistore-go/aistore/cmn/wire"
)

// CleanupCounts counts what a cleanup does, as it goes. Of what goes the bytes are
// counted, too. After a dry run the counts are those of what would be done.
type CleanupCounts struct {
	Visits           atomic.Int64 // files
	TooFresh         atomic.Int64 // would go if they were older
	RecentlyAccessed atomic.Int64 // the same, empty objects that were read lately
	KeepMisplaced    atomic.Int64 // kept on the wrong mountpath: the right one does not hold it
	KeepUnknown      atomic.Int64 // buckets, and files of other incarnations of them, that stay: see CleanupOptions.Strangers
	KeepSlices       atomic.Int64 // slices, replicas and marks that are needed, or of which it cannot be told
	EmptyDirs        atomic.Int64 // removed
	Errors           atomic.Int64

	Trash          CleanupCount // what was removed before; counted in a dry run only
	MisplacedLocal CleanupCount // removed: the right mountpath holds the same, or something newer
	SurplusCopies  CleanupCount // removed
	Slices         CleanupCount // removed: slices and replicas that nobody can need
	Marks          CleanupCount // removed: marks that protect from nothing any more
	Orphans        CleanupCount // removed: chunks, manifests, sidecars of nothing
	UnknownBuckets CleanupCount // moved to the trash
	OldWork        CleanupCount // removed
	Invalid        CleanupCount // moved to quarantine or to the trash
	Empty          CleanupCount // objects without content that were deleted

	Files, Bytes atomic.Int64 // removed, or moved away

	dry atomic.Bool

	mu       sync.Mutex
	examples []wire.CleanupExample
}

// CleanupCount is how many files went for one reason; the value is their number.
type CleanupCount struct {
	atomic.Int64
	size atomic.Int64
}

// Size is how many bytes they had.
func (c *CleanupCount) Size() int64 { return c.size.Load() }

// maxExamples bounds the files that a dry run names.
const maxExamples = 100

func (c *CleanupCounts) removed(of *CleanupCount, path string, files, bytes int64, dry bool) {
	of.Add(files)
	of.size.Add(bytes)
	c.Files.Add(files)
	c.Bytes.Add(bytes)
	if !dry || path == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.examples) >= maxExamples {
		return
	}
	for _, category := range c.categories() {
		if category.count == of {
			c.examples = append(c.examples, wire.CleanupExample{Category: category.name, Path: path, Size: bytes})
		}
	}
}

// category is a reason to remove something, with the name that clients know.
type category struct {
	name  string
	why   string
	count *CleanupCount
}

func (c *CleanupCounts) categories() []category {
	return []category{
		{"trash", "removed before", &c.Trash},
		{"misplaced-local", "the right mountpath holds the same, or something newer", &c.MisplacedLocal},
		{"surplus-copies", "more copies than the bucket is to have", &c.SurplusCopies},
		{"slices", "slices and replicas that nobody can need", &c.Slices},
		{"marks", "marks of deletes and overwrites that everybody knows of", &c.Marks},
		{"orphans", "chunks, manifests and sidecars of no object", &c.Orphans},
		{"unknown-buckets", "directories of buckets that the cluster does not know", &c.UnknownBuckets},
		{"oldwork", "work files of earlier processes", &c.OldWork},
		{"invalid", "files without a record, with a damaged one, or with a name that no release makes", &c.Invalid},
		{"zero-size", "objects without content", &c.Empty},
	}
}

// Report is the counts by category, and the first files that a dry run has found.
func (c *CleanupCounts) Report() *wire.CleanupReport {
	r := &wire.CleanupReport{DryRun: c.dry.Load(), Removals: []wire.CleanupRemoval{}, Examples: []wire.CleanupExample{}, Kept: map[string]int64{}}
	for _, of := range c.categories() {
		if n := of.count.Load(); n > 0 {
			r.Removals = append(r.Removals, wire.CleanupRemoval{Category: of.name, Why: of.why, Files: n, Bytes: of.count.Size()})
		}
	}
	if n := c.EmptyDirs.Load(); n > 0 {
		r.Removals = append(r.Removals, wire.CleanupRemoval{Category: "empty-dirs", Why: "directories without content", Files: n})
	}
	for name, n := range c.kept() {
		if n > 0 {
			r.Kept[name] = n
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Examples = append(r.Examples, c.examples...)
	return r
}

// kept are the counts of what stays, by name.
func (c *CleanupCounts) kept() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		_ = yield("too-fresh", c.TooFresh.Load()) && yield("recently-accessed", c.RecentlyAccessed.Load()) &&
			yield("keep-misplaced", c.KeepMisplaced.Load()) && yield("keep-unknown", c.KeepUnknown.Load()) && yield("keep-slices", c.KeepSlices.Load())
	}
}

// String is the counts that are not zero, as clients know them.
func (c *CleanupCounts) String() string {
	text := fmt.Sprintf("visits:%d", c.Visits.Load())
	if c.dry.Load() {
		text = "dry-run " + text
	}
	add := func(name string, n int64) {
		if n > 0 {
			text += fmt.Sprintf(" %s:%d", name, n)
		}
	}
	for name, n := range c.kept() {
		add(name, n)
	}
	for _, of := range c.categories() {
		add(of.name, of.count.Load())
	}
	add("empty-dirs", c.EmptyDirs.Load())
	add("errors", c.Errors.Load())
	return text + fmt.Sprintf(" rm:%d/%s", c.Files.Load(), sizeForPeople(c.Bytes.Load()))
}

func sizeForPeople(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%dB", bytes)
	}
	value, i := float64(bytes)/unit, 0
	for ; value >= unit && i < 5; i++ {
		value /= unit
	}
	return fmt.Sprintf("%.1f%ciB", value, "KMGTPE"[i])
}
