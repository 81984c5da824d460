package commands

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmd/ais/table"
)

// What tables of nodes have in common: all nodes are asked at the same time, and one that
// does not answer has its row all the same.

const (
	statusWorkers = 16               // nodes that are asked at a time
	statusTime    = 10 * time.Second // a node that takes longer is shown as offline

	offline = "<offline>"
)

// askEach makes the calls for all reports, several at a time; each keeps its own
// error.
func askEach[R any](ctx context.Context, reports []R, ask func(ctx context.Context, r *R)) {
	var group errgroup.Group
	group.SetLimit(statusWorkers)
	for i := range reports {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, statusTime)
			defer cancel()
			ask(ctx, &reports[i])
			return nil
		})
	}
	_ = group.Wait() // none returns an error
}

// isBlank tells a cell that says nothing: a column of such is left out.
func isBlank(cell string) bool { return cell == "" || cell == "-" }

// offlineRow is the row of a node that does not answer.
func offlineRow(title string, t *table.Table) []string {
	row := make([]string, t.Columns())
	for i := range row {
		row[i] = "-"
	}
	row[0], row[len(row)-1] = title, offline
	return row
}
