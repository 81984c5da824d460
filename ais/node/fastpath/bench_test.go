package fastpath

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	buf := []byte("GET /v1/objects/bucket/dir/train-000123.tar?provider=ais&pid=p1&utm=1000000&vpams=1.0000000000000000 HTTP/1.1\r\n" +
		"Host: 10.0.0.7:8081\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\nReferer: http://10.0.0.1:8080/v1/objects/bucket/dir/train-000123.tar\r\n\r\n")
	var r Request
	b.ReportAllocs()
	for b.Loop() {
		if r.parse(buf, 0) != simple {
			b.Fatal("not of the closed grammar")
		}
	}
}

// BenchmarkLoop is one small GET over a kept connection, client included:
// through a Fast handler, through the ordinary one, and net/http alone.
func BenchmarkLoop(b *testing.B) {
	length := []string{"4096"}
	content := make([]byte, 4096)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Content-Type"], h["Content-Length"] = []string{"application/octet-stream"}, length
		_, _ = w.Write(content) // the client tells
	})
	r := start(b, handler, nil)
	r.SetFast(fastBench{content})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	alone := &http.Server{Handler: handler}
	go func() { _ = alone.Serve(ln) }() // it is closed below
	b.Cleanup(func() { _ = alone.Close() })
	for _, way := range []struct{ name, address, path string }{
		{"fast", r.address, "/fast"}, {"ordinary", r.address, "/slow"}, {"net-http", ln.Addr().String(), "/slow"},
	} {
		b.Run(way.name, func(b *testing.B) {
			conn, err := net.Dial("tcp", way.address)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			in := bufio.NewReaderSize(conn, 16<<10)
			request := []byte("GET " + way.path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				for { // header
					line, err := in.ReadSlice('\n')
					if err != nil {
						b.Fatal(err)
					}
					if len(line) == 2 {
						break
					}
				}
				if _, err := io.CopyN(io.Discard, in, 4096); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type fastBench struct{ content []byte }

func (f fastBench) ServeFast(c *Conn, r *Request) Outcome {
	if string(r.Path) != "/fast" {
		return Slow
	}
	header := c.AppendStatus(c.Header(), "200 OK")
	header = append(header, "Content-Type: application/octet-stream\r\nContent-Length: 4096\r\n\r\n"...)
	return c.Reply(header, f.content)
}
