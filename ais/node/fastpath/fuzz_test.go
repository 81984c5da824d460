package fastpath

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// seeds are streams that have told servers apart.
var seeds = []string{
	conversation,
	"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\ncontent-length: 4\r\n\r\nabcd",
	"PUT /fast/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0004\r\n\r\nabcdGET /fast/x HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd\r\nGET /fast/x HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /fast/x HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\n\nGET /fast/x HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n A: b\r\n\r\n",
	"GET / HTTP/1.1\r\n A: b\r\nHost: a\r\n\r\n",
	"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
	"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /\x80%zz?# HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\nGET /fast/x HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
	"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
	"GET http://a/fast/x HTTP/1.1\r\nHost: b\r\n\r\n",
	"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
	"00 /0000000 HTTP/1.1\r\nHost:00\r\n\r\n0",
	"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b",
	"0 /0 HTTP/1.1\r\nHost:0000\r\n\r\n0\n",
	"POST /0 HTTP/1.1\r\nHost:0000\r\n\r\n\r\r",
	"POST /M HTTP/1.1\r\nHost:000:\r\n\r\n\n\r\xff\r",
	"POST /M HTTP/1.1\r\nHost:0\r\n\r\n\n\xff",
	"POST /M HTTP/1.1\r\nHost:0\r\n\r\n\r\n\r\n\xff",
}

// FuzzParse: what the parser takes, http.ReadRequest takes, and in the same
// way: method, target, fields, length, and where the header ends.
func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var q Request
		v := q.parse(data, 0)
		for cut := range min(len(data), 64) { // it does not matter how it comes
			var again Request
			if early := again.parse(data[:cut], 0); early == simple || early == ordinary {
				if again.size > cut {
					t.Fatal("the header ends behind the data")
				}
				break
			}
		}
		if v != simple && v != ordinary {
			return
		}
		in := bufio.NewReader(bytes.NewReader(data))
		r, err := http.ReadRequest(in)
		if err != nil {
			if v == simple && !strings.Contains(err.Error(), "invalid URL escape") {
				t.Fatalf("net/http: %v", err)
			}
			return // it is handed over
		}
		rest, err := io.ReadAll(in)
		if err != nil || len(data)-len(rest) != q.size {
			t.Fatalf("the header ends at %d, net/http says %d", q.size, len(data)-len(rest))
		}
		if r.RequestURI != string(q.Target) || r.Host != string(q.Host) || r.Proto != "HTTP/1.1" {
			t.Fatalf("%q %q, net/http says %q %q", q.Target, q.Host, r.RequestURI, r.Host)
		}
		chunked := len(r.TransferEncoding) > 0
		if !chunked && r.ContentLength != q.ContentLength || chunked && v == simple || len(r.Trailer) > 0 || r.Header["Expect"] != nil || r.Header["Upgrade"] != nil {
			t.Fatalf("length %d, net/http says %d %q", q.ContentLength, r.ContentLength, r.TransferEncoding)
		}
		if v == simple {
			if want := map[Method]string{Get: "GET", Head: "HEAD", Put: "PUT"}[q.Method]; r.Method != want || r.Close {
				t.Fatalf("method %q, want %q; close %v", r.Method, want, r.Close)
			}
			for name, value := range map[string][]byte{"Range": q.Range, "Ais-Smap-Version": q.SmapVersion, "Ais-Checksum-Type": q.ChecksumType, "Ais-Checksum-Value": q.ChecksumValue} {
				if len(r.Header[name]) > 1 || r.Header.Get(name) != string(value) {
					t.Fatalf("%s is %q, net/http says %q", name, value, r.Header[name])
				}
			}
		}
	})
}

// FuzzLoopAgainstNetHTTP sends a stream to the loop and to net/http: both must
// see the same requests with the same bodies, and end at the same place.
func FuzzLoopAgainstNetHTTP(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	handler := http.HandlerFunc(describe)
	r := start(f, handler, nil)
	r.SetFast(describing{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	reference := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = reference.Serve(ln) }() // it is closed below
	f.Cleanup(func() { _ = reference.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		ours, theirs := replies(t, r.address, data), replies(t, ln.Addr().String(), data)
		if ours != theirs {
			t.Fatalf("%q\nthe loop:\n%s\nnet/http:\n%s", data, ours, theirs)
		}
	})
}

// describing answers like describe.
type describing struct{}

func (describing) ServeFast(c *Conn, r *Request) Outcome {
	if len(r.Target)%2 == 1 { // some go the other way
		return Slow
	}
	if !c.BodyReady() {
		return c.Await()
	}
	q, err := http.ReadRequest(bufio.NewReader(strings.NewReader(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n\r\n",
		map[Method]string{Get: "GET", Head: "HEAD", Put: "PUT"}[r.Method], r.Target, r.Host))))
	if err != nil {
		return Slow
	}
	q.ContentLength = r.ContentLength
	for name, value := range map[string][]byte{"Range": r.Range, "Ais-Smap-Version": r.SmapVersion} {
		if value != nil {
			q.Header[name] = []string{string(value)}
		}
	}
	q.Body = io.NopCloser(c.Body())
	w := &recorder{}
	describe(w, q)
	header := AppendField(c.AppendStatus(c.Header(), "200 OK"), "Content-Type", "text/plain; charset=utf-8")
	header = append(AppendField(header, "Content-Length", fmt.Sprint(w.Len())), "\r\n"...)
	if r.Method == Head {
		return c.Reply(header, nil)
	}
	return c.Reply(header, w.Bytes())
}

type recorder struct{ bytes.Buffer }

func (*recorder) Header() http.Header { return nil }
func (*recorder) WriteHeader(int)     {}

// replies sends all at once and shows the answers.
func replies(t *testing.T, address string, data []byte) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(data) // it may be refused early
	_ = conn.(*net.TCPConn).CloseWrite()
	in := bufio.NewReader(conn)
	var shown strings.Builder
	for {
		line, err := in.Peek(12)
		if err != nil {
			fmt.Fprintf(&shown, "end")
			return shown.String()
		}
		if string(line[9:12]) == "100" {
			_, _ = in.Discard(len("HTTP/1.1 100 Continue\r\n\r\n"))
			continue
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			fmt.Fprintf(&shown, "%v", err)
			return shown.String()
		}
		if res.Header.Get("Content-Length") != "" && strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
			// HEAD has no content, and the answer does not say whose it is.
			if next, err := in.Peek(5); err != nil || string(next) == "HTTP/" {
				fmt.Fprintf(&shown, "%s length %d\n", res.Status, res.ContentLength)
				continue
			}
		}
		body, err := io.ReadAll(res.Body)
		if errors.Is(err, syscall.ECONNRESET) {
			err = nil // net/http closes at once what it has refused: whether its end or that of the rest comes first is a race
		}
		fmt.Fprintf(&shown, "%s %s %v\n", res.Status, body, err)
	}
}
