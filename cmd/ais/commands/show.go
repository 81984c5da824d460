package commands

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/core/meta"
)

func (a *App) showCommand() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "show the cluster, buckets, objects, and jobs",
		Commands: []*cli.Command{
			a.showClusterCommand(), a.bucketShowCommand("bucket"), a.objectShowCommand("object"), a.showConfigCommand(), a.storageShowCommand("storage"), a.jobShowCommand("job"),
			a.showRebalanceCommand(),
		},
	}
}

// showConfigCommand is "show config", the same tree as "config".
func (a *App) showConfigCommand() *cli.Command {
	cmd := a.configCommand()
	cmd.Usage = "show configurations"
	return cmd
}

func (a *App) showClusterCommand() *cli.Command {
	flags := func(more ...cli.Flag) []cli.Flag {
		return append(append(refreshFlags(), jsonFlag(), noHeadersFlag()), more...)
	}
	return &cli.Command{
		Name: "cluster", Usage: "show nodes, their load and capacity, and a summary", ArgsUsage: "[NODE_ID] | [proxy|target [NODE_ID]]",
		Description: examples("ais show cluster", "ais show cluster target", "ais show cluster t[abcdefgh]", "ais show cluster --refresh 5 --count 3",
			"ais show cluster --json", "ais show cluster smap"),
		Flags:         flags(unitsFlag(), flag("verbose", "show all columns", "v"), flag("all-columns", "show all columns")),
		ShellComplete: a.complete(a.nodeCandidates),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return a.repeat(ctx, cmd, a.showCluster)
		},
		Commands: []*cli.Command{{
			Name: "smap", Usage: "show the cluster map, as the primary or as a node has it", ArgsUsage: "[NODE_ID]",
			Description:   examples("ais show cluster smap", "ais show cluster smap p[abcdefgh]", "ais show cluster smap --json"),
			Flags:         flags(),
			ShellComplete: a.complete(a.nodeCandidates),
			Action: func(ctx context.Context, cmd *cli.Command) error {
				return a.repeat(ctx, cmd, a.showSmap)
			},
		}},
	}
}

// nodeID takes "t[id]", "p[id]" or "id" to the id.
func nodeID(word string) string {
	if len(word) > 3 && (word[0] == 't' || word[0] == 'p') && word[1] == '[' && word[len(word)-1] == ']' {
		return word[2 : len(word)-1]
	}
	return word
}

// node resolves a word through the cluster map.
func findNode(smap *meta.Smap, word string) (*meta.Snode, error) {
	node := smap.Node(nodeID(word))
	if node == nil || word[0] == 'p' && strings.HasPrefix(word, "p[") && node.Role != meta.RoleProxy ||
		strings.HasPrefix(word, "t[") && node.Role != meta.RoleTarget {
		return nil, fmt.Errorf("node %q does not exist in the cluster map v%d (run 'ais show cluster' for all nodes)", word, smap.Version)
	}
	return node, nil
}

func (a *App) showSmap(ctx context.Context, cmd *cli.Command) error {
	smap, err := a.clusterMap(ctx)
	if err != nil {
		return err
	}
	if word := cmd.Args().First(); word != "" {
		node, err := findNode(smap, word)
		if err != nil {
			return err
		}
		client, err := a.cluster()
		if err != nil {
			return err
		}
		if smap, err = client.NodeSmap(ctx, node.ID); err != nil {
			return err
		}
	}
	if cmd.Bool("json") {
		return a.printJSON(smap)
	}
	t := table.New("NODE", "TYPE", "PUBLIC URL", "INTRA CONTROL URL", "INTRA DATA URL")
	separate := false
	for _, node := range smap.Nodes() {
		t.Row(nodeTitle(smap, node), node.Role, node.Public.URL, node.IntraControl.URL, node.IntraData.URL)
		separate = separate || node.IntraControl.URL != node.Public.URL || node.IntraData.URL != node.Public.URL
	}
	if !separate {
		t.Hide("INTRA CONTROL URL")
		t.Hide("INTRA DATA URL")
	}
	if err := t.Print(a.Out, cmd.Bool("no-headers")); err != nil {
		return err
	}
	electable := 0
	for _, node := range smap.Pmap {
		if node.Electable() {
			electable++
		}
	}
	return a.say("\nVersion:\t%d\nUUID:\t\t%s\nCreated:\t%s\nElectable:\t%d of %d proxies\nTargets:\t%d, active: %d",
		smap.Version, smap.UUID, smap.Created, electable, len(smap.Pmap), len(smap.Tmap), smap.CountTargets())
}

// nodeTitle is a node with what the map says of it: [P] primary, [n/e] not
// electable, [x] in maintenance.
func nodeTitle(smap *meta.Smap, node *meta.Snode) string {
	title := node.String()
	if smap.IsPrimary(node.ID) {
		title += "[P]"
	}
	if node.Role == meta.RoleProxy && node.Flags&meta.FlagNonElectable != 0 {
		title += "[n/e]"
	}
	if !node.Active() {
		title += "[x]"
	}
	return title
}
