// Command minicurl understands the few options of curl that the pages of
// docs/ use, so that their examples can be tested where curl is missing.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
)

type options struct {
	url, method, data, upload, output, format string
	headers                                   []string
	follow, head                              bool
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "minicurl:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	req, err := o.request()
	if err != nil {
		return err
	}
	out := io.Writer(os.Stdout)
	if o.output == "/dev/null" {
		out = io.Discard
	}
	client := &http.Client{CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if !o.follow {
			return http.ErrUseLastResponse
		}
		if o.head {
			return printHead(out, req.Response)
		}
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	if o.head {
		if err := printHead(out, resp); err != nil {
			return err
		}
	}
	_, err = io.Copy(out, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	text := strings.NewReplacer("%{http_code}", strconv.Itoa(resp.StatusCode), `\n`, "\n").Replace(o.format)
	_, err = io.WriteString(os.Stdout, text)
	return err
}

func parse(args []string) (o options, err error) {
	withValue := map[string]*string{"-X": &o.method, "-d": &o.data, "-T": &o.upload, "-o": &o.output, "-w": &o.format}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		value, takes := withValue[arg]
		switch {
		case takes || arg == "-H":
			if i++; i == len(args) {
				return o, fmt.Errorf("%s needs a value", arg)
			}
			if takes {
				*value = args[i]
			} else {
				o.headers = append(o.headers, args[i])
			}
		case arg == "-s":
		case arg == "-L":
			o.follow = true
		case arg == "-I":
			o.head = true
		case strings.HasPrefix(arg, "-"):
			return o, fmt.Errorf("option %s is not understood", arg)
		default:
			o.url = arg
		}
	}
	return o, nil
}

func (o *options) request() (*http.Request, error) {
	method, body := http.MethodGet, o.data
	switch {
	case o.head:
		method = http.MethodHead
	case o.upload == "-":
		data, err := io.ReadAll(os.Stdin)
		if err != nil {
			return nil, err
		}
		method, body = http.MethodPut, string(data)
	case o.data != "":
		method = http.MethodPost
	}
	if o.method != "" {
		method = o.method
	}
	req, err := http.NewRequest(method, o.url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for _, h := range o.headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	return req, nil
}

// printHead prints the status line and the headers in a stable order.
func printHead(w io.Writer, resp *http.Response) error {
	if _, err := fmt.Fprintf(w, "%s %s\n", resp.Proto, resp.Status); err != nil {
		return err
	}
	var lines []string
	for name, values := range resp.Header {
		for _, v := range values {
			lines = append(lines, name+": "+v)
		}
	}
	slices.Sort(lines)
	_, err := fmt.Fprintf(w, "%s\n\n", strings.Join(lines, "\n"))
	return err
}
