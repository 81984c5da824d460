package commands

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
)

func (a *App) jobWaitCommand() *cli.Command {
	flags := waitFlags()[1:] // without --wait
	return &cli.Command{
		Name: "wait", Usage: "wait until jobs have ended", ArgsUsage: "[NAME] [JOB_ID] [BUCKET]",
		Description:   examples("ais wait AbC123xyz", "ais wait copy-bucket ais://dst --timeout 10m", "ais wait rebalance --progress"),
		Flags:         flags,
		ShellComplete: a.complete(a.jobCandidates),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			words, err := a.jobWords(ctx, cmd)
			if err != nil {
				return err
			}
			if words.args.ID == "" && words.args.Kind == "" {
				return misuse(cmd, "missing job: expected a name or an id")
			}
			what := titled(words.args.Kind)
			if words.args.ID != "" {
				what = strings.TrimSpace(what) + "[" + words.args.ID + "]"
			} else {
				what += "jobs"
			}
			if words.args.Bck != nil {
				what += " of " + words.args.Bck.String()
			}
			if err := a.say("Waiting for %s ...", what); err != nil {
				return err
			}
			if err := a.waitJob(ctx, cmd, &words.args); err != nil {
				return err
			}
			return a.done("Done.")
		},
	}
}

// waitJob waits for a job, and shows how far it is.
func (a *App) waitJob(ctx context.Context, cmd *cli.Command, args *api.JobArgs) error {
	client, err := a.cluster()
	if err != nil {
		return err
	}
	o := api.WaitOptions{Timeout: -1, Poll: time.Second}
	if text := cmd.String("timeout"); text != "" {
		if o.Timeout, err = measure.ParseDuration(text); err != nil {
			return fmt.Errorf("flag --timeout: %w", err)
		}
		if o.Timeout <= 0 {
			return fmt.Errorf("flag --timeout: %q (expected more than nothing)", text)
		}
	}
	if text := cmd.String("refresh"); text != "" {
		if o.Poll, err = measure.ParseDuration(text); err != nil {
			return fmt.Errorf("flag --refresh: %w", err)
		}
		o.Poll = max(o.Poll, 100*time.Millisecond)
	}
	if cmd.Bool("progress") || a.ErrIsTerminal {
		p := &jobProgress{app: a, began: time.Now()}
		o.OnSnaps = p.show
		defer p.end()
	}
	return client.WaitJob(ctx, args, o)
}

// jobProgress shows what jobs have done since the wait began, and how fast: one
// line that changes on a terminal, else a line each time that it does.
type jobProgress struct {
	app     *App
	began   time.Time
	started bool
	objects int64 // when the wait began
	bytes   int64
	last    string
}

func (p *jobProgress) show(snaps api.JobSnaps) {
	var objects, bytes int64
	running, targets := 0, 0
	for _, list := range snaps {
		for _, s := range list {
			objects += s.Stats.LocalObjects + s.Stats.InObjects
			bytes += s.Stats.LocalBytes + s.Stats.InBytes
			targets++
			if s.EndTime.IsZero() {
				running++
			}
		}
	}
	if !p.started {
		p.started, p.objects, p.bytes = true, objects, bytes
	}
	line := fmt.Sprintf("%s objects, %s", measure.Count(objects), measure.Size(bytes, measure.IEC))
	if seconds := time.Since(p.began).Seconds(); seconds > 0.5 && objects > p.objects {
		line += fmt.Sprintf("  %s/s, %.0f objects/s", measure.Size(int64(float64(bytes-p.bytes)/seconds), measure.IEC), float64(objects-p.objects)/seconds)
	}
	if targets > 0 {
		line += fmt.Sprintf("  [%s] %d of %d targets are done", bar(targets-running, targets), targets-running, targets)
	}
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
