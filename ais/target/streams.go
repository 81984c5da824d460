package target

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/memsys"
	"github.com/aistore-go/aistore/transport"
)

// The streams between targets begin as a call on the intra-data network and
// then leave HTTP; see docs/transport.md.
const (
	streamVersion    = "1"
	streamProtocol   = "ais-streams"
	paramIncarnation = "incarnation"
	// switchTime bounds the sending of the answer that ends HTTP.
	switchTime = 5 * time.Second
)

// NewStreams makes the target's end of all streams; close it before the store.
func NewStreams(n *node.Node, control node.ControlPlane, memory *memsys.Pool, logger *slog.Logger) *transport.Endpoint {
	e := transport.New(transport.Options{
		NodeID: n.ID(), Memory: memory, Logger: logger,
		URL: func(id string) (string, error) {
			view := control.View()
			if view.Smap == nil || view.Smap.Tmap[id] == nil {
				return "", errOut
			}
			return view.Smap.Tmap[id].IntraData.URL, nil
		},
		Dial: func(ctx context.Context, url string, incarnation uint64) (net.Conn, error) {
			url += wire.PathIntra + "/streams/" + streamVersion + "?" + paramIncarnation + "=" + strconv.FormatUint(incarnation, 16)
			return n.RPC().Upgrade(ctx, url, streamProtocol)
		},
		Settings: func() transport.Settings { return streamSettings(n.Config()) },
	})
	n.Metrics().SetStreams(func() metrics.StreamCounts { return metrics.StreamCounts(e.Counts()) })
	return e
}

// streamSettings are the tunables of streams as the configuration has them.
func streamSettings(c *config.Cluster) transport.Settings {
	t := &c.Transport
	s := transport.Settings{
		MaxHeader: t.MaxHeaderSize, Burst: t.BurstBuffer, IdleTeardown: t.IdleTeardown.D(),
		LZ4Block: int(t.LZ4BlockMaxSize), LZ4RawSum: t.LZ4FrameChecksum || c.Features.Has(feature.LZ4FrameChecksum),
	}
	if c.Features.Has(feature.LZ4Block1MB) {
		s.LZ4Block = 1 << 20
	}
	return s
}

// stream serves the connection on which another target sends messages, until
// it ends.
func (t *Target) stream(w http.ResponseWriter, r *http.Request, version string) error {
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	incarnation, err := strconv.ParseUint(q.Get(paramIncarnation), 16, 64)
	caller := t.node.Caller(r)
	switch {
	case version != streamVersion:
		return apierr.BadRequest("%s: version %q of the protocol of streams is not spoken here, %s is", t.node.Name(), version, streamVersion)
	case err != nil || incarnation == 0:
		return apierr.BadRequest("%s: invalid %s=%q: expected a hexadecimal number above 0", t.node.Name(), paramIncarnation, q.Get(paramIncarnation))
	case r.Header.Get("Upgrade") != streamProtocol || r.ContentLength != 0:
		return apierr.BadRequest("%s: a stream begins with the header 'Upgrade: %s' and without a body", t.node.Name(), streamProtocol)
	case caller == nil || caller.Role != meta.RoleTarget:
		return apierr.New(http.StatusForbidden, wire.CodeUnknownCaller, "%s: streams are for targets", t.node.Name())
	case t.node.Stopping():
		return apierr.Unavailable(time.Second, "%s is stopping", t.node.Name())
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	const answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + streamProtocol + "\r\n\r\n"
	err = conn.SetDeadline(time.Now().Add(switchTime))
	if err == nil {
		_, err = io.WriteString(conn, answer)
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	var early []byte
	if err == nil {
		early, err = buffered.Peek(buffered.Reader.Buffered())
	}
	if err != nil {
		err = errors.Join(err, conn.Close())
	} else {
		// What follows the bytes that were read already is read from the connection itself.
		err = t.streams.Accept(conn, io.MultiReader(bytes.NewReader(early), conn), caller.ID, incarnation)
	}
	if err != nil {
		t.logger.Debug("a connection of streams ended", "from", caller.String(), "err", err)
	}
	return nil // it is no HTTP any more
}
