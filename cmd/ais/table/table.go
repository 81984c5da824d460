// Package table prints rows of text in aligned columns.
package table

import (
	"io"
	"strings"
	"text/tabwriter"
)

// Table is a header and rows. A column may be hidden when it tells nothing.
type Table struct {
	header []string
	hidden map[int]bool
	rows   [][]string
}

// New returns a table with the given column names.
func New(header ...string) *Table { return &Table{header: header, hidden: map[int]bool{}} }

// Row adds a row; missing cells are empty.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Columns is how many columns a row has, hidden ones included.
func (t *Table) Columns() int { return len(t.header) }

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Hide leaves a column out.
func (t *Table) Hide(name string) {
	for i, column := range t.header {
		if column == name {
			t.hidden[i] = true
		}
	}
}

// HideIf leaves a column out when uninteresting is true for all of its cells.
func (t *Table) HideIf(name string, uninteresting func(cell string) bool) {
	for i, column := range t.header {
		if column != name {
			continue
		}
		for _, row := range t.rows {
			if i < len(row) && !uninteresting(row[i]) {
				return
			}
		}
		t.hidden[i] = true
	}
}

// HideUniform leaves a column out when all of its cells are equal.
func (t *Table) HideUniform(name string) {
	first, seen := "", false
	t.HideIf(name, func(cell string) bool {
		if !seen {
			first, seen = cell, true
		}
		return cell == first
	})
}

// Print writes the table, without the column names if noHeader. Cells are
// separated by tabs and aligned at multiples of eight.
func (t *Table) Print(w io.Writer, noHeader bool) error {
	tw := tabwriter.NewWriter(w, 0, 8, 1, '\t', 0)
	if !noHeader {
		if err := t.line(tw, t.header); err != nil {
			return err
		}
	}
	for _, row := range t.rows {
		if err := t.line(tw, row); err != nil {
			return err
		}
	}
	return tw.Flush()
}

func (t *Table) line(w io.Writer, cells []string) error {
	var b strings.Builder
	first := true
	for i := range t.header {
		if t.hidden[i] {
			continue
		}
		if !first {
			b.WriteByte('\t')
		}
		first = false
		if i < len(cells) {
			b.WriteString(printable(cells[i]))
		}
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// printable keeps control characters of names from breaking the lines or the
// terminal.
func printable(cell string) string {
	clean := func(r rune) bool { return r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) }
	if strings.IndexFunc(cell, func(r rune) bool { return !clean(r) }) < 0 {
		return cell
	}
	return strings.Map(func(r rune) rune {
		if clean(r) {
			return r
		}
		return '?'
	}, cell)
}
