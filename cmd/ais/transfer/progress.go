package transfer

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/aistore-go/aistore/cmd/ais/measure"
)

// Progress shows how far a transfer is: bars on a terminal, elsewhere a line
// now and then. A nil *Progress shows nothing.
type Progress struct {
	total   Result // Done and Bytes that are expected; Bytes below 0: not known
	done    atomic.Int64
	moved   atomic.Int64 // bytes
	bars    *mpb.Progress
	objects *mpb.Bar // nil for a single object, and where there are no bars
	bytes   *mpb.Bar
	lines   *lineReporter // nil where there are bars
}

// NewProgress shows the progress of a number of objects with a total size in
// bytes, below 0 if that is not known. Call End.
func NewProgress(w io.Writer, terminal bool, objects, size int64) *Progress {
	p := &Progress{total: Result{Done: objects, Bytes: size}}
	if !terminal {
		p.lines = reportLines(w, p.line)
		return p
	}
	title := decor.WC{W: 9, C: decor.DindentRight}
	p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(100), mpb.WithAutoRefresh())
	if objects != 1 {
		p.objects = p.bars.AddBar(objects,
			mpb.PrependDecorators(decor.Name("Objects:", title), decor.CountersNoUnit("%d / %d", decor.WCSyncSpace)),
			mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5}), decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 8})))
	}
	p.bytes = p.bars.AddBar(max(0, size),
		mpb.PrependDecorators(decor.Name("Size:", title), decor.CountersKibiByte("% .2f / % .2f", decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5}), decor.AverageSpeed(decor.SizeB1024(0), "% .2f", decor.WC{W: 16})))
	return p
}

// Object counts one finished object.
func (p *Progress) Object() {
	if p == nil {
		return
	}
	p.done.Add(1)
	if p.objects != nil {
		p.objects.Increment()
	}
}

// Bytes counts n bytes moved.
func (p *Progress) Bytes(n int64) {
	if p == nil {
		return
	}
	p.moved.Add(n)
	if p.bytes != nil {
		p.bytes.IncrInt64(n)
	}
}

// Reader counts what is read from r.
func (p *Progress) Reader(r io.ReadCloser) io.ReadCloser {
	if p == nil {
		return r
	}
	return &countedReader{ReadCloser: r, progress: p}
}

type countedReader struct {
	io.ReadCloser
	progress *Progress
}

func (r *countedReader) Read(buf []byte) (int, error) {
	n, err := r.ReadCloser.Read(buf)
	r.progress.Bytes(int64(n))
	return n, err
}

// Writer counts what is written to w.
func (p *Progress) Writer(w io.Writer) io.Writer {
	if p == nil {
		return w
	}
	return &countedWriter{writer: w, progress: p}
}

type countedWriter struct {
	writer   io.Writer
	progress *Progress
}

func (w *countedWriter) Write(buf []byte) (int, error) {
	n, err := w.writer.Write(buf)
	w.progress.Bytes(int64(n))
	return n, err
}

// End stops showing and leaves the last state.
func (p *Progress) End() {
	switch {
	case p == nil:
	case p.lines != nil:
		p.lines.end()
	default:
		for _, bar := range []*mpb.Bar{p.objects, p.bytes} {
			if bar != nil {
				bar.SetTotal(-1, true)
			}
		}
		p.bars.Wait()
	}
}

// line is the state in words.
func (p *Progress) line() string {
	size := measure.Size(p.moved.Load(), measure.IEC)
	if p.total.Bytes >= 0 {
		size += " of " + measure.Size(p.total.Bytes, measure.IEC)
	}
	if p.total.Done == 1 {
		return size
	}
	return fmt.Sprintf("%s of %s objects, %s", measure.Count(p.done.Load()), measure.Count(p.total.Done), size)
}

// lineInterval is how often a line is printed where nothing can be drawn.
const lineInterval = 5 * time.Second

// lineReporter prints lines until it is ended.
type lineReporter struct {
	stop  chan struct{}
	group sync.WaitGroup
}

func reportLines(w io.Writer, line func() string) *lineReporter {
	r := &lineReporter{stop: make(chan struct{})}
	r.group.Go(func() {
		ticker := time.NewTicker(lineInterval)
		defer ticker.Stop()
		for {
			// That it cannot be printed changes nothing for the transfer.
			select {
			case <-ticker.C:
				_, _ = fmt.Fprintln(w, line())
			case <-r.stop:
				_, _ = fmt.Fprintln(w, line())
				return
			}
		}
	})
	return r
}

func (r *lineReporter) end() {
	close(r.stop)
	r.group.Wait()
}
