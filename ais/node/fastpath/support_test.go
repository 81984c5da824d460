package fastpath

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testConn is what the listener of a test accepts.
type testConn struct {
	*net.TCPConn
	replay []byte
}

func (c *testConn) TCP() *net.TCPConn  { return c.TCPConn }
func (c *testConn) Replay(head []byte) { c.replay = head }
func (c *testConn) Read(p []byte) (int, error) {
	if len(c.replay) > 0 {
		n := copy(p, c.replay)
		c.replay = c.replay[n:]
		return n, nil
	}
	return c.TCPConn.Read(p)
}

type testListener struct{ net.Listener }

func (l testListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &testConn{TCPConn: conn.(*net.TCPConn)}, nil
}

// rig is a server under test.
type rig struct {
	*Server
	address string
	content []byte   // of file
	file    *os.File // served as /fast/file and /file
}

// start starts a server with the handlers of a test; change may alter its
// options. It ends with the test.
func start(tb testing.TB, handler http.Handler, change func(*Options)) *rig {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	o := Options{
		Handler: handler, HeaderTimeout: 10 * time.Second, IdleTimeout: 20 * time.Second,
		Fail:        func(w http.ResponseWriter, _ *http.Request, err error) { http.Error(w, err.Error(), 500) },
		SendTimeout: func() time.Duration { return 10 * time.Second },
		Progress:    Progress{Bytes: 1 << 10, Within: 10 * time.Second},
	}
	if change != nil {
		change(&o)
	}
	r := &rig{Server: New(testListener{ln}, o), address: ln.Addr().String(), content: bytes.Repeat([]byte("0123456789abcdef"), 128<<10)}
	path := filepath.Join(tb.TempDir(), "content")
	if err := os.WriteFile(path, r.content, 0o600); err != nil {
		tb.Fatal(err)
	}
	if r.file, err = os.Open(path); err != nil {
		tb.Fatal(err)
	}
	r.SetFast(fastTest{r})
	second := &http.Server{Handler: handler, ReadHeaderTimeout: o.HeaderTimeout, MaxHeaderBytes: 32 << 10}
	ended := make(chan error, 2)
	go func() { ended <- r.Serve() }()
	go func() { ended <- second.Serve(r.Outgoing()) }()
	tb.Cleanup(func() {
		r.Close()
		_ = second.Close()
		for range 2 {
			if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
				tb.Error(err)
			}
		}
		_ = r.file.Close()
	})
	return r
}

// fastTest answers what is below /fast/.
type fastTest struct{ r *rig }

func (f fastTest) ServeFast(c *Conn, r *Request) Outcome {
	path := string(r.Path)
	if !strings.HasPrefix(path, "/fast/") {
		return Slow
	}
	switch path {
	case "/fast/slow":
		return Slow
	case "/fast/fail":
		return c.Fail(errors.New("it failed"))
	case "/fast/panic":
		panic("on purpose")
	case "/fast/early":
		return c.Reply(append(c.AppendStatus(c.Header(), "200 OK"), "Content-Length: 0\r\n\r\n"...), nil)
	case "/fast/file":
		header := c.AppendStatus(c.Header(), "200 OK")
		header = AppendField(header, "Content-Length", fmt.Sprint(len(f.r.content)))
		outcome, err := c.ReplyFile(append(header, "\r\n"...), f.r.file.Fd(), nil, 0, int64(len(f.r.content)))
		if err != nil {
			return Broken
		}
		return outcome
	}
	text := "fast " + string(r.Target)
	if r.Method == Put {
		if !c.BodyReady() {
			return c.Await()
		}
		sum := crc32.NewIEEE()
		n, err := io.Copy(sum, c.Body())
		if err != nil {
			return c.Fail(err)
		}
		text += fmt.Sprintf(" %d %08x", n, sum.Sum32())
	}
	header := AppendField(c.AppendStatus(c.Header(), "200 OK"), "Content-Length", fmt.Sprint(len(text)))
	header = append(header, "\r\n"...)
	if r.Method == Head {
		return c.Reply(header, nil)
	}
	return c.Reply(header, []byte(text))
}

// describe answers with what was asked, whatever it is.
func describe(w http.ResponseWriter, r *http.Request) {
	sum := crc32.NewIEEE()
	n, err := io.Copy(sum, r.Body)
	failure := ""
	if err != nil {
		failure = "damaged"
	}
	fmt.Fprintf(w, "%s %q host=%q length=%d read=%d %08x %s %q", r.Method, r.RequestURI, r.Host, r.ContentLength, n, sum.Sum32(), failure, r.TransferEncoding)
	for _, name := range []string{"A", "Range", "Ais-Smap-Version"} {
		fmt.Fprintf(w, " %q", r.Header[name])
	}
}

// dial connects to the server; the connection has a deadline.
func (r *rig) dial(tb testing.TB) *net.TCPConn {
	tb.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// say writes a request, or a part of one.
func say(tb testing.TB, conn net.Conn, text string) {
	tb.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		tb.Fatal(err)
	}
}

// hear reads one answer.
func hear(tb testing.TB, in *bufio.Reader, method string) (*http.Response, string) {
	tb.Helper()
	res, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		tb.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return res, string(body)
}

// ask does one request on a connection of its own that the client closes for
// writing, and returns all that comes.
func (r *rig) ask(tb testing.TB, text string) string {
	tb.Helper()
	conn := r.dial(tb)
	say(tb, conn, text)
	_ = conn.CloseWrite()
	all, err := io.ReadAll(conn)
	if err != nil {
		tb.Fatal(err)
	}
	return string(all)
}

// eventually waits for a condition.
func eventually(tb testing.TB, what string, met func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("%s: not in time", what)
		}
	}
}
