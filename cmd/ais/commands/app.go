package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/settings"
	"github.com/aistore-go/aistore/core/meta"
)

// Version of the tool and of the clusters that it is made for.
const (
	Version        = "1.32"
	clusterVersion = "5.0"
)

// UserAgent is how the tool introduces itself.
const UserAgent = "ais/cli"

// Waiting for a cluster that is starting up.
const (
	startupAttempts = 8
	startupPause    = time.Second
)

// Environment is everything outside the tool that it looks at.
type Environment struct {
	In            io.Reader
	Out, Err      io.Writer
	Getenv        func(string) string
	OutIsTerminal bool
	ErrIsTerminal bool
	Build         Build
}

// Build is where the program comes from.
type Build struct {
	Commit, Time string
}

// NewBuild takes what the linker was told, else what Go recorded.
func NewBuild(commit, at string) Build {
	b := Build{Commit: commit, Time: at}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			switch {
			case setting.Key == "vcs.revision" && b.Commit == "":
				b.Commit = setting.Value[:min(9, len(setting.Value))]
			case setting.Key == "vcs.time" && b.Time == "":
				b.Time = setting.Value
			}
		}
	}
	if b.Commit == "" {
		b.Commit = "dev"
	}
	if b.Time == "" {
		b.Time = "unknown, " + runtime.Version()
	}
	return b
}

// App is one run of the tool.
type App struct {
	Environment
	screen io.Writer // stderr itself: bars need to know the terminal
	config *settings.File
	dir    string // of the configuration
	client *api.Client
	url    string     // endpoint as configured; the client goes on to the primary
	smap   *meta.Smap // after the first command that needed it
	input  *lineReader
}

// errReported ends a run with exit code 1 when the reason was printed already.
var errReported = errors.New("failed")

// Run executes a command line (the first argument is the program's name) and
// returns the exit code: 0 for success and when the context ended (the user
// pressed Ctrl-C), else 1.
func Run(ctx context.Context, env Environment, args []string) int {
	screen := env.Err
	env.Out, env.Err = &lockedWriter{writer: env.Out}, &lockedWriter{writer: env.Err}
	app := &App{Environment: env, screen: screen, input: &lineReader{source: env.In}}
	err := app.run(ctx, args)
	if app.client != nil {
		app.client.Close()
	}
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		_, _ = fmt.Fprintln(env.Err) // the shell's prompt begins a line of its own
		return 0
	}
	app.printError(err)
	return 1
}

func (a *App) run(ctx context.Context, args []string) error {
	var err error
	if a.dir, err = settings.Dir(a.Getenv); err != nil {
		return err
	}
	var warning string
	if a.config, warning, err = settings.Load(a.dir, a.Getenv); err != nil {
		return err
	}
	if warning != "" {
		a.warn("%s", warning)
	}
	args, completing := completionRequest(args)
	for attempt := 1; ; attempt++ {
		err := a.execute(ctx, args)
		if completing || err == nil || !api.IsStartingUp(err) || attempt == startupAttempts {
			return err
		}
		a.note("the cluster at %s is starting up, waiting... (%d of %d)", a.client.URL(), attempt, startupAttempts-1)
		select {
		case <-time.After(startupPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// execute runs the tree once. The tree is made anew each time: a parsed
// command keeps its flags.
func (a *App) execute(ctx context.Context, args []string) error {
	root := a.tree()
	if !a.wantsPager(args) {
		return root.Run(ctx, args)
	}
	var text strings.Builder
	root.Writer = &text
	err := root.Run(ctx, args)
	return errors.Join(err, a.page(ctx, text.String()))
}

// cluster returns the client.
func (a *App) cluster() (*api.Client, error) {
	if a.client != nil {
		return a.client, nil
	}
	connection, err := a.config.Connect(a.dir, a.Getenv)
	if err != nil {
		return nil, err
	}
	client, err := api.New(api.Options{
		URL: connection.URL, Token: connection.Token, UserAgent: UserAgent, TLS: connection.TLS,
		DialTimeout: connection.DialTimeout, Timeout: connection.Timeout, Direct: connection.Direct,
	})
	if err != nil {
		return nil, err
	}
	a.client, a.url = client, client.URL()
	return client, nil
}

// clusterMap fetches the cluster map once; from then on the primary is asked.
func (a *App) clusterMap(ctx context.Context) (*meta.Smap, error) {
	client, err := a.cluster()
	if err != nil {
		return nil, err
	}
	if a.smap != nil {
		return a.smap, nil
	}
	smap, err := client.FetchSmap(ctx)
	if err != nil {
		return nil, err
	}
	if smap.Primary != nil && smap.Primary.Public.URL != "" {
		if err := client.SetURL(smap.Primary.Public.URL); err != nil {
			return nil, fmt.Errorf("the primary's address: %w", err)
		}
	}
	a.smap = smap
	return smap, nil
}
