package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// errCancelled ends a command that the user did not confirm.
var errCancelled = errors.New("cancelled")

// lineReader reads single lines, byte by byte, so that what follows a line is
// left for others.
type lineReader struct{ source io.Reader }

// maxLine is the longest answer that is read, in bytes.
const maxLine = 4096

func (r *lineReader) line() (string, error) {
	var line []byte
	var one [1]byte
	for len(line) < maxLine {
		n, err := r.source.Read(one[:])
		if n > 0 {
			if one[0] == '\n' {
				return strings.TrimSpace(string(line)), nil
			}
			line = append(line, one[0])
		}
		if err != nil {
			if errors.Is(err, io.EOF) && len(line) > 0 {
				return strings.TrimSpace(string(line)), nil
			}
			return "", err
		}
	}
	return "", errors.New("the answer is too long")
}

// answer reads a line, or returns early when the context ends; the read that
// is still under way then ends with the program.
func (a *App) answer(ctx context.Context) (string, error) {
	type read struct {
		line string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		line, err := a.input.line()
		done <- read{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// confirm asks until it is told yes or no; no, or the end of the input, is
// errCancelled.
func (a *App) confirm(ctx context.Context, format string, args ...any) error {
	for {
		if _, err := fmt.Fprintf(a.Out, format+" [Y/N]: ", args...); err != nil {
			return err
		}
		answer, err := a.answer(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			_, _ = fmt.Fprintln(a.Out)
			return fmt.Errorf("%w: no answer on standard input (use --yes to go on without being asked)", errCancelled)
		}
		switch strings.ToLower(answer) {
		case "y", "yes", "on", "true", "1", "t":
			return nil
		case "n", "no", "off", "false", "0", "f":
			return errCancelled
		}
	}
}

// confirmWord asks until the given word is typed; the end of the input is
// errCancelled.
func (a *App) confirmWord(ctx context.Context, word, format string, args ...any) error {
	for {
		if _, err := fmt.Fprintf(a.Out, format+" (type %q to confirm): ", append(args, word)...); err != nil {
			return err
		}
		answer, err := a.answer(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			_, _ = fmt.Fprintln(a.Out)
			return errCancelled
		}
		if answer == word {
			return nil
		}
	}
}
