package rebalance

import (
	"context"
	"io"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/xact"
)

// receiver stores what other targets send. The answer is one byte, a
// core.Arrival; 0 says that a generation which was asked for is not here.
type receiver struct {
	env *xact.Env
	x   *xact.Xaction
}

func (r *receiver) receive(ctx context.Context, _ string, body io.Reader) ([]byte, error) {
	kind, description, err := readMessage(body)
	if err != nil {
		return nil, err
	}
	s, err := decodeSubject(description)
	if err != nil {
		return nil, err
	}
	key := core.Key{Bck: s.bck, Name: s.name}
	var ok bool
	if key.Props, ok = r.env.View().BMD.Get(s.bck); !ok {
		return nil, apierr.BucketNotFound(s.bck)
	}
	switch kind {
	case kindGeneration:
		piece, err := r.env.Governor.Begin(ctx)
		if err != nil {
			return nil, err
		}
		counted := &counting{Reader: body}
		defer func() { piece.End(counted.n) }()
		arrival, err := r.env.Store.Arrive(ctx, key, s.head, counted)
		if err != nil {
			return nil, err
		}
		if arrival == core.ArrivalStored {
			r.x.AddIn(1, counted.n)
		}
		return []byte{byte(arrival)}, nil
	case kindQuestion:
		arrival, err := r.env.Store.Have(ctx, key, s.head)
		return []byte{byte(arrival)}, err
	}
	return nil, apierr.BadRequest("rebalance: a message of kind %d", kind)
}

// counting counts the bytes that are read.
type counting struct {
	io.Reader
	n int64
}

// Read implements io.Reader.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}
