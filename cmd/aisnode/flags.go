package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/aistore-go/aistore/ais/node/startup"
	"github.com/aistore-go/aistore/cmn/config"
)

// usage is printed before the list of options.
const usage = `Usage: aisnode -role proxy|target -config FILE -local_config FILE [options]
       aisnode version

Starts one node of a cluster and runs it until SIGTERM, SIGINT or SIGQUIT.

Options:
`

// command is what the command line asks for.
type command struct {
	options startup.Options
	version bool
}

// parse reads the command line. The error is flag.ErrHelp when usage was
// asked for, and printed; any other is one line.
func parse(args []string, stderr io.Writer) (*command, error) {
	c := &command{}
	flags := flag.NewFlagSet("aisnode", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	o := &c.options
	flags.StringVar(&o.Role, "role", "", "`role` of the node: proxy or target")
	flags.StringVar(&o.ClusterFile, "config", "", "`file` with the initial cluster configuration (JSON)")
	flags.StringVar(&o.LocalFile, "local_config", "", "`file` with the configuration of this node (JSON)")
	flags.StringVar(&o.Custom, "config_custom", "", "`key=value,...` that this node overrides and keeps")
	flags.BoolVar(&o.Transient, "transient", false, "with -config_custom: do not keep it for the next start")
	flags.BoolVar(&o.NetFromFile, "net_from_config", false, "take the section net from the file of -config this time, not from what is stored: for a\nnode that was away while the cluster was switched to HTTPS or back")
	flags.StringVar(&o.NodeID, "daemon_id", "", "`id` of the node; else AIS_DAEMON_ID, the stored one, or a new one")
	targets := flags.Int("ntargets", 0, "`number` of targets of the cluster; accepted on every node, for scripts: a primary\nserves at once and never waits for targets")
	flags.Bool("skip_startup", false, "do not wait for targets; accepted for scripts: a primary never does")
	lost := flags.Bool("start_with_lost_mountpath", false, "target: start although a mountpath is missing; accepted for scripts: a target\nalways starts with the mountpaths that are there, and reports the others")
	flags.BoolVar(&o.Standby, "standby", false, "target: join no cluster before an operator adds the node to one")
	loopback := flags.Bool("loopback", false, "target: not supported yet")
	flags.BoolVar(&c.version, "version", false, "print the version and exit")
	help := func() error {
		flags.SetOutput(stderr)
		_, _ = fmt.Fprint(stderr, usage) // nowhere else to tell
		flags.PrintDefaults()
		return flag.ErrHelp
	}
	if len(args) == 0 {
		return nil, help()
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil, help()
	} else if err != nil {
		return nil, err
	}
	if flags.NArg() == 1 && flags.Arg(0) == "version" {
		c.version = true
	} else if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q (options begin with a dash, see -h)", flags.Arg(0))
	}
	if c.version {
		return c, nil
	}
	switch {
	case o.Role != config.RoleProxy && o.Role != config.RoleTarget:
		return nil, fmt.Errorf("-role %q: expected %q or %q", o.Role, config.RoleProxy, config.RoleTarget)
	case o.ClusterFile == "":
		return nil, errors.New("-config: the file with the initial cluster configuration is missing")
	case o.LocalFile == "":
		return nil, errors.New("-local_config: the file with the configuration of this node is missing")
	case *targets < 0:
		return nil, fmt.Errorf("-ntargets %d: must not be negative", *targets)
	case *loopback:
		return nil, errors.New("-loopback is not supported yet: use directories (test_fspaths) or real disks (fspaths)")
	case o.Role == config.RoleProxy && o.Standby:
		return nil, errors.New("-standby is an option of a target")
	case o.Role == config.RoleProxy && *lost:
		return nil, errors.New("-start_with_lost_mountpath is an option of a target")
	}
	return c, nil
}
