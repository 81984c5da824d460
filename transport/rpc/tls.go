package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// SetTLS replaces certificates and authorities. Calls under way go on; calls
// from now on use new connections.
func (c *Client) SetTLS(conf *tls.Config) {
	c.tls.Store(conf)
	for _, tr := range c.transports {
		tr.CloseIdleConnections()
	}
}

var errNoTLS = errors.New("this node is not configured for https")

// dialTLS connects by the configuration of the moment.
func (c *Client) dialTLS(dialer *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conf := c.tls.Load()
		if conf == nil {
			return nil, errNoTLS
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		plain, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if conf.ServerName == "" {
			conf = conf.Clone()
			conf.ServerName = host
		}
		conn := tls.Client(plain, conf)
		ctx, cancel := context.WithTimeout(ctx, c.opts.DialTimeout)
		defer cancel()
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, plain.Close())
		}
		return conn, nil
	}
}
