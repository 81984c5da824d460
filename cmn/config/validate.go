package config

import (
	"cmp"
	"net/url"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/unit"
)

// Validate puts defaults in the place of zeros that mean "default" and checks
// every value. The error is a 400 that names the key and what is accepted, or
// both keys of a contradiction.
func (c *Cluster) Validate() error {
	if c.Backend == nil {
		c.Backend = BackendConf{}
	}
	checks := []func() error{
		c.Backend.validate,
		c.Mirror.validate,
		c.EC.validate,
		c.Chunks.Validate,
		c.Log.validate,
		c.Periodic.validate,
		c.Timeout.validate,
		c.Client.validate,
		c.Proxy.validate,
		c.Space.validate,
		c.LRU.Validate,
		c.Disk.validate,
		c.Rebalance.validate,
		c.Checksum.Validate,
		c.Versioning.validate,
		c.Net.validate,
		c.FSHC.validate,
		func() error { return c.Keepalive.validate(&c.Timeout) },
		c.Downloader.validate,
		c.Transport.validate,
		c.Memsys.validate,
		func() error { return c.TCB.validate("tcb") },
		func() error { return c.TCO.validate("tco") },
		func() error { return c.Arch.validate("arch") },
		c.LSO.validate,
		c.GetBatch.validate,
		c.WritePolicy.Validate,
		c.RateLimit.Validate,
		c.Features.Validate,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// NotBuilt refuses what the configuration turns on and this version does not
// have, with a 501 that names the key.
func (c *Cluster) NotBuilt() error {
	for _, setting := range []struct {
		on   bool
		key  string
		what string
	}{
		{c.Auth.Required, "auth.client_auth_required", "client authentication"},
		{c.RateLimit.Backend.Enabled, "rate_limit.backend.enabled", "the limit of rates for backends"},
		{c.Proxy.NonElectable, "proxy.non_electable", "that deprecated key"},
	} {
		if setting.on {
			return apierr.NotImplemented("%s is on, but %s is not built yet", setting.key, setting.what)
		}
	}
	return nil
}

// within checks that a value lies between two bounds, both accepted.
func within[T cmp.Ordered](key string, value, low, high T) error {
	if value < low || value > high {
		return apierr.BadRequest("invalid %s: %v (expecting %v to %v)", key, value, low, high)
	}
	return nil
}

// atLeast checks a lower bound.
func atLeast[T cmp.Ordered](key string, value, low T) error {
	if value < low {
		return apierr.BadRequest("invalid %s: %v (expecting at least %v)", key, value, low)
	}
	return nil
}

// span is within for durations.
func span(key string, value unit.Duration, low, high time.Duration) error {
	return within(key, value, unit.Duration(low), unit.Duration(high))
}

// orDefault puts a default in the place of zero.
func orDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// oneOf checks a word.
func oneOf(key, value string, accepted ...string) error {
	for _, word := range accepted {
		if value == word {
			return nil
		}
	}
	return apierr.BadRequest("invalid %s: %q (expecting one of [%s])", key, clip(value), strings.Join(accepted, " "))
}

// firstOf returns the first error.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// baseURL checks a URL of scheme http or https, a host and nothing more; a
// trailing slash is removed.
func baseURL(key string, text *string) error {
	if *text == "" {
		return nil
	}
	u, err := url.Parse(*text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return apierr.BadRequest("invalid %s: %q (expecting http://host:port or https://host:port)", key, clip(*text))
	}
	*text = strings.TrimSuffix(*text, "/")
	return nil
}

// clip shortens a text from outside for a message.
func clip(text string) string {
	if len(text) > 80 {
		return text[:80] + "..."
	}
	return text
}
