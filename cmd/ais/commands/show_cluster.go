package commands

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

const (
	lowMemoryPercent = 80
	outOfMemPercent  = 90
	lowMemory        = 1 << 30   // bytes available
	outOfMemory      = 200 << 20 // bytes available
)

// nodeReport is a node and what it tells of itself, or why it does not.
type nodeReport struct {
	node   *meta.Snode
	status *api.NodeStatus // nil: it did not answer
	err    error
	fenced string // why it may not serve, "" if it may
}

// selection is which nodes "show cluster" shows.
type selection struct {
	role    string // "" for both
	id      string // "" for all
	summary bool
}

func selectNodes(cmd *cli.Command, smap *meta.Smap) (selection, error) {
	first, second := cmd.Args().First(), cmd.Args().Get(1)
	invalid := func(word string) error {
		return fmt.Errorf("%q: expecting a valid NODE_ID or node type (proxy or target)", word)
	}
	switch first {
	case "":
		return selection{summary: true}, nil
	case meta.RoleProxy, meta.RoleTarget:
		if second == "" {
			return selection{role: first}, nil
		}
		node, err := findNode(smap, second)
		if err != nil || node.Role != first {
			return selection{}, invalid(second)
		}
		return selection{role: first, id: node.ID}, nil
	}
	node, err := findNode(smap, first)
	if err != nil || second != "" {
		return selection{}, invalid(first)
	}
	return selection{role: node.Role, id: node.ID}, nil
}

func (a *App) showCluster(ctx context.Context, cmd *cli.Command) error {
	shown, _, err := units(cmd)
	if err != nil {
		return err
	}
	smap, err := a.clusterMap(ctx)
	if err != nil {
		return err
	}
	wanted, err := selectNodes(cmd, smap)
	if err != nil {
		return err
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	reports := askNodes(ctx, client, smap, wanted)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if cmd.Bool("json") {
		return a.printJSON(reportsJSON(reports))
	}
	view := clusterView{app: a, cmd: cmd, smap: smap, units: shown, reports: reports}
	if err := view.tables(wanted.role); err != nil || !wanted.summary {
		return err
	}
	view.warnVersions()
	return view.summary(ctx, client)
}

// askNodes asks the selected nodes for their status, in parallel.
func askNodes(ctx context.Context, client *api.Client, smap *meta.Smap, wanted selection) []nodeReport {
	var reports []nodeReport
	for _, node := range smap.Nodes() {
		if (wanted.role == "" || wanted.role == node.Role) && (wanted.id == "" || wanted.id == node.ID) {
			reports = append(reports, nodeReport{node: node})
		}
	}
	askEach(ctx, reports, func(ctx context.Context, r *nodeReport) { r.ask(ctx, client) })
	return reports
}

// ask asks the node by way of the gateway. One that is fenced may not know the
// gateway; it tells everybody why.
func (r *nodeReport) ask(ctx context.Context, client *api.Client) {
	r.status, r.err = client.NodeStatus(ctx, r.node.ID)
	switch {
	case r.err == nil:
		r.fenced = r.status.Cluster.Fenced
	case ctx.Err() == nil:
		if state, err := client.NodeState(ctx, r.node); err == nil {
			r.fenced = state.Fenced
		}
	}
}

// reportsJSON is what --json prints: statuses by role and node id; a node that
// does not answer has an error in place of its status.
func reportsJSON(reports []nodeReport) map[string]map[string]any {
	form := map[string]map[string]any{meta.RoleProxy: {}, meta.RoleTarget: {}}
	for i := range reports {
		r := &reports[i]
		if r.err != nil {
			form[r.node.Role][r.node.ID] = map[string]string{"error": r.err.Error()}
			continue
		}
		form[r.node.Role][r.node.ID] = r.status
	}
	return form
}

// clusterView prints reports.
type clusterView struct {
	app     *App
	cmd     *cli.Command
	smap    *meta.Smap
	units   measure.Units
	reports []nodeReport
}

// Columns of the tables.
const (
	colSysCPU = "SYS CPU(%)"
	colMem    = "MEM USED(%)"
	colAvail  = "MEM AVAIL"
)

func (v *clusterView) tables(role string) error {
	if role != meta.RoleTarget {
		if err := v.table(meta.RoleProxy); err != nil {
			return err
		}
	}
	if role == "" {
		if err := v.app.say(""); err != nil {
			return err
		}
	}
	if role == meta.RoleProxy {
		return nil
	}
	return v.table(meta.RoleTarget)
}

func (v *clusterView) table(role string) error {
	target := role == meta.RoleTarget
	header := []string{strings.ToUpper(role), colMem, colAvail}
	if target {
		header = append(header, "CAP USED(%)", "CAP AVAIL")
	}
	header = append(header, colSysCPU, "THROTTLED(%)", "LOAD AVERAGE")
	if target {
		header = append(header, "REBALANCE")
	}
	header = append(header, "UPTIME", "K8s POD", "STATUS", "VERSION", "BUILD TIME", "ALERT")
	t := table.New(header...)
	for i := range v.reports {
		if v.reports[i].node.Role == role {
			t.Row(v.row(&v.reports[i], target)...)
		}
	}
	if !v.cmd.Bool("verbose") && !v.cmd.Bool("all-columns") {
		t.HideIf("THROTTLED(%)", func(cell string) bool { return isBlank(cell) || cell == "0%" })
		t.Hide("LOAD AVERAGE")
		t.HideIf("REBALANCE", isBlank)
		t.HideIf("K8s POD", isBlank)
		t.HideIf("STATUS", func(cell string) bool { return cell == "online" })
		t.HideUniform("VERSION")
		t.HideUniform("BUILD TIME")
		t.HideIf("ALERT", func(cell string) bool { return isBlank(cell) || cell == "ok" })
	}
	return t.Print(v.app.Out, v.cmd.Bool("no-headers"))
}

func (v *clusterView) row(r *nodeReport, target bool) []string {
	row := []string{nodeTitle(v.smap, r.node)}
	s := r.status
	if s == nil || s.Status == wire.StatusMaintenance || s.Status == wire.StatusDecommission {
		row = append(row, "-", "-")
		if target {
			row = append(row, "-", "-")
		}
		row = append(row, "-", "-", "-")
		if target {
			row = append(row, "-")
		}
		return append(row, "-", "-", offlineStatus(r), "-", "-", alertCell(r, "-"))
	}
	row = append(row, percent(s.SysInfo.PctMemUsed), measure.Size(int64(s.SysInfo.MemAvail), v.units))
	if target {
		used, avail := capacityCells(&s.Capacity, v.units)
		row = append(row, used, avail)
	}
	load := s.SysInfo.LoadAvg
	row = append(row, strconv.FormatInt(s.SysInfo.CPUUtil, 10)+"%", strconv.FormatInt(s.SysInfo.CPUThrottled, 10)+"%",
		fmt.Sprintf("[%.1f %.1f %.1f]", load.One, load.Five, load.Fifteen))
	if target {
		row = append(row, rebalanceCell(s.RebalanceSnap))
	}
	return append(row, measure.Uptime(time.Duration(s.Tracker.Get("up.ns.time"))), orDash(s.K8sPodName), onlineStatus(s),
		s.Version, s.BuildTime, alertCell(r, s.Cluster.Flags.String()))
}

// alertCell is what a node has to report; that it may not serve comes first.
func alertCell(r *nodeReport, alerts string) string {
	if r.fenced != "" {
		return "fenced: " + r.fenced
	}
	return alerts
}

// offlineStatus is why a node has no figures.
func offlineStatus(r *nodeReport) string {
	switch {
	case r.status != nil:
		return r.status.Status
	case r.fenced != "":
		return "<fenced>"
	case api.TypeCode(r.err) != "":
		return "<" + api.TypeCode(r.err) + ">"
	case api.HTTPStatus(r.err) >= 500 || api.HTTPStatus(r.err) == -1:
		return offline
	}
	return "[" + r.err.Error() + "]"
}

// onlineStatus tells a node that is short of memory.
func onlineStatus(s *api.NodeStatus) string {
	status := s.Status
	if status == wire.StatusOnline {
		status = "online"
	}
	switch {
	case s.SysInfo.MemAvail == 0 && s.SysInfo.MemUsed == 0: // it does not tell
	case s.SysInfo.PctMemUsed >= outOfMemPercent || s.SysInfo.MemAvail < outOfMemory:
		status += " (out of memory)"
	case s.SysInfo.PctMemUsed >= lowMemoryPercent || s.SysInfo.MemAvail < lowMemory:
		status += " (low on memory)"
	}
	return status
}

func capacityCells(c *wire.Capacity, units measure.Units) (used, avail string) {
	total := int64(0)
	seen := map[wire.FsID]bool{}
	for _, mountpath := range c.Mountpaths {
		if mountpath != nil && !seen[mountpath.FS.FsID] {
			seen[mountpath.FS.FsID] = true
			total += int64(mountpath.Avail)
		}
	}
	if total == 0 {
		return strconv.Itoa(int(c.PctAvg)) + "%", "unknown"
	}
	return strconv.Itoa(int(c.PctAvg)) + "%", measure.Size(total, units)
}

func rebalanceCell(snap *wire.Snap) string {
	switch {
	case snap == nil:
		return "-"
	case snap.EndTime.IsZero():
		return "running " + snap.ID
	case snap.Aborted:
		return "aborted " + snap.ID
	}
	return "finished " + snap.ID
}

func percent(value float64) string { return strconv.FormatFloat(value, 'f', 2, 64) + "%" }
