package commands

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/aistore-go/aistore/api"
)

// Colours of a terminal.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	plain  = "\x1b[0m"
)

// lockedWriter lets workers print whole lines side by side.
type lockedWriter struct {
	lock   sync.Mutex
	writer io.Writer
}

func (w *lockedWriter) Write(data []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.writer.Write(data)
}

// paint colours text if it goes to a terminal and colours are wanted.
func (a *App) paint(colour, text string, terminal bool) string {
	if !terminal || a.config == nil || a.config.NoColor {
		return text
	}
	return colour + text + plain
}

// say prints a line of result.
func (a *App) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.Out, format+"\n", args...)
	return err
}

// done prints a line that tells of success.
func (a *App) done(format string, args ...any) error {
	_, err := fmt.Fprintln(a.Out, a.paint(green, fmt.Sprintf(format, args...), a.OutIsTerminal))
	return err
}

// warn prints a warning on stderr; that it cannot be printed changes nothing.
func (a *App) warn(format string, args ...any) {
	_, _ = fmt.Fprintln(a.Err, a.paint(cyan, "Warning:", a.ErrIsTerminal)+" "+fmt.Sprintf(format, args...))
}

// note prints a remark on stderr.
func (a *App) note(format string, args ...any) {
	_, _ = fmt.Fprintln(a.Err, a.paint(yellow, "Note:", a.ErrIsTerminal)+" "+fmt.Sprintf(format, args...))
}

// printJSON prints a value as the server has it, indented.
func (a *App) printJSON(value any) error {
	encoder := json.NewEncoder(a.Out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "    ")
	return encoder.Encode(value)
}

// printError prints the one line that ends a failed run, and perhaps a hint.
func (a *App) printError(err error) {
	if errors.Is(err, errReported) {
		return
	}
	var usage *usageError
	var server *api.Error
	message, hint := err.Error(), ""
	switch {
	case errors.As(err, &usage):
		hint = usage.hint
	case api.IsUnreachable(err) && a.client != nil:
		message = fmt.Sprintf("AIStore cannot be reached at %s: %v", a.client.URL(), rootCause(err))
		hint = "make sure that the cluster is running, and that the environment variable AIS_ENDPOINT or 'ais config cli' names one of its proxies"
	case errors.As(err, &server):
		if server.Status == http.StatusUnauthorized && strings.Contains(strings.ToLower(server.Message), "token") {
			hint = "run 'ais auth login', or set AIS_AUTHN_TOKEN"
		}
		if a.config != nil && a.config.Verbose {
			message += fmt.Sprintf(" (%s %s, %s, status %d)", server.Method, server.URLPath, server.Node, server.Status)
		}
	}
	if api.TypeCode(err) == "" {
		message = a.paint(red, "Error:", a.ErrIsTerminal) + " " + message
	}
	_, _ = fmt.Fprintln(a.Err, strings.TrimRight(message, "\n"))
	if hint != "" {
		_, _ = fmt.Fprintln(a.Err, hint)
	}
}

// rootCause is the innermost error, without the URL and the method.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
