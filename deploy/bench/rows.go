package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	for _, part := range [][]row{compareRows(), durableRows(), listRows(), memoryRows(), tlsRows(), callRows()} {
		rows = append(rows, part...)
	}
	return rows
}

// bench is one run: what it was asked for, and the servers that are up.
type bench struct {
	*options
	memory string // folder on tmpfs
	disk   string // folder on a disk

	plain     *cluster // on tmpfs, plain HTTP
	reference *nginx
	durable   *cluster
	secure    *cluster
	populated *population
}

// measureRows measures row by row. Servers of one section are stopped before
// the next begins.
func (b *bench) measureRows(ctx context.Context, rows []row) error {
	report := newReport(ctx, b)
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
		began := time.Now()
		cells, err := r.measure(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", r.id, err)
		}
		report.line(r, cells, time.Since(began))
	}
	if b.out == "" {
		return nil
	}
	return report.write(b.out)
}

func (b *bench) stopServers() error {
	var errs []error
	for _, c := range []**cluster{&b.plain, &b.durable, &b.secure} {
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
