package config

import (
	"net/url"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Names of environment variables that a node reads.
const (
	EnvPrimaryEP         = "AIS_PRIMARY_EP"
	EnvDaemonID          = "AIS_DAEMON_ID"
	EnvHostIP            = "AIS_HOST_IP"
	EnvHostPort          = "AIS_HOST_PORT"
	EnvPublicHostname    = "AIS_PUBLIC_HOSTNAME"
	EnvReadHeaderTimeout = "AIS_READ_HEADER_TIMEOUT"
	EnvHTTPLoop          = "AIS_HTTP_LOOP"
	EnvPodName           = "MY_POD"
)

// DefaultReadHeaderTimeout is how long a listener waits for the header of a
// request.
const DefaultReadHeaderTimeout = 16 * time.Second

// Env is everything that a node reads from its environment.
type Env struct {
	PrimaryEP         string        // URL of the first primary, without a trailing slash, "" if not set; see PrimaryURL
	NodeID            string        // "" if not set
	HostIP            string        // public host; wins over host_net.hostname
	HostPort          string        // public port; wins over host_net.port
	PublicHostname    string        // public host name; wins over HostIP
	ReadHeaderTimeout time.Duration // 0: no limit
	HTTPLoopOff       bool          // clients are served by net/http alone
	PodName           string        // of the node in Kubernetes, shown only
}

// ReadEnv reads the environment through getenv, such as os.Getenv, and checks
// it. Errors are 400 and name the variable.
func ReadEnv(getenv func(string) string) (Env, error) {
	env := Env{
		NodeID:            strings.TrimSpace(getenv(EnvDaemonID)),
		HostIP:            strings.TrimSpace(getenv(EnvHostIP)),
		HostPort:          strings.TrimSpace(getenv(EnvHostPort)),
		PublicHostname:    strings.TrimSpace(getenv(EnvPublicHostname)),
		ReadHeaderTimeout: DefaultReadHeaderTimeout,
		PodName:           strings.TrimSpace(getenv(EnvPodName)),
	}
	var err error
	if env.PrimaryEP, err = parseEndpoint(strings.TrimSpace(getenv(EnvPrimaryEP))); err != nil {
		return Env{}, err
	}
	if env.HostPort != "" {
		if err := validatePort(EnvHostPort, env.HostPort); err != nil {
			return Env{}, err
		}
	}
	if err := firstOf(
		validateHosts(EnvHostIP, env.HostIP, true),
		validateHosts(EnvPublicHostname, env.PublicHostname, true),
	); err != nil {
		return Env{}, err
	}
	if text := strings.TrimSpace(getenv(EnvReadHeaderTimeout)); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return Env{}, apierr.BadRequest("invalid %s: %q (expecting a duration such as 10s, or 0s for no limit)", EnvReadHeaderTimeout, clip(text))
		}
		env.ReadHeaderTimeout = d
	}
	switch text := strings.TrimSpace(getenv(EnvHTTPLoop)); text {
	case "", "on":
	case "off":
		env.HTTPLoopOff = true
	default:
		return Env{}, apierr.BadRequest("invalid %s: %q (expecting on or off)", EnvHTTPLoop, clip(text))
	}
	return env, nil
}

// parseEndpoint reads host[:port] or scheme://host[:port].
func parseEndpoint(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	full := text
	if !strings.Contains(text, "://") {
		full = "http://" + text
	}
	u, err := url.Parse(full)
	if err != nil || u.Path != "" && u.Path != "/" {
		return "", apierr.BadRequest("invalid %s: %q (expecting host, host:port or a URL without a path)", EnvPrimaryEP, clip(text))
	}
	if err := baseURL(EnvPrimaryEP, &full); err != nil {
		return "", err
	}
	return full, nil
}

// PrimaryURL is PrimaryEP with the scheme that the cluster speaks; "" if it is
// not set.
func (e *Env) PrimaryURL(c *Cluster) string {
	_, host, ok := strings.Cut(e.PrimaryEP, "://")
	switch {
	case !ok:
		return ""
	case c.Net.HTTP.UseHTTPS:
		return "https://" + host
	default:
		return "http://" + host
	}
}
