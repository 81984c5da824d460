package proxy_test

import (
	"bufio"
	"net"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
)

// BenchmarkRedirect is one redirect over a kept connection, client included.
func BenchmarkRedirect(b *testing.B) {
	c := aistest.New(b, aistest.Options{})
	address := strings.TrimPrefix(c.Proxies[0].URL(), "http://")
	setup, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = setup.Close() }()
	in := bufio.NewReaderSize(setup, 16<<10)
	ask := func(request string) {
		if _, err := setup.Write([]byte(request)); err != nil {
			b.Fatal(err)
		}
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 2 {
				return
			}
		}
	}
	ask("POST /v1/buckets/b HTTP/1.1\r\nHost: h\r\nContent-Length: 23\r\n\r\n{\"action\":\"create-bck\"}")
	get := "GET /v1/objects/b/dir/train-000123.tar?provider=ais HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n"
	b.ReportAllocs()
	for b.Loop() {
		ask(get)
	}
}
