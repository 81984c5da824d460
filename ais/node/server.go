package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aistore-go/aistore/ais/node/fastpath"
	"github.com/aistore-go/aistore/core/meta"
)

// server is one listening address with its HTTP server.
type server struct {
	network  string
	http     *http.Server
	listener net.Listener
	loop     *fastpath.Server // in front of http; nil: there is none
}

// listen opens every address of the node and makes its Snode.
func (n *Node) listen() error {
	eps, err := planEndpoints(&n.local.HostNet, n.env, net.InterfaceAddrs)
	if err != nil {
		return err
	}
	scheme := "http"
	public, intra := n.listenerTLS(publicTLS), n.listenerTLS(intraTLS)
	if intra != nil {
		scheme = "https"
	}
	publicPort, err := n.open(eps.public, publicHandler{n}, public)
	if err != nil {
		return err
	}
	publicNet := eps.public.netInfo(scheme, publicPort)
	var extras []meta.NetInfo
	for _, extra := range eps.extra {
		if extra.port == "0" {
			extra.port = publicPort
		}
		if _, err := n.open(extra, publicHandler{n}, public); err != nil {
			return err
		}
		extras = append(extras, extra.netInfo(scheme, publicPort))
	}
	control, err := n.open(eps.control, intraHandler{n}, intra)
	if err != nil {
		return err
	}
	controlNet := eps.control.netInfo(scheme, control)
	dataNet := controlNet
	if eps.data.port != "" {
		data, err := n.open(eps.data, intraHandler{n}, intra)
		if err != nil {
			return err
		}
		dataNet = eps.data.netInfo(scheme, data)
	}
	n.snode = meta.NewSnode(n.id, n.role, publicNet, controlNet, dataNet)
	n.snode.PublicExtra = extras
	if n.trust != nil {
		n.snode.VerifyingKey = n.trust.Public()
	}
	return nil
}

// open listens on one address and returns its port. The error names the
// network and the address.
func (n *Node) open(ep endpoint, h http.Handler, serverTLS *tls.Config) (port string, err error) {
	ln, err := net.Listen("tcp", ep.address())
	if err != nil {
		return "", fmt.Errorf("%s network: cannot listen on %s: %w", ep.network, ep.address(), err)
	}
	_, port, err = net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return "", errors.Join(err, ln.Close())
	}
	limited := newLimitListener(ln, n.limits.Connections)
	if ep.network == networkPublic {
		limited.sendTimeout = n.sendTimeout
	}
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: n.limits.ReadHeaderTimeout,
		IdleTimeout:       n.limits.IdleTimeout,
		MaxHeaderBytes:    n.limits.HeaderBytes,
		ConnState:         limited.connState,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug),
		TLSConfig:         serverTLS,
		Protocols:         new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	srv.RegisterOnShutdown(limited.closeUnused)
	var outer net.Listener = limited
	if serverTLS != nil {
		outer = tls.NewListener(limited, serverTLS)
	}
	made := &server{network: ep.network, http: srv, listener: outer}
	if ep.network == networkPublic && serverTLS == nil && !n.env.HTTPLoopOff {
		made.loop = n.newLoop(limited, h)
		made.listener = made.loop.Outgoing()
	}
	n.servers = append(n.servers, made)
	return port, nil
}

// closeListeners gives the addresses of a node back that never served.
func (n *Node) closeListeners() {
	for _, s := range n.servers {
		_ = s.listener.Close() // nothing was accepted
		if s.loop != nil {
			s.loop.Close()
		}
	}
}

// Serve answers requests until the context ends, Shutdown is called or a
// listener fails; only the last is an error. It is called once.
func (n *Node) Serve(ctx context.Context) error {
	defer close(n.served)
	n.logger.Info("listening", "node", n.name, "public", n.snode.Public.URL,
		"intra_control", n.snode.IntraControl.URL, "intra_data", n.snode.IntraData.URL)
	failed := make(chan error, 2*len(n.servers))
	var wg sync.WaitGroup
	for _, s := range n.servers {
		report := func(err error) {
			if !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s network: %w", s.network, err)
				return
			}
			failed <- nil
		}
		wg.Go(func() { report(s.http.Serve(s.listener)) })
		if s.loop != nil {
			wg.Go(func() { report(s.loop.Serve()) })
		}
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	if err != nil {
		for _, s := range n.servers {
			_ = s.http.Close() // the first error is the one to report
			if s.loop != nil {
				s.loop.Close()
			}
		}
	}
	if ctx.Err() != nil && !n.Stopping() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.limits.ControlTimeout)
		defer cancel()
		err = errors.Join(err, n.shutdown(stop))
	}
	wg.Wait()
	return err
}

// Shutdown refuses new control writes, waits for requests in flight until
// the context ends, then breaks them off, closes the listeners and the
// connections to other nodes. It may be called more than once.
func (n *Node) Shutdown(ctx context.Context) error {
	if n.phase.Swap(phaseStopping) == phaseStopping {
		return nil
	}
	return n.shutdown(ctx)
}

func (n *Node) shutdown(ctx context.Context) error {
	n.phase.Store(phaseStopping)
	began := time.Now()
	n.logger.Info("stopping: requests in flight may end", "node", n.name)
	// clients first: what they have asked for may need the other networks
	err := n.drain(ctx, func(s *server) bool { return s.network == networkPublic })
	err = errors.Join(err, n.drain(ctx, func(s *server) bool { return s.network != networkPublic }))
	if n.drained != nil {
		n.drained()
	}
	n.background.end()
	n.rpc.Close()
	n.removeMarker()
	n.logger.Info("listeners are closed", "node", n.name, "took", time.Since(began).Round(time.Millisecond))
	return err
}

// OnDrained has f called by Shutdown once no request is in flight any more,
// while other nodes can still be called. It is not called after Shutdown.
func (n *Node) OnDrained(f func()) { n.drained = f }

// shutdown waits for the requests in flight of one server.
func (s *server) shutdown(ctx context.Context) error {
	if s.loop == nil {
		return s.http.Shutdown(ctx)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.loop.Shutdown(ctx) }()
	err := s.http.Shutdown(ctx)
	return errors.Join(<-ended, err)
}

// drain ends the chosen servers at the same time.
func (n *Node) drain(ctx context.Context, which func(*server) bool) error {
	var wg sync.WaitGroup
	errs := make([]error, len(n.servers))
	for i, s := range n.servers {
		if !which(s) {
			continue
		}
		wg.Go(func() {
			err := s.shutdown(ctx)
			if err != nil {
				// out of time: break off what is still in flight
				n.logger.Warn("requests in flight are broken off", "network", s.network, "err", err)
				err = s.http.Close()
				if s.loop != nil {
					s.loop.Close()
				}
			}
			if closeErr := s.listener.Close(); closeErr != nil && !errors.Is(closeErr, net.ErrClosed) {
				err = errors.Join(err, closeErr)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
