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
	dump                                      string // where headers go: "-" is stdout
	headers                                   []string
	follow, head, include, fail               bool
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
		if o.showHead() {
			return printHead(out, req.Response)
		}
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	if o.showHead() {
		if err := printHead(out, resp); err != nil {
			return err
		}
	}
	failed := o.fail && resp.StatusCode >= http.StatusBadRequest
	if failed {
		out = io.Discard
	}
	_, err = io.Copy(out, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	text := strings.NewReplacer("%{http_code}", strconv.Itoa(resp.StatusCode), `\n`, "\n").Replace(o.format)
	_, err = io.WriteString(os.Stdout, text)
	if failed {
		err = errors.Join(err, fmt.Errorf("the server answers %s", resp.Status))
	}
	return err
}

func (o *options) showHead() bool { return o.head || o.include || o.dump == "-" }

func parse(args []string) (o options, err error) {
	withValue := map[byte]*string{'X': &o.method, 'd': &o.data, 'T': &o.upload, 'o': &o.output, 'w': &o.format, 'D': &o.dump}
	switches := map[byte]*bool{'s': new(bool), 'L': &o.follow, 'I': &o.head, 'i': &o.include, 'f': &o.fail}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if len(arg) < 2 || arg[0] != '-' {
			o.url = arg
			continue
		}
		for i := 1; i < len(arg); i++ { // several in one: -sL
			if on, ok := switches[arg[i]]; ok {
				*on = true
				continue
			}
			value, known := withValue[arg[i]]
			switch {
			case !known && arg[i] != 'H':
				return o, fmt.Errorf("option %s is not understood", arg)
			case i+1 < len(arg) || len(args) == 0:
				return o, fmt.Errorf("%s needs a value, as an argument of its own", arg)
			case known:
				*value = args[0]
			default:
				o.headers = append(o.headers, args[0])
			}
			args = args[1:]
		}
	}
	return o, nil
}

func (o *options) request() (*http.Request, error) {
	method, body := http.MethodGet, o.data
	switch {
	case o.head:
		method = http.MethodHead
	case o.upload != "":
		from := "/dev/stdin"
		if o.upload != "-" {
			from = o.upload
		}
		data, err := os.ReadFile(from)
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
