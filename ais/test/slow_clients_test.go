package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestManySlowClients holds many transfers open that do not move.
func TestManySlowClients(t *testing.T) {
	c := startCluster(t, 1, 1)
	createBucket(t, c.nodes[0], "b", `{"durability":"none"}`)
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "large"), strings.Repeat("x", 16*mib))
	must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "b", "large"), "")
	n, clients := c.nodes[1], 100
	before := anonymous(t, c.nodes...)
	half := strings.Repeat("y", mib)
	var conns []net.Conn
	for i := range clients {
		get, put := dial(t, n), dial(t, n)
		conns = append(conns, get, put)
		for _, conn := range []net.Conn{get, put} {
			if err := conn.SetDeadline(time.Now().Add(stepTimeout)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(get, "GET /v1/objects/b/large HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_, err := fmt.Fprintf(put, "PUT /v1/objects/b/slow%d?%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", i, c.marker("b", fmt.Sprintf("slow%d", i)), 16*mib, half)
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < len(conns); i += 2 { // every answer has begun
		if _, err := io.ReadFull(conns[i], make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	grown := anonymous(t, c.nodes...) - before
	t.Logf("%d readers and %d writers that stand still: anonymous memory grew by %d KiB", clients, clients, grown>>10)
	if grown > 64*mib {
		t.Errorf("anonymous memory grew by %d MiB, more than 64", grown/mib)
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "b", "large"), "")
}
