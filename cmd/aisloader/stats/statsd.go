package stats

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
)

// maxDatagram fits an Ethernet frame.
const maxDatagram = 1400

// Statsd sends the statistics of intervals as datagrams
// "aisloader.<host>-<id>.<op>.<name>:<value>|<type>". Nobody has to listen.
type Statsd struct {
	conn   net.Conn
	prefix string
	buf    []byte
}

// NewStatsd returns a sender for a server. With probe it is an error if the
// server's machine says that nobody listens.
func NewStatsd(address string, id uint64, probe bool) (*Statsd, error) {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return nil, fmt.Errorf("StatsD server %s: %w", address, err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	s := &Statsd{conn: conn, prefix: "aisloader." + strings.ReplaceAll(host, ".", "_") + "-" + strconv.FormatUint(id, 10) + "."}
	if probe {
		if err := s.probe(); err != nil {
			return nil, errors.Join(fmt.Errorf("StatsD server %s does not listen: %w", address, err), conn.Close())
		}
	}
	return s, nil
}

// probe sends a counter of 0 and waits a moment for the refusal that a
// machine sends where no program has the port.
func (s *Statsd) probe() error {
	if _, err := s.conn.Write([]byte(s.prefix + "probe:0|c")); err != nil {
		return err
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return err
	}
	var answer [1]byte
	_, err := s.conn.Read(answer[:])
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // the error of a connection itself
		return nil
	}
	return err
}

// Send sends what was counted in an interval. A server that is not there is
// no error.
func (s *Statsd) Send(part *load.Result) {
	for kind, name := range names {
		c := &part.Kinds[kind]
		if c.Operations+c.Errors == 0 && part.Pending[kind] == 0 {
			continue
		}
		h := &c.Latency
		s.add(name.statsd, "count", c.Operations, "c")
		s.add(name.statsd, "pending", int64(part.Pending[kind]), "g")
		s.add(name.statsd, "latency", h.Mean().Milliseconds(), "ms")
		s.add(name.statsd, "minlatency", h.Min().Milliseconds(), "ms")
		s.add(name.statsd, "maxlatency", h.Max().Milliseconds(), "ms")
		if part.Elapsed > 0 {
			s.add(name.statsd, "throughput", int64(float64(c.Bytes)/part.Elapsed.Seconds()), "g")
		}
		if c.Traced > 0 {
			s.traces(name.statsd, mean(c, 0), mean(c, 1))
		}
	}
	s.flush()
}

func (s *Statsd) traces(op string, proxy, target load.Timing) {
	for _, t := range []struct {
		name string
		time time.Duration
	}{
		{"proxyconn", proxy.Connect}, {"proxy", proxy.Wait}, {"targetconn", target.Connect}, {"target", target.Wait}, {"posthttp", target.Response},
		{"proxyheader", proxy.Header}, {"proxyrequest", proxy.Request}, {"proxyresponse", proxy.Response},
		{"targetheader", target.Header}, {"targetrequest", target.Request}, {"targetresponse", target.Response},
	} {
		s.add(op, "latency."+t.name, t.time.Milliseconds(), "ms")
	}
}

func (s *Statsd) add(op, name string, value int64, kind string) {
	text := fmt.Sprintf("%s%s.%s:%d|%s", s.prefix, op, name, value, kind)
	if len(s.buf)+1+len(text) > maxDatagram {
		s.flush()
	}
	if len(s.buf) > 0 {
		s.buf = append(s.buf, '\n')
	}
	s.buf = append(s.buf, text...)
}

func (s *Statsd) flush() {
	if len(s.buf) > 0 {
		_, _ = s.conn.Write(s.buf) // nobody has to be there
		s.buf = s.buf[:0]
	}
}

// Close ends the sender.
func (s *Statsd) Close() error { return s.conn.Close() }
