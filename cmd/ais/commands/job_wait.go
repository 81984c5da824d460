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

// checkWait refuses, before anything is started, flags of waiting that cannot be read or
// have no effect. waits: the command waits in any case.
func checkWait(cmd *cli.Command, waits bool) error {
	if !waits && !cmd.Bool("wait") {
		for _, name := range []string{"timeout", "refresh", "progress"} {
			if cmd.IsSet(name) {
				return misuse(cmd, "flag --%s goes with --wait", name)
			}
		}
	}
	_, err := waitOptions(cmd)
	return err
}

// waitOptions reads --timeout and --refresh.
func waitOptions(cmd *cli.Command) (o api.WaitOptions, err error) {
	o = api.WaitOptions{Timeout: -1, Poll: time.Second}
	for name, to := range map[string]*time.Duration{"timeout": &o.Timeout, "refresh": &o.Poll} {
		if !cmd.IsSet(name) {
			continue
		}
		text := cmd.String(name)
		if *to, err = measure.ParseDuration(text); err != nil {
			return o, fmt.Errorf("flag --%s: %w", name, err)
		}
		if *to <= 0 {
			return o, fmt.Errorf("flag --%s: %q (expected more than nothing)", name, text)
		}
	}
	o.Poll = max(o.Poll, 100*time.Millisecond)
	return o, nil
}

// waitJob waits for a job, and shows how far it is.
func (a *App) waitJob(ctx context.Context, cmd *cli.Command, args *api.JobArgs) error {
	client, err := a.cluster()
	if err != nil {
		return err
	}
	o, err := waitOptions(cmd)
	if err != nil {
		return err
	}
	if cmd.Bool("progress") || a.ErrIsTerminal {
		p := a.newJobProgress()
		o.OnSnaps = p.show
		defer p.end()
	}
	return client.WaitJob(ctx, args, o)
}
