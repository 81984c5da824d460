package node

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

// TestBodiesThatNobodyReads: whatever a handler leaves of a body, the next
// request on the connection is answered, or the connection ends; it is never
// taken for a request, and nobody waits for it for long.
func TestBodiesThatNobodyReads(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	crt, key := ca.issue(t, "node", 2)
	for way, change := range map[string]func(*Options){
		"the loop": func(o *Options) { o.Env.HTTPLoopOff = false },
		"net-http": func(o *Options) { o.Env.HTTPLoopOff = true },
		"TLS": func(o *Options) {
			o.Cluster.Net.HTTP.UseHTTPS, o.Cluster.Net.HTTP.Certificate, o.Cluster.Net.HTTP.CertKey = true, crt, key
		},
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			n := newTestNode(t, meta.RoleTarget, "target001", change)
			join(t, newTestNode(t, meta.RoleProxy, "proxy0001", change), n)
			var smuggled atomic.Int32
			withObjects(n, func(w http.ResponseWriter, r *http.Request) error {
				name := PathItems(r).Items[3]
				if name != "late" {
					objreq.Early(w, r)
				}
				switch name {
				case "smuggled":
					smuggled.Add(1)
				case "fails":
					return apierr.BadRequest("no")
				case "part":
					_, _ = io.ReadFull(r.Body, make([]byte, 3)) // as much as there is
				}
				w.Header()["Content-Length"] = []string{"2"}
				_, err := io.WriteString(w, "ok")
				return err
			})
			url := n.Snode().Public.URL
			var waits []func()
			for _, name := range []string{"early", "late", "fails", "part"} {
				for _, framing := range []string{"Content-Length: 60\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"} {
					u := unread{t: t, url: url, ca: ca, name: name, framing: framing}
					waits = append(waits, u.neverSent())
					u.sentAtOnce()
					if name == "early" || name == "fails" {
						u.sentAfterTheAnswer()
					}
				}
			}
			for _, wait := range waits {
				wait()
			}
			if k := smuggled.Load(); k > 0 {
				t.Errorf("%d bodies were taken for requests", k)
			}
		})
	}
}

// unread is one kind of request whose body is left.
type unread struct {
	t             *testing.T
	url           string
	ca            *authority
	name, framing string
}

// body is one that looks like a request.
func (u *unread) body() string {
	b := fmt.Sprintf("%-60s", "GET /v1/objects/b/smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
	if strings.HasPrefix(u.framing, "Transfer") {
		return "3c\r\n" + b + "\r\n0\r\n\r\n"
	}
	return b
}

func (u *unread) dial() (net.Conn, *bufio.Reader) {
	u.t.Helper()
	conn, err := net.Dial("tcp", u.url[strings.LastIndexByte(u.url, '/')+1:])
	if err != nil {
		u.t.Fatal(err)
	}
	if strings.HasPrefix(u.url, "https") {
		conn = tls.Client(conn, &tls.Config{RootCAs: u.ca.pool(), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	}
	u.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		u.t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func (u *unread) say(conn net.Conn, text string) {
	u.t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		u.t.Fatal(err)
	}
}

func (u *unread) head() string {
	return "PUT /v1/objects/b/" + u.name + " HTTP/1.1\r\nHost: x\r\n" + u.framing
}

func (u *unread) hear(in *bufio.Reader) {
	u.t.Helper()
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		u.t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if want := map[bool]int{true: 400, false: 200}[u.name == "fails"]; err != nil || res.StatusCode != want || res.Close {
		u.t.Fatalf("%s, %.20q: %s %v %q, %v", u.name, u.framing, res.Status, res.Header, text, err)
	}
}

func (u *unread) sentAtOnce() {
	conn, in := u.dial()
	for range 3 {
		u.say(conn, u.head()+u.body())
		u.hear(in)
	}
}

func (u *unread) sentAfterTheAnswer() {
	conn, in := u.dial()
	u.say(conn, u.head())
	for range 3 {
		u.hear(in)
		u.say(conn, u.body()+u.head())
	}
	u.hear(in)
}

// neverSent: a part of the body comes, the rest does not. What it returns waits
// until the connection has ended.
func (u *unread) neverSent() (wait func()) {
	conn, in := u.dial()
	u.say(conn, u.head()+u.body()[:55])
	return func() {
		_, err := io.Copy(io.Discard, in)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			u.t.Errorf("%s, %.20q: the connection stays, and waits for the body", u.name, u.framing)
		}
	}
}
