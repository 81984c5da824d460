package fastpath

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// answers are handlers whose answers must be those of net/http.
func answers(file string) map[string]http.HandlerFunc {
	large := bytes.Repeat([]byte("abcdefgh"), 100<<10)
	return map[string]http.HandlerFunc{
		"/nothing": func(http.ResponseWriter, *http.Request) {},
		"/short":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>short") },
		"/typed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			fmt.Fprint(w, "x")
		},
		"/untyped": func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil; fmt.Fprint(w, "x") },
		"/encoded": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "x")
		},
		"/long":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) },
		"/pieces": func(w http.ResponseWriter, _ *http.Request) { pieces(w, large) },
		"/strings": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "one")
			_, _ = io.WriteString(w, "two")
		},
		"/flushed": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "a")
			w.(http.Flusher).Flush()
			fmt.Fprint(w, "b")
		},
		"/announce": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "819200")
			pieces(w, large)
		},
		"/204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"/304": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Etag", "x")
			w.WriteHeader(304)
		},
		"/204write": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic("no error")
			}
		},
		"/toolong": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			_, _ = w.Write([]byte("abc"))
			if _, err := w.Write([]byte("d")); !errors.Is(err, http.ErrContentLength) {
				panic("no error")
			}
		},
		"/breaks": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", "a\r\nB: c")
			w.Header()["Bad Name"] = []string{"x"}
		},
		"/hints": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "x")
			w.WriteHeader(103)
			fmt.Fprint(w, "end")
		},
		"/twice": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			w.Header().Set("Late", "x")
			w.WriteHeader(500)
		},
		"/unknown": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599) },
		"/error":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 404) },
		"/reader":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, bytes.NewReader(large)) },
		"/file": func(w http.ResponseWriter, _ *http.Request) {
			f, err := os.Open(file)
			if err != nil {
				panic(err)
			}
			defer func() { _ = f.Close() }()
			w.Header().Set("Content-Length", "1000000")
			w.Header().Set("Content-Type", "a/b")
			if n, err := io.CopyN(w, f, 1000000); n != 1000000 || err != nil {
				panic(err)
			}
		},
		"/deadlines": func(w http.ResponseWriter, _ *http.Request) {
			c := http.NewResponseController(w)
			if err := errors.Join(c.EnableFullDuplex(), c.SetReadDeadline(time.Now().Add(time.Minute)), c.SetWriteDeadline(time.Now().Add(time.Minute))); err != nil {
				panic(err)
			}
			fmt.Fprint(w, "x")
		},
	}
}

func pieces(w io.Writer, p []byte) {
	for n := 1; len(p) > 0; n = n*3 + 1 {
		n = min(n, len(p))
		_, _ = w.Write(p[:n]) // the client tells
		p = p[n:]
	}
}

// TestAnswersAreThoseOfNetHTTP: status, fields, content and whether the
// connection goes on.
func TestAnswersAreThoseOfNetHTTP(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	r := start(t, mux, nil)
	all := answers(r.file.Name())
	for path, h := range all {
		mux.HandleFunc(path, h)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reference := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = reference.Serve(ln) }() // it is closed below
	t.Cleanup(func() { _ = reference.Close() })
	for path := range all {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			if method == "POST" && path == "/deadlines" {
				continue // net/http does not go on after an answer before the body
			}
			t.Run(method+path, func(t *testing.T) {
				t.Parallel()
				ours, theirs := converse(t, r.address, method, path), converse(t, ln.Addr().String(), method, path)
				if ours != theirs {
					t.Errorf("\n%.600s\nnet/http:\n%.600s", ours, theirs)
				}
			})
		}
	}
}

// converse asks twice on one connection and shows what came.
func converse(t *testing.T, address, method, path string) (shown string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for range 2 {
		body := "\r\n"
		if method == "POST" {
			body = "Content-Length: 3\r\n\r\nabc"
		}
		if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: h\r\n%s", method, path, body); err != nil {
			return shown + "write: gone"
		}
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return shown + "read: gone"
		}
		content, err := io.ReadAll(res.Body)
		maps.DeleteFunc(res.Header, func(name string, _ []string) bool { return name == "Date" })
		shown += fmt.Sprintf("%s %v length %d %q close %v: %d bytes, %x, %v\n", res.Status, res.Header, res.ContentLength, res.TransferEncoding, res.Close, len(content), content[:min(20, len(content))], err)
	}
	return shown
}

func TestFileBySendfile(t *testing.T) {
	t.Parallel()
	r := start(t, http.HandlerFunc(describe), nil)
	conn := r.dial(t)
	in := bufio.NewReader(conn)
	for range 3 {
		say(t, conn, "GET /fast/file HTTP/1.1\r\nHost: h\r\n\r\n")
		if _, body := hear(t, in, "GET"); body != string(r.content) {
			t.Fatalf("%d bytes, want those of the file", len(body))
		}
	}
}
