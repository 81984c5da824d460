package startup

import (
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/logging"
	"github.com/aistore-go/aistore/cmn/metrics"
)

// OpenLog opens the node's log, writes the warnings of Load to it, and keeps
// it as the configuration in force says.
func (s *Settings) OpenLog() (*logging.Log, error) {
	conf := logConfig(s.Config())
	log, err := logging.New(logging.Options{
		Dir: s.Local.LogDir, Role: s.Role, Level: conf.Level, MaxSize: conf.MaxSize, MaxTotal: conf.MaxTotal,
		FlushTime: conf.FlushTime, ToStderr: conf.ToStderr, Stderr: s.Stderr,
	})
	if err != nil {
		return nil, err
	}
	logger := log.Logger("ais")
	for _, warning := range s.Warnings {
		logger.Warn("configuration: " + warning)
	}
	s.log.Store(logger)
	inForce := conf
	s.Live.Watch(func(c *config.Cluster) {
		if wanted := logConfig(c); wanted != inForce {
			if err := log.SetConfig(wanted); err != nil {
				logger.Error("the log cannot be kept as configured", "err", err)
				return
			}
			inForce = wanted
		}
	})
	return log, nil
}

// Measure keeps the metrics as the configuration in force says.
func (s *Settings) Measure(m *metrics.Registry) {
	s.Live.Watch(func(c *config.Cluster) {
		m.SetDetailed(c.Features.Has(feature.DetailedPromMetrics))
		m.SetGoRuntime(c.Features.Has(feature.GoRuntimeMetrics))
		m.SetCountNotFound(c.Features.Has(feature.CountObjectNotFound))
	})
}

// Reconfigure puts the cluster's configuration into force, with this node's
// overrides: for Config, and for all that watches it.
func (s *Settings) Reconfigure(cluster *config.Cluster) { s.Live.SetCluster(cluster) }

// LogStats writes a line with the node's counters to the log at the configured
// interval, if they have changed, until the returned function is called. An
// interval of 0 means that it is not wanted.
func (s *Settings) LogStats(log *logging.Log, m *metrics.Registry) (stop func()) {
	logger := log.Logger("stats")
	return s.Every(func(c *config.Cluster) time.Duration { return c.Log.StatsTime.D() }, func() {
		if line, changed := m.StatsLine(); changed {
			logger.Info(line)
		}
	})
}

func logConfig(c *config.Cluster) logging.Config {
	return logging.Config{
		Level: logging.Level(c.Log.Level), MaxSize: int64(c.Log.MaxSize), MaxTotal: int64(c.Log.MaxTotal),
		FlushTime: c.Log.FlushTime.D(), ToStderr: c.Log.ToStderr,
	}
}
