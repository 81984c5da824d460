package commands

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/urfave/cli/v3"
)

// jobRemoveCommand is "ais job rm": services that keep lists of their jobs forget
// those that have ended.
func (a *App) jobRemoveCommand() *cli.Command {
	return &cli.Command{
		Name: "rm", Usage: "remove jobs that have ended from the list of a service", ArgsUsage: "download|dsort [JOB_ID]",
		Description: examples("ais job rm download dnl-AbC123xyz", "ais job rm download --all", "ais job rm dsort --regex 'nightly.*'"),
		Flags: []cli.Flag{
			flag("all", "remove all jobs of the service that have ended"),
			textFlag("regex", "remove the jobs that have ended and whose description matches `REGEX`"),
		},
		Action: a.removeServiceJobs,
	}
}

func (a *App) removeServiceJobs(ctx context.Context, cmd *cli.Command) error {
	service, id, many := cmd.Args().Get(0), cmd.Args().Get(1), cmd.Bool("all") || cmd.IsSet("regex")
	switch {
	case service != "download" && service != "dsort":
		return misuse(cmd, "expected download or dsort, and the job's id (or --all, or --regex)")
	case cmd.NArg() > 2:
		return misuse(cmd, "unexpected argument %q: expected one job id", cmd.Args().Get(2))
	case id != "" && many:
		return misuse(cmd, "flags --all and --regex do not go with the id of a job (%q)", id)
	case cmd.Bool("all") && cmd.IsSet("regex"):
		return misuse(cmd, "expected one of --all and --regex")
	case id == "" && !many:
		return misuse(cmd, "missing job: expected the id of a %s job, or --all, or --regex", service)
	}
	pattern := cmd.String("regex")
	if _, err := regexp.CompilePOSIX(pattern); err != nil || pattern == "" && cmd.IsSet("regex") {
		return fmt.Errorf("flag --regex: %q is no regular expression", pattern)
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	ids := []string{id}
	if many {
		jobs, err := client.ServiceJobs(ctx, service, pattern)
		if err != nil {
			return err
		}
		ids = ids[:0]
		for _, job := range jobs {
			if job.Ended {
				ids = append(ids, job.ID)
			}
		}
		if len(ids) == 0 {
			return a.say("No %s jobs that have ended.", service)
		}
	}
	var errs []error
	for _, id := range ids {
		if err := client.RemoveServiceJob(ctx, service, id); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", id, err))
			continue
		}
		if err := a.done("Removed %s job %s.", service, id); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}
