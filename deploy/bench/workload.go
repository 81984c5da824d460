package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmn/cksum"
)

// workingSet is the objects of one size that rows read and overwrite.
type workingSet struct {
	prefix string
	size   int
	count  int
	bodies int // different contents that are written
}

var (
	small     = workingSet{"s", 4 << 10, 1000, 64}
	middle    = workingSet{"m", 1 << 20, 64, 16}
	large     = workingSet{"l", 32 << 20, 8, 8}
	everySize = []workingSet{small, middle, large}
)

// shift is how far the bodies of a set lie apart in its payload.
const shift = 64

// payload holds all bodies of a set: they overlap, and no two are the same.
type payload struct {
	data []byte
	sums []string // header lines; empty without checksums
}

func (s *workingSet) payload(checksum bool) *payload {
	p := &payload{data: make([]byte, s.size+shift*s.bodies), sums: make([]string, s.bodies)}
	_, _ = rand.NewChaCha8([32]byte{1}).Read(p.data) // never fails
	for i := range s.bodies {
		if checksum {
			sum, _ := cksum.Of(cksum.XXHash2, p.body(s, i)) // the type exists
			p.sums[i] = "Ais-Checksum-Type: " + sum.Type + "\r\nAis-Checksum-Value: " + sum.Value + "\r\n"
		}
	}
	return p
}

func (p *payload) body(s *workingSet, i int) []byte { return p.data[i*shift : i*shift+s.size] }

// reads is a task that GETs random objects of the set at an address.
func (s workingSet) reads(addr, path string) load.Task {
	return func(_ context.Context, w *load.Worker) bool {
		w.Request.Reset("GET", addr)
		s.name(w, path, 'r')
		_, _ = w.Do(0)
		return true
	}
}

// writes is a task that overwrites random objects of the set with contents
// that change: a server that compares has to write all the same.
func (s workingSet) writes(addr, path, headers string, gateway, checksum bool) load.Task {
	p := s.payload(checksum)
	return func(_ context.Context, w *load.Worker) bool {
		w.Request.Reset("PUT", addr)
		s.name(w, path, 'w')
		i := w.Random.IntN(s.bodies)
		w.Request.Body, w.Request.Gateway = p.body(&s, i), gateway
		w.Request.Headers = append(append(w.Request.Headers, headers...), p.sums[i]...)
		_, _ = w.Do(0)
		return true
	}
}

func (s *workingSet) name(w *load.Worker, path string, kind byte) {
	w.Request.Path = append(append(append(append(w.Request.Path, path...), '/'), s.prefix...), kind)
	w.Request.Path = strconv.AppendInt(w.Request.Path, int64(w.Random.IntN(s.count)), 10)
}

// store makes the objects that reads and writes use.
func (s workingSet) store(ctx context.Context, addr, path, headers string, options load.Options) error {
	p := s.payload(false)
	result, err := load.Run(ctx, &load.Plan{
		Workers: 4, Operations: int64(2 * s.count), Options: options,
		Task: func(_ context.Context, w *load.Worker) bool {
			w.Request.Reset("PUT", addr)
			w.Request.Path = fmt.Appendf(w.Request.Path, "%s/%s%c%d", path, s.prefix, "rw"[w.Number%2], w.Number/2)
			w.Request.Headers = append(w.Request.Headers, headers...)
			w.Request.Body = p.body(&s, 0)
			_, _ = w.Do(0)
			return true
		},
	})
	if err == nil && result.Errors > 0 {
		err = result.FirstError
	}
	return err
}
