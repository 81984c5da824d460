package api

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of Options.
const (
	DefaultDialTimeout    = 60 * time.Second
	DefaultControlTimeout = 60 * time.Second
	DefaultAttempts       = 5
	DefaultIdlePerHost    = 256
	DefaultUserAgent      = "ais/go"
)

// Options of a Client. Only URL is required.
type Options struct {
	// URL of any proxy, "http(s)://host:port"; without a scheme it is http.
	URL string
	// Token is sent as "Authorization: Bearer <Token>" unless it is empty.
	Token string
	// UserAgent is sent as User-Agent.
	UserAgent string

	// Transport carries the requests. Nil: one of the client's own, made of
	// the settings below, with compression off.
	Transport http.RoundTripper
	// TLS settings of the own transport, nil for Go's defaults.
	TLS *tls.Config
	// DialTimeout limits making a connection.
	DialTimeout time.Duration
	// IdlePerHost is how many idle connections are kept for each node.
	IdlePerHost int

	// Timeout limits one attempt of an object transfer, body included.
	// 0 means none: only the context limits it.
	Timeout time.Duration
	// ControlTimeout limits one attempt of every other call.
	ControlTimeout time.Duration
	// Attempts is how often a request is sent at most (see retry.go).
	Attempts int

	// Direct makes the client keep the cluster map and send object requests
	// straight to the owning target.
	Direct bool
}

// Client calls one cluster. It is safe for concurrent use.
type Client struct {
	options Options
	carrier http.RoundTripper
	base    atomic.Pointer[url.URL] // of the proxy that is asked

	routing     atomic.Pointer[routing] // by the last map seen, nil before the first
	refreshLock sync.Mutex              // one refresh at a time
	refreshedAt time.Time               // start of the last refresh that succeeded; under refreshLock
}

// New returns a Client. It makes no connection; the only errors are those of
// the options.
func New(options Options) (*Client, error) {
	base, err := parseEndpoint(options.URL)
	if err != nil {
		return nil, err
	}
	if options.UserAgent == "" {
		options.UserAgent = DefaultUserAgent
	}
	if options.DialTimeout <= 0 {
		options.DialTimeout = DefaultDialTimeout
	}
	if options.ControlTimeout <= 0 {
		options.ControlTimeout = DefaultControlTimeout
	}
	if options.Attempts <= 0 {
		options.Attempts = DefaultAttempts
	}
	if options.IdlePerHost <= 0 {
		options.IdlePerHost = DefaultIdlePerHost
	}
	c := &Client{options: options, carrier: options.Transport}
	if c.carrier == nil {
		c.carrier = newTransport(&options)
	}
	c.base.Store(base)
	return c, nil
}

// URL returns the endpoint that is asked, without a trailing slash.
func (c *Client) URL() string { return c.base.Load().String() }

// SetURL changes the endpoint, for example to the primary's public URL.
func (c *Client) SetURL(endpoint string) error {
	base, err := parseEndpoint(endpoint)
	if err != nil {
		return err
	}
	c.base.Store(base)
	return nil
}

// Close drops the idle connections. Requests under way are not disturbed.
func (c *Client) Close() {
	if t, ok := c.carrier.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// newTransport makes the client's own transport. Compression is off: the
// cluster never compresses, and lengths must be those of the objects.
func newTransport(options *Options) *http.Transport {
	dialer := &net.Dialer{Timeout: options.DialTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       options.TLS,
		TLSHandshakeTimeout:   options.DialTimeout,
		MaxIdleConnsPerHost:   options.IdlePerHost,
		IdleConnTimeout:       60 * time.Second,
		ExpectContinueTimeout: expectTimeout,
		DisableCompression:    true,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
	}
}

// parseEndpoint reads "[http(s)://]host[:port][/]".
func parseEndpoint(endpoint string) (*url.URL, error) {
	text := strings.TrimSpace(endpoint)
	if text == "" {
		return nil, errors.New("the cluster's URL is empty (expected http://host:port)")
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	if !strings.HasSuffix(text, "://") {
		text = strings.TrimRight(text, "/")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("invalid URL of the cluster %q: %w", endpoint, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("invalid URL of the cluster %q: scheme %q (expected http or https)", endpoint, u.Scheme)
	}
	if u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("invalid URL of the cluster %q (expected http://host:port)", endpoint)
	}
	return u, nil
}
