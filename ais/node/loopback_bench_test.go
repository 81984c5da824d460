package node

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
)

// BenchmarkLoopback is one small GET over one kept connection, client
// included: the floor of everything that goes through a listener.
func BenchmarkLoopback(b *testing.B) {
	n := newTestNode(b, meta.RoleTarget, "target001", nil)
	join(b, newTestNode(b, meta.RoleProxy, "proxy0001", nil), n)
	body, octets, length := make([]byte, 4096), []string{"application/octet-stream"}, []string{"4096"}
	withObjects(n, func(w http.ResponseWriter, r *http.Request) error {
		if PathItems(r).Count != 4 {
			return errStarting
		}
		h := w.Header()
		h["Content-Type"], h["Content-Length"] = octets, length
		_, err := w.Write(body)
		return err
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.Snode().Public.URL, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	request := []byte("GET /v1/objects/bucket/some/object HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n")
	in := bufio.NewReaderSize(conn, 16<<10)
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
}
