package config

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
)

// This file checks the sections that say how nodes work together.

// obsoleteProvider is dropped from the backends of old files.
const obsoleteProvider = "ht"

func (c BackendConf) validate() error {
	for _, provider := range slices.Sorted(maps.Keys(c)) {
		switch provider {
		case obsoleteProvider:
			delete(c, provider)
			continue
		case wire.ProviderAIS:
			var clusters map[string][]string
			if err := json.Unmarshal(c[provider], &clusters); err != nil {
				return apierr.BadRequest("invalid backend.ais (expecting an object from alias or UUID to an array of URLs)")
			}
			for _, alias := range slices.Sorted(maps.Keys(clusters)) {
				for _, address := range clusters[alias] {
					if err := baseURL("backend.ais."+clip(alias), &address); err != nil {
						return err
					}
				}
			}
		case wire.ProviderAWS, wire.ProviderGCP, wire.ProviderAzure, wire.ProviderOCI:
		default:
			return apierr.BadRequest("invalid backend: unknown provider %q (expecting one of [%s %s %s %s %s])", clip(provider),
				wire.ProviderAIS, wire.ProviderAWS, wire.ProviderGCP, wire.ProviderAzure, wire.ProviderOCI)
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(c[provider], &object); err != nil {
			return apierr.BadRequest("invalid backend.%s (expecting a JSON object)", provider)
		}
		compact, err := json.Marshal(object)
		if err != nil {
			return apierr.BadRequest("invalid backend.%s: %v", provider, err)
		}
		if object == nil {
			compact = []byte("{}")
		}
		c[provider] = compact
	}
	return nil
}

func (c *LogConf) validate() error {
	err := firstOf(
		c.Level.validate(),
		within("log.max_size", c.MaxSize, unit.KiB, unit.GiB),
		within("log.max_total", c.MaxTotal, unit.MiB, 10*unit.GiB),
		span("log.flush_time", c.FlushTime, 0, time.Hour),
		span("log.stats_time", c.StatsTime, 0, 10*time.Minute),
	)
	if err == nil && c.MaxTotal < 2*c.MaxSize {
		return apierr.BadRequest("log.max_total=%s must be at least twice log.max_size=%s", c.MaxTotal, c.MaxSize)
	}
	return err
}

func (c *PeriodicConf) validate() error {
	return firstOf(
		span("periodic.stats_time", c.StatsTime, time.Second, time.Minute),
		span("periodic.retry_sync_time", c.RetrySyncTime, 10*time.Millisecond, 10*time.Second),
		span("periodic.notif_time", c.NotifTime, time.Second, time.Minute),
	)
}

func (c *TimeoutConf) validate() error {
	orDefault(&c.ECStreams, duration(10*time.Minute))
	orDefault(&c.ObjectMD, duration(2*time.Hour))
	orDefault(&c.ColdGetConflict, duration(5*time.Second))
	err := firstOf(
		atLeast("timeout.cplane_operation", c.CplaneOperation, duration(10*time.Millisecond)),
		atLeast("timeout.max_host_busy", c.MaxHostBusy, duration(10*time.Second)),
		atLeast("timeout.startup_time", c.Startup, duration(30*time.Second)),
		atLeast("timeout.send_file_time", c.SendFile, duration(time.Minute)),
		span("timeout.object_md", c.ObjectMD, 20*time.Minute, 16*time.Hour),
		span("timeout.cold_get_conflict", c.ColdGetConflict, time.Second, c.MaxHostBusy.D()),
	)
	switch {
	case err != nil:
		return err
	case c.MaxKeepalive/2 < c.CplaneOperation:
		return apierr.BadRequest("timeout.max_keepalive=%s must be at least twice timeout.cplane_operation=%s", c.MaxKeepalive, c.CplaneOperation)
	case c.JoinStartup < 0 || c.JoinStartup != 0 && c.JoinStartup/2 < c.Startup:
		return apierr.BadRequest("timeout.join_startup_time=%s must be 0 or at least twice timeout.startup_time=%s", c.JoinStartup, c.Startup)
	case c.ECStreams > 0:
		return atLeast("timeout.ec_streams_time", c.ECStreams, duration(5*time.Minute))
	}
	return nil
}

func (c *ClientConf) validate() error {
	orDefault(&c.Timeout, duration(10*time.Second))
	orDefault(&c.TimeoutLong, duration(5*time.Minute))
	orDefault(&c.ListTimeout, duration(5*time.Minute))
	err := firstOf(
		span("client.client_timeout", c.Timeout, time.Second, 30*time.Minute),
		span("client.client_long_timeout", c.TimeoutLong, time.Second, 30*time.Minute),
		span("client.list_timeout", c.ListTimeout, time.Second, 30*time.Minute),
	)
	if err == nil && c.TimeoutLong < c.Timeout {
		return apierr.BadRequest("client.client_long_timeout=%s must not be less than client.client_timeout=%s", c.TimeoutLong, c.Timeout)
	}
	return err
}

func (c *ProxyConf) validate() error {
	return firstOf(
		baseURL("proxy.primary_url", &c.PrimaryURL),
		baseURL("proxy.original_url", &c.OriginalURL),
		baseURL("proxy.discovery_url", &c.DiscoveryURL),
	)
}

func (c *NetConf) validate() error {
	orDefault(&c.L4.Proto, "tcp")
	orDefault(&c.L4.SndRcvBufSize, 128<<10)
	if err := firstOf(
		oneOf("net.l4.proto", c.L4.Proto, "tcp"),
		within("net.l4.sndrcv_buf_size", c.L4.SndRcvBufSize, 1, 1<<30),
	); err != nil {
		return err
	}
	return c.HTTP.validate()
}

func (c *HTTPConf) validate() error {
	orDefault(&c.IdleConnTime, duration(6*time.Second))
	orDefault(&c.BackendIdleConnTime, duration(6*time.Second))
	orDefault(&c.IdleConns, 256)
	orDefault(&c.IdleConnsPerHost, min(32, c.IdleConns))
	err := firstOf(
		within("net.http.client_auth_tls", c.ClientAuthTLS, 0, 4),
		oneOf("net.http.domain_tls", c.ServerNameTLS, ""),
		span("net.http.idle_conn_time", c.IdleConnTime, time.Millisecond, 30*time.Second),
		span("net.http.backend_idle_conn_time", c.BackendIdleConnTime, time.Millisecond, 30*time.Second),
		within("net.http.idle_conns", c.IdleConns, 1, 4096),
		within("net.http.idle_conns_per_host", c.IdleConnsPerHost, 1, min(c.IdleConns, 128)),
		within("net.http.write_buffer_size", c.WriteBufferSize, 0, 1<<30),
		within("net.http.read_buffer_size", c.ReadBufferSize, 0, 1<<30),
	)
	switch {
	case err != nil:
		return err
	case c.UseHTTPS && (c.Certificate == "" || c.CertKey == ""):
		return apierr.BadRequest("net.http.use_https needs net.http.server_crt and net.http.server_key")
	case c.Pub != nil:
		return within("net.http.pub.client_auth_tls", c.Pub.ClientAuthTLS, 0, 4)
	}
	return nil
}

func (c *KeepaliveConf) validate(timeout *TimeoutConf) error {
	for _, tracker := range []struct {
		section string
		conf    *KeepaliveTrackerConf
	}{{"keepalivetracker.proxy", &c.Proxy}, {"keepalivetracker.target", &c.Target}} {
		section, conf := tracker.section, tracker.conf
		orDefault(&conf.Name, keepaliveName)
		orDefault(&conf.Interval, duration(10*time.Second))
		orDefault(&conf.Factor, 3)
		err := firstOf(
			oneOf(section+".name", conf.Name, keepaliveName),
			span(section+".interval", conf.Interval, time.Second, time.Minute),
			within(section+".factor", conf.Factor, 1, 10),
		)
		switch {
		case err != nil:
			return err
		case conf.Interval < timeout.MaxKeepalive:
			return apierr.BadRequest("%s.interval=%s must not be less than timeout.max_keepalive=%s", section, conf.Interval, timeout.MaxKeepalive)
		case conf.Interval.D()*time.Duration(conf.Factor) > 2*time.Minute:
			return apierr.BadRequest("%s.interval=%s times %s.factor=%d must not exceed 2m", section, conf.Interval, section, conf.Factor)
		}
	}
	orDefault(&c.NumRetries, 3)
	orDefault(&c.RetryFactor, 4)
	return firstOf(
		within("keepalivetracker.num_retries", c.NumRetries, 1, 10),
		within("keepalivetracker.retry_factor", c.RetryFactor, 1, 10),
	)
}

func (c *DownloaderConf) validate() error {
	orDefault(&c.Timeout, duration(time.Hour))
	return span("downloader.timeout", c.Timeout, time.Second, time.Hour)
}

func (c *TransportConf) validate() error {
	err := firstOf(
		within("transport.max_header", c.MaxHeaderSize, 512, 128<<10),
		within("transport.burst_buffer", c.BurstBuffer, 256, 4096),
		atLeast("transport.idle_teardown", c.IdleTeardown, duration(time.Second)),
		atLeast("transport.quiescent", c.QuiesceTime, duration(8*time.Second)),
		oneOf("transport.lz4_block", c.LZ4BlockMaxSize.String(), "64KiB", "256KiB", "1MiB", "4MiB"),
	)
	if err == nil && c.QuiesceTime/2 < c.IdleTeardown {
		return apierr.BadRequest("transport.quiescent=%s must be at least twice transport.idle_teardown=%s", c.QuiesceTime, c.IdleTeardown)
	}
	return err
}

func (c *MemsysConf) validate() error {
	orDefault(&c.DefaultBufSize, 32*unit.KiB)
	orDefault(&c.HousekeepTime, duration(3*time.Minute))
	if c.MinFree != 0 {
		if err := atLeast("memsys.min_free", c.MinFree, 100*unit.MiB); err != nil {
			return err
		}
	}
	if c.DefaultBufSize%(4*unit.KiB) != 0 {
		return apierr.BadRequest("invalid memsys.default_buf: %s (expecting a multiple of 4KiB)", c.DefaultBufSize)
	}
	return firstOf(
		within("memsys.default_buf", c.DefaultBufSize, 4*unit.KiB, 128*unit.KiB),
		within("memsys.to_gc", c.SizeToGC, 0, unit.TiB),
		span("memsys.hk_time", c.HousekeepTime, time.Millisecond, time.Hour),
		within("memsys.min_pct_total", c.MinPctTotal, 0, 95),
		within("memsys.min_pct_free", c.MinPctFree, 0, 95),
	)
}
