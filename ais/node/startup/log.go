package startup

import (
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/logging"
	"github.com/aistore-go/aistore/cmn/metrics"
)

// OpenLog opens the node's log and writes the warnings of Load to it.
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
	return log, nil
}

// Reconfigure puts the cluster's configuration, with this node's overrides,
// into force: for Config, in the log and in the metrics.
func (s *Settings) Reconfigure(cluster *config.Cluster, log *logging.Log, m *metrics.Registry) error {
	own, err := s.Override.Apply(cluster)
	if err != nil {
		return err
	}
	s.conf.Store(own)
	m.SetDetailed(own.Features.Has(feature.DetailedPromMetrics))
	m.SetGoRuntime(own.Features.Has(feature.GoRuntimeMetrics))
	m.SetCountNotFound(own.Features.Has(feature.CountObjectNotFound))
	return log.SetConfig(logConfig(own))
}

// LogStats writes a line with the node's counters to the log at the configured
// interval, if they have changed, until the returned function is called. An
// interval of 0 means that it is not wanted now.
func (s *Settings) LogStats(log *logging.Log, m *metrics.Registry) (stop func()) {
	logger := log.Logger("stats")
	const look = 10 * time.Second // for an interval that was set
	interval := func() time.Duration {
		if every := s.Config().Log.StatsTime.D(); every > 0 {
			return every
		}
		return look
	}
	return Every(interval, func() {
		if s.Config().Log.StatsTime <= 0 {
			return
		}
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
