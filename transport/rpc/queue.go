package rpc

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
)

// Bounds of the queues. Their users repeat what is lost.
const (
	queueBodies = 1024     // waiting for one peer; the oldest are dropped
	queueBytes  = 64 << 20 // of the waiting bodies of one peer
	queuePeers  = 64       // peers with a queue at a time; a Raft group has a handful
	batchBytes  = 8 << 20  // in one request, if it holds more than one body
	queueIdle   = time.Minute
	sendTimeout = 5 * time.Second
)

// KindRaft is the kind of calls that carry Raft messages.
const KindRaft = "raft"

// queueSet holds one queue, with one goroutine, for each peer that something
// was sent to lately.
type queueSet struct {
	client *Client
	mu     sync.Mutex
	peers  map[string]*queue
	closed bool
	wg     sync.WaitGroup
}

// queue is what waits for one peer.
type queue struct {
	url     string
	mu      sync.Mutex
	waiting [][]byte
	bytes   int
	stopped bool          // its goroutine has left or is leaving
	wake    chan struct{} // capacity 1
}

// Send queues a body for the Raft endpoint of the node with an intra-control
// base URL. It never blocks and is best effort: what a peer does not take in
// time is dropped, oldest first. Bodies that wait for one peer may arrive as
// one, appended to each other. The body must not be changed afterwards.
func (c *Client) Send(url string, body []byte) {
	if len(body) == 0 {
		return
	}
	for {
		q := c.queues.peer(url)
		if q == nil || q.add(body) {
			return
		}
		// the queue was given up between the two calls: take a new one
	}
}

// peer returns the queue of a peer, nil if there is none to be had.
func (s *queueSet) peer(url string) *queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if q := s.peers[url]; q != nil {
		return q
	}
	if len(s.peers) >= queuePeers {
		return nil
	}
	if s.peers == nil {
		s.peers = make(map[string]*queue)
	}
	q := &queue{url: url, wake: make(chan struct{}, 1)}
	s.peers[url] = q
	s.wg.Go(func() { s.run(q) })
	return q
}

// close ends all goroutines; the client's context has ended.
func (s *queueSet) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
}

// add appends a body; false means that the queue is no longer served.
func (q *queue) add(body []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return false
	}
	q.waiting = append(q.waiting, body)
	q.bytes += len(body)
	for len(q.waiting) > 1 && (len(q.waiting) > queueBodies || q.bytes > queueBytes) {
		q.bytes -= len(q.waiting[0])
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// take returns the next batch as one body, nil if nothing waits.
func (q *queue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	size, count := 0, 0
	for count < len(q.waiting) && (count == 0 || size+len(q.waiting[count]) <= batchBytes) {
		size += len(q.waiting[count])
		count++
	}
	if count == 0 {
		return nil
	}
	batch := q.waiting[0]
	if count > 1 {
		batch = make([]byte, 0, size)
		for _, body := range q.waiting[:count] {
			batch = append(batch, body...)
		}
	}
	clear(q.waiting[:count])
	q.waiting = q.waiting[count:]
	q.bytes -= size
	if len(q.waiting) == 0 {
		q.waiting = nil
	}
	return batch
}

// run sends what waits for a peer until the client is closed or nothing has
// come for a while.
func (s *queueSet) run(q *queue) {
	idle := time.NewTimer(queueIdle)
	defer idle.Stop()
	failing := false
	for {
		select {
		case <-s.client.ctx.Done():
			s.remove(q, true)
			return
		case <-idle.C:
			if s.remove(q, false) {
				return
			}
			idle.Reset(queueIdle)
		case <-q.wake:
			for batch := q.take(); batch != nil && s.client.ctx.Err() == nil; batch = q.take() {
				err := s.client.post(q.url, batch)
				if err != nil && !failing && s.client.ctx.Err() == nil {
					s.client.opts.Logger.Debug("raft messages were not delivered", "peer", q.url, "err", err)
				}
				failing = err != nil
			}
			idle.Reset(queueIdle)
		}
	}
}

// remove gives a queue up; unless forced, only if nothing waits in it.
func (s *queueSet) remove(q *queue, force bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 && !force {
		return false
	}
	q.stopped, q.waiting, q.bytes = true, nil, 0
	delete(s.peers, q.url)
	return true
}

// post sends one batch.
func (c *Client) post(url string, batch []byte) error {
	ctx, cancel := context.WithTimeout(c.ctx, sendTimeout)
	defer cancel()
	_, _, err := c.Request(ctx, Raft, http.MethodPost, url+wire.PathMetasync+"/"+KindRaft, wire.ContentBinary, batch)
	return err
}
