package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmd/aisloader/params"
	"github.com/aistore-go/aistore/cmd/aisloader/stats"
	"github.com/aistore-go/aistore/cmd/aisloader/work"
	"github.com/aistore-go/aistore/cmn/delay"
)

const (
	thinkTwice     = time.Second // to interrupt before something is removed
	cleanupTimeout = 10 * time.Minute
)

func run(ctx context.Context, p *params.Params, getenv func(string) string, out, message io.Writer) (err error) {
	if p.GetLoaderID {
		_, err := fmt.Fprintf(out, "0x%x\n", p.LoaderID)
		return err
	}
	session, err := work.Connect(ctx, p, getenv)
	if err != nil {
		return err
	}
	defer session.Client.Close()
	if p.CleanupOnly() {
		fmt.Fprintf(out, "Removing %s\n", p.Bucket)
		destroy(ctx, session.Client, p, message)
		return nil
	}
	if p.Cleanup && p.Named && !p.DryRun {
		fmt.Fprintf(out, "Warning: %s and all its objects will be removed at the end (-cleanup=true)\n", p.Bucket)
		if err := delay.For(ctx, thinkTwice); err != nil {
			return err
		}
	}
	l, err := work.Prepare(ctx, p, session, out, message)
	if err != nil {
		return err
	}
	if !p.Quiet || p.DryRun {
		fmt.Fprintf(out, "Runtime configuration:\n%s\n\n", p.Configuration(l.NameGetter()))
	}
	if p.DryRun {
		return nil
	}
	runErr := measure(ctx, p, session, l, out, message)
	if p.Cleanup {
		// Also after an interrupt: the context of the run may be over.
		ctx := context.WithoutCancel(ctx)
		if err := delay.For(ctx, thinkTwice); err != nil {
			return err
		}
		destroy(ctx, session.Client, p, message)
	}
	return runErr
}

// measure runs the operations and shows their statistics.
func measure(ctx context.Context, p *params.Params, session *work.Session, l *work.Load, out, message io.Writer) (err error) {
	ctx, stop := stoppable(ctx, p, session)
	defer stop()
	where := out
	if p.StatsOutput != "" {
		f, err := os.Create(p.StatsOutput)
		if err != nil {
			return fmt.Errorf("-stats-output: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		where = f
	}
	statsd, err := stats.NewStatsd(net.JoinHostPort(p.StatsdIP, strconv.Itoa(p.StatsdPort)), p.LoaderID, p.StatsdProbe)
	if err != nil {
		if p.StatsdProbe {
			return err
		}
		fmt.Fprintln(message, "Warning:", err)
	} else {
		defer func() { err = errors.Join(err, statsd.Close()) }()
	}
	began := time.Now()
	var reporter stats.Reporter = stats.NewTable(where)
	if p.JSON {
		reporter = stats.NewJSON(where, began)
	}
	var reportErr error
	result, runErr := l.Run(ctx, func(part *load.Result) {
		if statsd != nil {
			statsd.Send(part)
		}
		reportErr = errors.Join(reportErr, reporter.Interval(time.Now(), part))
	})
	if result == nil {
		return runErr
	}
	reportErr = errors.Join(reportErr, reporter.Final(time.Now(), result))
	fmt.Fprintf(out, "\nActual run duration: %v\n", result.Elapsed.Round(time.Millisecond))
	if p.StatsOutput != "" {
		fmt.Fprintf(out, "Stats written to %s\n", p.StatsOutput)
	}
	if result.Errors == 0 {
		runErr = nil // limits may leave nothing to do
	}
	if uploaded := result.Kinds[stats.Multipart].Operations; uploaded > 0 {
		reportErr = errors.Join(reportErr, l.CheckMultipart(context.WithoutCancel(ctx), uploaded, out))
	}
	return errors.Join(runErr, reportErr)
}

// stoppable has signals end the run, if that is wanted; else they end the
// program at once.
func stoppable(ctx context.Context, p *params.Params, session *work.Session) (context.Context, func()) {
	if !p.Stoppable {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range signals {
			if s != syscall.SIGHUP {
				cancel()
				continue
			}
			session.Traced.Store(!session.Traced.Load())
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		<-done
		cancel()
	}
}

// destroy removes the bucket. A failure is shown and is no failure of the run.
func destroy(ctx context.Context, client *api.Client, p *params.Params, message io.Writer) {
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	if err := client.DestroyBucket(ctx, p.Bucket); err != nil {
		fmt.Fprintf(message, "cleanup: %v\n", err)
	}
}
