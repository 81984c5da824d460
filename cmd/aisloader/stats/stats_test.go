package stats

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
)

var update = flag.Bool("update", false, "write the files of testdata anew")

var noon = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)

// part is what one interval of a mixed run counts.
func part(seconds int) *load.Result {
	r := &load.Result{Elapsed: time.Duration(seconds) * time.Second}
	add := func(kind int, operations int, size int64, least time.Duration) {
		for i := range operations {
			r.Kinds[kind].Operations++
			r.Kinds[kind].Bytes += size
			r.Kinds[kind].Latency.Add(least + time.Duration(i)*time.Microsecond)
		}
	}
	add(Put, 1234, 1<<20, time.Millisecond)
	add(Multipart, 2, 100<<20, time.Second)
	add(Get, 12345, 4096, 100*time.Microsecond)
	add(Download, 1, 3<<30, 12*time.Second)
	r.Kinds[Get].Errors = 3
	r.Kinds[Get].Traced = 2
	r.Kinds[Get].Hops = [2]load.Timing{{Connect: 2 * time.Millisecond, Wait: 20 * time.Microsecond}, {Wait: 40 * time.Microsecond, Response: time.Microsecond}}
	r.Pending[Put], r.Pending[Get], r.Queued = 3, 7, 11
	return r
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n%s\nwant\n%s", name, got, want)
	}
}

// report prints two intervals and their total.
func report(t *testing.T, r Reporter) {
	t.Helper()
	total := &load.Result{}
	for i := range 2 {
		p := part(10)
		for kind := range p.Kinds {
			total.Kinds[kind].Add(&p.Kinds[kind])
		}
		total.Elapsed += p.Elapsed
		if err := r.Interval(noon.Add(time.Duration(i+1)*10*time.Second), p); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Final(noon.Add(20*time.Second), total); err != nil {
		t.Fatal(err)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	report(t, NewTable(&out))
	golden(t, "table.golden", out.Bytes())
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	report(t, NewJSON(&out, noon))
	golden(t, "json.golden", out.Bytes())
	var elements []map[string]map[string]any
	if err := json.Unmarshal(out.Bytes(), &elements); err != nil {
		t.Fatal(err)
	}
	if len(elements) != 3 || elements[2]["put"]["count"] != "2468" || elements[2]["get"]["errors"] != 6.0 || elements[0]["get_batch"]["count"] != "0" {
		t.Errorf("%v", elements)
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		count(0): "0", count(999): "999", count(1000): "1,000", count(1234567): "1,234,567",
		size(0): "-", size(100): "100B", size(1536): "1.5KiB", size(5 << 30): "5.0GiB", size(3 << 50): "3.0PiB",
		speed(1<<20, 4*time.Second): "256.00KiB/s", speed(10, 0): "-",
		latency(0): "-", latency(1500): "1.500µs", latency(2500 * time.Microsecond): "2.500ms", latency(65 * time.Second): "65.000s",
		rate(10, 4*time.Second): "2.50", rate(10000, time.Second): "10,000",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestStatsd(t *testing.T) {
	t.Parallel()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s, err := NewStatsd(server.LocalAddr().String(), 7, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Send(part(10))
	if err := server.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	text := ""
	for !strings.Contains(text, "getmpdstream.throughput") {
		buf := make([]byte, 2*maxDatagram)
		n, _, err := server.ReadFrom(buf)
		if err != nil {
			t.Fatalf("%v after\n%s", err, text)
		}
		if n > maxDatagram {
			t.Errorf("a datagram of %d bytes", n)
		}
		text += string(buf[:n]) + "\n"
	}
	for _, want := range []string{"-7.put.count:1234|c\n", "-7.get.pending:7|g\n", "-7.put.minlatency:1|ms\n", "-7.get.throughput:5056512|g\n", "-7.get.latency.proxyconn:1|ms\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestStatsdProbe(t *testing.T) {
	t.Parallel()
	nobody, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := nobody.LocalAddr().String()
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewStatsd(address, 0, true); err == nil || !strings.Contains(err.Error(), "does not listen") {
		t.Errorf("nobody listens: %v", err)
	}
	s, err := NewStatsd(address, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	s.Send(part(1)) // to nobody
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestErrorsOfTheOutput(t *testing.T) {
	t.Parallel()
	for _, r := range []Reporter{NewTable(full{}), NewJSON(full{}, noon)} {
		if r.Interval(noon, part(1)) == nil || r.Final(noon, part(1)) == nil {
			t.Errorf("%T: no error", r)
		}
	}
}
