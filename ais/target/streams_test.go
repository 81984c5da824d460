package target_test

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/transport"
)

// TestStreamsBetweenTargets: messages go from one target to another over the
// intra-data network, small and large, in memory and by sendfile, and are
// counted where operators look.
func TestStreamsBetweenTargets(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2, Signed: true})
	from, to := c.Targets[0], c.Targets[1]
	stop, err := to.Streams.Receive("test", func(_ context.Context, m *transport.Incoming) ([]byte, error) {
		sum := crc32.NewIEEE()
		n, err := io.Copy(sum, m)
		return fmt.Appendf(nil, "%s %s %d %08x", m.From, m.Header, n, sum.Sum32()), err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	s := from.Streams.Open(to.ID(), "test", transport.StreamOptions{})
	for i, size := range []int{0, 5, 4096, 3 << 20} {
		data := bytes.Repeat([]byte{byte('a' + i)}, size)
		path := filepath.Join(t.TempDir(), "body")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, selfVerifying := range []bool{false, true} {
			answers := make(chan string, 1)
			m := &transport.Message{
				Header: []byte("header"), Size: int64(size), SelfVerifying: selfVerifying,
				Open: func() (io.ReadCloser, error) { return os.Open(path) },
				Done: func(answer []byte, err error) { answers <- fmt.Sprintf("%s %v", answer, err) },
			}
			if err := s.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("%s header %d %08x <nil>", from.ID(), size, crc32.ChecksumIEEE(data))
			if answer := <-answers; answer != want {
				t.Errorf("answer %q, want %q", answer, want)
			}
		}
	}
	// Who cannot sign gets no stream.
	expect(t, http.StatusForbidden, strict, http.MethodPost, to.Snode().IntraData.URL+"/v1/intra/streams/1?incarnation=1", nil,
		"Ais-Caller-Id: "+from.ID(), "Connection: Upgrade", "Upgrade: ais-streams")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if v := from.Metrics().Tracker(); v["stream.out.n"] != 8 || v["stream.out.size"] != 2*(5+4096+3<<20) || v["stream.conn.n"] != 1 || v["stream.open.n"] != 0 {
		t.Errorf("metrics of the sender: %v", v)
	}
	if v := to.Metrics().Tracker(); v["stream.in.n"] != 8 || v["stream.in.size"] != 2*(5+4096+3<<20) {
		t.Errorf("metrics of the receiver: %v", v)
	}
}

// TestStreamSettings: what operators set in section "transport" has its effect.
func TestStreamSettings(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2, Config: func(c *config.Cluster) {
		c.Transport.MaxHeaderSize, c.Transport.IdleTeardown, c.Transport.BurstBuffer = 512, unit.Duration(time.Second), 256
		c.Features |= feature.LZ4Block1MB | feature.LZ4FrameChecksum
	}})
	from, to := c.Targets[0], c.Targets[1]
	hold := make(chan struct{})
	stop, err := to.Streams.Receive("test", func(_ context.Context, m *transport.Incoming) ([]byte, error) {
		_, err := io.Copy(io.Discard, m)
		<-hold
		return nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	s := from.Streams.Open(to.ID(), "test", transport.StreamOptions{Compress: true})
	if err := s.Send(t.Context(), &transport.Message{Header: make([]byte, 513)}); err == nil || !strings.Contains(err.Error(), "transport.max_header allows 512") {
		t.Errorf("a header of 513 bytes: %v", err)
	}
	data := bytes.Repeat([]byte("compressible "), 100_000)
	verdicts := make(chan error, 256)
	for range 256 {
		m := &transport.Message{Done: func(_ []byte, err error) { verdicts <- err }}
		if s.Pending() == 0 {
			m.Size, m.Open = int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
		}
		if err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Send(ctx, &transport.Message{}); err == nil {
		t.Error("burst_buffer has no effect: 257 messages are without a verdict")
	}
	close(hold)
	for range 256 {
		if err := <-verdicts; err != nil {
			t.Fatal(err)
		}
	}
	v := from.Metrics().Tracker()
	if v["stream.raw.size"] != int64(len(data)) || v["stream.packed.size"] == 0 || v["stream.packed.size"] > v["stream.raw.size"]/10 {
		t.Errorf("%d bytes were compressed to %d", v["stream.raw.size"], v["stream.packed.size"])
	}
	eventually(t, "idle connections end after idle_teardown", func() bool { return from.Metrics().Tracker()["stream.conn.n"] == 0 })
	s.Abort(transport.ErrClosed)
}

// TestStreamsAreForTargets: what else knocks at the stream endpoint is told why not.
func TestStreamsAreForTargets(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2})
	at := c.Targets[1].Snode().IntraData.URL + "/v1/intra/streams/"
	target, proxy := "Ais-Caller-Id: "+c.Targets[0].ID(), "Ais-Caller-Id: "+c.Proxies[0].ID()
	upgrade := []string{"Connection: Upgrade", "Upgrade: ais-streams"}
	for _, bad := range []struct {
		status        int
		path, caller  string
		body, message string
		plain         bool
	}{
		{400, "2?incarnation=1", target, "", "version \"2\"", false},
		{400, "1?incarnation=0", target, "", "incarnation=\"0\"", false},
		{400, "1?incarnation=xyz", target, "", "hexadecimal", false},
		{400, "1", target, "", "hexadecimal", false},
		{400, "1?incarnation=1", target, "", "Upgrade: ais-streams", true},
		{400, "1?incarnation=1", target, "a body", "without a body", false},
		{403, "1?incarnation=1", proxy, "", "streams are for targets", false},
		{403, "1?incarnation=1", "Ais-Caller-Id: unknown", "", "not a node of this cluster", false},
	} {
		headers := []string{bad.caller}
		if !bad.plain {
			headers = append(headers, upgrade...)
		}
		res, body := expect(t, bad.status, strict, http.MethodPost, at+bad.path, strings.NewReader(bad.body), headers...)
		if m := message(t, res, body); !strings.Contains(m.Message, bad.message) {
			t.Errorf("%s: message %q, want one with %q", bad.path, m.Message, bad.message)
		}
	}
}
