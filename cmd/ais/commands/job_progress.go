package commands

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmn/wire"
)

// rateWindow is the time that the rate is taken over: it follows the job, and does
// not jump with every answer.
const rateWindow = 10 * time.Second

// jobWork is what jobs have done so far.
type jobWork struct {
	objects, bytes int64
	total          int64 // bytes in all, 0 if that is not known
	targets, done  int
}

// workOf adds up what jobs have done. Each object counts once, though two targets have a
// part in it: where it is read (loc-*), and of a rebalance where it is
// sent from. A blob-download counts bytes, and knows how many there are.
func workOf(snaps api.JobSnaps) (w jobWork) {
	for _, list := range snaps {
		for _, s := range list {
			w.targets++
			if !s.EndTime.IsZero() || s.IsIdle {
				w.done++
			}
			switch {
			case s.Kind == kindRebalance && !removesOnly(s):
				w.objects += s.Stats.OutObjects
				w.bytes += s.Stats.OutBytes
			case s.Kind == wire.ActBlobDownload:
				w.total += s.Stats.InBytes
				fallthrough
			default:
				w.objects += s.Stats.LocalObjects
				w.bytes += s.Stats.LocalBytes
			}
		}
	}
	return w
}

// jobProgress shows what jobs have done, how fast, and for how long: one line
// that changes on a terminal, else a line each time that it does.
type jobProgress struct {
	app     *App
	now     func() time.Time
	began   time.Time
	samples []workSample // of the last rateWindow, the oldest first
	last    string
}

type workSample struct {
	at time.Time
	jobWork
}

func (a *App) newJobProgress() *jobProgress {
	return &jobProgress{app: a, now: time.Now, began: time.Now()}
}

func (p *jobProgress) show(snaps api.JobSnaps) {
	line := p.line(workOf(snaps))
	if line == p.last {
		return
	}
	blank := max(0, len(p.last)-len(line))
	p.last = line
	if p.app.ErrIsTerminal {
		_, _ = fmt.Fprint(p.app.Err, "\r"+line+strings.Repeat(" ", blank)) // nothing depends on it
		return
	}
	_, _ = fmt.Fprintln(p.app.Err, line)
}

// line is the text of the progress now.
func (p *jobProgress) line(w jobWork) string {
	now := p.now()
	for len(p.samples) > 1 && now.Sub(p.samples[0].at) > rateWindow {
		p.samples = p.samples[1:]
	}
	p.samples = append(p.samples, workSample{now, w})
	line := measure.Count(w.objects) + " objects, " + measure.Size(w.bytes, measure.IEC)
	if w.total > 0 {
		line += " of " + measure.Size(w.total, measure.IEC)
	}
	from := p.samples[0]
	if seconds := now.Sub(from.at).Seconds(); seconds > 0.5 && w.objects >= from.objects && w.bytes >= from.bytes { // else a target has begun anew
		line += fmt.Sprintf("  %s/s, %.0f objects/s", measure.Size(int64(float64(w.bytes-from.bytes)/seconds), measure.IEC), float64(w.objects-from.objects)/seconds)
	}
	if w.targets > 0 {
		line += fmt.Sprintf("  [%s] %d of %d targets are done", bar(w.done, w.targets), w.done, w.targets)
	}
	return line + "  " + now.Sub(p.began).Round(time.Second).String()
}

// bar is a bar of ten cells.
func bar(done, of int) string {
	const cells = 10
	full := done * cells / max(1, of)
	return strings.Repeat("=", full) + strings.Repeat("-", cells-full)
}

func (p *jobProgress) end() {
	if p.app.ErrIsTerminal && p.last != "" {
		_, _ = fmt.Fprintln(p.app.Err)
	}
}

// followJobs shows the progress of the jobs that "show job --progress" names until
// they have ended; how, the table tells.
func (a *App) followJobs(ctx context.Context, cmd *cli.Command) error {
	words, err := a.jobWords(ctx, cmd)
	if err != nil {
		return err
	}
	if words.args.ID == "" && words.args.Kind == "" {
		return misuse(cmd, "--progress: expected the name or the id of a job")
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	p := a.newJobProgress()
	defer p.end()
	err = client.WaitJob(ctx, &words.args, api.WaitOptions{Timeout: -1, Poll: time.Second, Unseen: time.Nanosecond, OnSnaps: p.show})
	var failed *api.JobError
	if errors.As(err, &failed) {
		return nil
	}
	return err
}
