//go:build gatedjobs

package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"time"
)

// holdFile is a file "hold" beside the program. While it is there, jobs stop in
// their middle, in binaries that tests build. It has one line: what stops, and
// after how many.
type holdFile string

func newHoldFile() (holdFile, error) {
	program, err := os.Executable()
	return holdFile(filepath.Join(filepath.Dir(program), "hold")), err
}

// rule is what the file says; "" without one.
func (f holdFile) rule() (kind string, after int64) {
	data, err := os.ReadFile(string(f))
	if err != nil {
		return "", 0
	}
	_, _ = fmt.Sscan(string(data), &kind, &after) // a file that is being written holds nothing yet
	return kind, after
}

// wait waits until there is no file.
func (f holdFile) wait(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(string(f)); errors.Is(err, iofs.ErrNotExist) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// halfway opens a body of a size, in bytes, that stops in its middle.
func (f holdFile) halfway(ctx context.Context, size int64, open func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	body, err := open()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(body, size/2), &holdWait{file: f, ctx: ctx}, body), body}, nil
}

// holdWait ends when there is no file any more.
type holdWait struct {
	file holdFile
	ctx  context.Context
}

// Read implements io.Reader.
func (w *holdWait) Read([]byte) (int, error) {
	if err := w.file.wait(w.ctx); err != nil {
		return 0, err
	}
	return 0, io.EOF
}
