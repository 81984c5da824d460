package main

import (
	"fmt"
	"io"
	"time"
)

// progress tells on stderr what is being measured: a whole run takes long.
type progress struct {
	to     io.Writer // nil: nobody listens
	began  time.Time
	rows   int
	number int // of the row, from 1
	id     string
	at     time.Time // when the row began
}

func (p *progress) begin(number int, r *row) {
	p.number, p.id, p.at = number, r.id, time.Now()
	p.print("%s (%s)", r.title, r.id)
}

func (p *progress) round(n, of int) { p.print("%s: round %d of %d", p.id, n, of) }

// step tells what a row does before it measures.
func (p *progress) step(format string, args ...any) {
	p.print("%s: %s", p.id, fmt.Sprintf(format, args...))
}

func (p *progress) end(err error) {
	if err != nil {
		p.print("%v", err)
		return
	}
	p.print("%s took %v", p.id, time.Since(p.at).Round(100*time.Millisecond))
}

func (p *progress) print(format string, args ...any) {
	if p.to != nil {
		fmt.Fprintf(p.to, "[%d/%d %v] %s\n", p.number, p.rows, time.Since(p.began).Round(time.Second), fmt.Sprintf(format, args...))
	}
}
