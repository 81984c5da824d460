package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// row is one thing that is measured.
type row struct {
	id      string
	section *section
	title   string
	measure func(ctx context.Context, b *bench) ([]string, error) // cells of its line
}

// section is a table of the report: rows that are measured in one way.
type section struct {
	title string
	notes func(b *bench) []string // conditions that hold for all lines
	head  []string
}

// allRows are the rows in the order in which they are measured.
func allRows() []row {
	var rows []row
	for _, part := range [][]row{compareRows(), durableRows(), encodeRows(), listRows(), memoryRows(), indexRows(), rebalanceRows(), usersRows(), tlsRows(), callRows()} {
		rows = append(rows, part...)
	}
	return append(rows, copyRows()...)
}

// bench is one run: what it was asked for, and the servers that are up.
type bench struct {
	*options
	memory string // folder on tmpfs
	disk   string // folder on a disk

	progress progress

	plain     *cluster // on tmpfs, plain HTTP
	reference *nginx
	durable   *cluster
	secure    *cluster
	encode    *cluster
	populated *population
}

// measureRows measures row by row. Servers of one section are stopped before
// the next begins. A row that fails says so in its line, and the others are
// measured all the same.
func (b *bench) measureRows(ctx context.Context, rows []row) error {
	report := newReport(ctx, b)
	b.progress = progress{to: os.Stderr, began: time.Now(), rows: len(rows)}
	var failed error
	for i, r := range rows {
		if i == 0 || rows[i-1].section != r.section {
			// Filling a bucket takes minutes: those of the listings are weighed, too.
			if r.section != memory {
				if err := b.stopServers(); err != nil {
					return err
				}
			}
			report.begin(r.section)
		}
		b.progress.begin(i+1, &r)
		cells, err := r.measure(ctx, b)
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err()) // interrupted: there is nothing to write
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", r.id, err)
			failed = errors.Join(failed, err)
			cells = []string{r.title, "failed: " + strings.ReplaceAll(err.Error(), "|", "/")}
		}
		report.line(cells)
		b.progress.end(err)
	}
	report.end(time.Since(b.progress.began))
	if b.out == "" {
		return failed
	}
	return errors.Join(failed, report.write(b.out))
}

func (b *bench) stopServers() error {
	var errs []error
	for _, c := range []**cluster{&b.plain, &b.durable, &b.secure, &b.encode} {
		if *c != nil {
			errs = append(errs, (*c).stop(), os.RemoveAll((*c).Root))
			*c = nil
		}
	}
	if b.populated != nil {
		errs = append(errs, b.populated.stop(), os.RemoveAll(b.populated.Root))
		b.populated = nil
	}
	if b.reference != nil {
		errs = append(errs, b.reference.stop())
		b.reference = nil
	}
	return errors.Join(errs...)
}

func (b *bench) end() error {
	err := b.stopServers()
	for _, folder := range []string{b.memory, b.disk} {
		if folder != "" {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}
	return err
}

// ours is the cluster on tmpfs, started when it is first needed.
func (b *bench) ours(ctx context.Context) (c *cluster, err error) {
	if b.plain == nil {
		b.plain, err = startCluster(ctx, &clusterOptions{bin: b.bin, root: filepath.Join(b.memory, "cluster"), port: firstPort, countAllocations: b.counts, fill: everySize})
	}
	return b.plain, err
}

// nginx is the reference on tmpfs.
func (b *bench) nginx(ctx context.Context) (n *nginx, err error) {
	if b.reference == nil {
		b.reference, err = startNginx(ctx, filepath.Join(b.memory, "nginx"))
	}
	return b.reference, err
}
