package table

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	build := func() *Table {
		table := New("NAME", "SIZE", "STATUS", "NOTE")
		table.Row("a", "1B", "ok", "")
		table.Row("longer-name", "22.00KiB", "ok")
		table.Row("evil\x1b[2J\n", "", "ok", "")
		return table
	}
	for _, tt := range []struct {
		name     string
		change   func(*Table)
		noHeader bool
		want     string
	}{
		{"all", func(*Table) {}, false, "NAME\t\tSIZE\t\tSTATUS\tNOTE\na\t\t1B\t\tok\t\nlonger-name\t22.00KiB\tok\t\nevil?[2J?\t\t\tok\t\n"},
		{"no header", func(table *Table) { table.Hide("NOTE") }, true, "a\t\t1B\t\tok\nlonger-name\t22.00KiB\tok\nevil?[2J?\t\t\tok\n"},
		{"uninteresting", func(table *Table) {
			table.HideUniform("STATUS")
			table.HideUniform("NAME")
			table.HideIf("NOTE", func(cell string) bool { return cell == "" })
		}, false, "NAME\t\tSIZE\na\t\t1B\nlonger-name\t22.00KiB\nevil?[2J?\t\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			table := build()
			tt.change(table)
			var got strings.Builder
			if err := table.Print(&got, tt.noHeader); err != nil || got.String() != tt.want {
				t.Fatalf("%q, %v\nwant %q", got.String(), err, tt.want)
			}
		})
	}
}
