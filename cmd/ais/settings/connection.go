package settings

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmd/ais/measure"
)

// Connection is everything that a client of the cluster needs.
type Connection struct {
	URL         string // with a scheme, without a trailing slash
	Token       string
	TLS         *tls.Config // nil for a plain endpoint
	DialTimeout time.Duration
	Timeout     time.Duration // of a whole request, 0 = none
	Direct      bool
}

// dockerProbe is how long a local docker cluster is looked for.
const dockerProbe = 300 * time.Millisecond

// Connect decides on the endpoint, the token and the TLS settings: from the
// environment, else from the file.
func (f *File) Connect(dir string, getenv func(string) string) (*Connection, error) {
	c := &Connection{URL: withScheme(f.endpoint(getenv)), Direct: Bool(getenv(EnvDirect))}
	var err error
	if c.DialTimeout, err = duration(f.Timeout.TCP, time.Minute); err != nil {
		return nil, err
	}
	if c.Timeout, err = duration(f.Timeout.HTTP, 0); err != nil {
		return nil, err
	}
	if c.Token, err = token(dir, getenv); err != nil {
		return nil, err
	}
	if strings.HasPrefix(c.URL, "https://") {
		if c.TLS, err = f.tls(getenv); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// endpoint is AIS_ENDPOINT, else cluster.url, else a local docker cluster if
// one answers, else cluster.default_ais_host.
func (f *File) endpoint(getenv func(string) string) string {
	if endpoint := getenv(EnvEndpoint); endpoint != "" {
		return endpoint
	}
	if f.Cluster.URL != "" {
		return f.Cluster.URL
	}
	if u, err := url.Parse(withScheme(f.Cluster.DefaultDockerHost)); err == nil && u.Host != "" {
		if conn, err := net.DialTimeout("tcp", u.Host, dockerProbe); err == nil {
			_ = conn.Close() // it was only a probe
			return f.Cluster.DefaultDockerHost
		}
	}
	return f.Cluster.DefaultHost
}

func withScheme(endpoint string) string {
	endpoint = strings.TrimRight(endpoint, "/")
	if endpoint != "" && !strings.Contains(endpoint, "://") {
		return "http://" + endpoint
	}
	return endpoint
}

func duration(text string, otherwise time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	return measure.ParseDuration(text)
}

// token is AIS_AUTHN_TOKEN, else that in the file AIS_AUTHN_TOKEN_FILE, else
// that in auth.token beside cli.json, else none.
func token(dir string, getenv func(string) string) (string, error) {
	if text := strings.TrimSpace(getenv(EnvAuthToken)); text != "" {
		return text, nil
	}
	path, required := getenv(EnvAuthTokenFile), true
	if path == "" {
		path, required = filepath.Join(dir, TokenFileName), false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && !required {
			return "", nil
		}
		return "", fmt.Errorf("reading the token: %w", err)
	}
	var form struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(data, &form); err != nil {
		return "", fmt.Errorf("the token file %s is damaged (expected {\"token\":\"...\"})", path)
	}
	return form.Token, nil
}

// tls makes the TLS settings; the environment overrides the file.
func (f *File) tls(getenv func(string) string) (*tls.Config, error) {
	pick := func(env, own string) string {
		if value := getenv(env); value != "" {
			return value
		}
		return own
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	settings.InsecureSkipVerify = f.Cluster.SkipVerify // asked for by the user
	if value := getenv(EnvSkipVerify); value != "" {
		settings.InsecureSkipVerify = Bool(value)
	}
	if path := pick(EnvClientCA, f.Cluster.ClientCA); path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the CA certificates: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", path)
		}
	}
	certificate, key := pick(EnvCertificate, f.Cluster.Certificate), pick(EnvKey, f.Cluster.Key)
	if certificate != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("loading the client certificate: %w", err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	return settings, nil
}
