package startup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/core/meta"
)

// Files of a node in its configuration directory, besides the state file.
const (
	overrideFile = ".ais.override_config"
	proxyIDFile  = ".ais.proxy_id"
)

// maxConfigFile bounds a configuration file, in bytes.
const maxConfigFile = 4 << 20

// Options are what the command line and the environment say.
type Options struct {
	Role        string // config.RoleProxy or config.RoleTarget
	ClusterFile string // initial cluster configuration
	LocalFile   string // node configuration
	Custom      string // "key=value,key=value": overrides of this node
	Transient   bool   // do not keep Custom for the next start
	NetFromFile bool   // section net of ClusterFile counts, not the stored one
	NodeID      string // "" for the environment's, the stored one, a new one
	Standby     bool   // join no cluster before an operator adds the node to one
	Getenv      func(string) string
	Stderr      io.Writer // of a log that goes there
	Build       node.BuildInfo
}

// Settings are a node's configuration, read and checked.
type Settings struct {
	Options
	Env      config.Env
	Local    *config.Local
	Cluster  *config.Cluster // of the file; in force until the cluster's own is known
	Live     *config.Live    // in force, with this node's overrides
	Warnings []string        // for the log

	log atomic.Pointer[slog.Logger] // see warnLive
}

// Load reads and checks everything that a node is configured by, makes its
// directories, and keeps new overrides. Errors are one line for an operator.
func Load(o Options) (*Settings, error) {
	s := &Settings{Options: o}
	var err error
	if s.Env, err = config.ReadEnv(o.Getenv); err != nil {
		return nil, err
	}
	if _, err := s.ConfiguredID(); err != nil {
		return nil, err
	}
	if err := s.readLocal(); err != nil {
		return nil, err
	}
	if err := s.readCluster(); err != nil {
		return nil, err
	}
	for _, dir := range []string{s.Local.ConfDir, s.Local.LogDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := s.readOverrides(); err != nil {
		return nil, err
	}
	s.checkFileLimit()
	return s, nil
}

// Config is the configuration in force: that of the files until UseStored, and
// until Reconfigure has got the cluster's.
func (s *Settings) Config() *config.Cluster { return s.Live.Config() }

// UseStored puts the configuration into force that this node's cluster had
// when the node was stopped, nil if it was in none. What a node reads only at
// its start, it then reads as it was changed.
func (s *Settings) UseStored(cluster *config.Cluster) {
	if cluster == nil {
		return
	}
	if s.NetFromFile {
		cluster = cluster.Clone()
		cluster.Net = s.Cluster.Net
	}
	s.Live.SetCluster(cluster)
}

// FirstConfig is the configuration of a cluster that this node founds: that of
// the file, with this node's address as the one where the cluster is found.
func (s *Settings) FirstConfig(self *meta.Snode) *config.Cluster {
	first := s.Cluster.Clone()
	first.Proxy.PrimaryURL, first.Proxy.OriginalURL = self.IntraControl.URL, self.IntraControl.URL
	first.Touch(time.Now())
	return first
}

func (s *Settings) readLocal() error {
	data, err := readFile("-local_config", s.LocalFile)
	if err != nil {
		return err
	}
	local, warnings, err := config.ParseLocal(data, s.Role)
	if err != nil {
		return fmt.Errorf("%s: %w", s.LocalFile, err)
	}
	s.Local = local
	s.warn(s.LocalFile, warnings)
	return nil
}

func (s *Settings) readCluster() error {
	data, err := readFile("-config", s.ClusterFile)
	if err != nil {
		return err
	}
	cluster, warnings, err := config.ParseCluster(data)
	if err != nil {
		return fmt.Errorf("%s: %w", s.ClusterFile, err)
	}
	s.Cluster = cluster
	s.warn(s.ClusterFile, warnings)
	return nil
}

// readOverrides reads what the node has kept, and what the command line says,
// and puts both into force, on top of the file's configuration.
func (s *Settings) readOverrides() error {
	path := filepath.Join(s.Local.ConfDir, overrideFile)
	kept, transient := &config.Override{}, &config.Override{}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		stored, warnings, err := config.ParseOverride(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		s.warn(path, warnings)
		kept = stored
	}
	keep := func(o *config.Override) error { return keepOverride(path, o) }
	if s.Custom != "" {
		custom, err := config.ParseCustom(s.Custom)
		if err == nil {
			before, _ := kept.Fit(s.Cluster)
			_, err = custom.Apply(before)
		}
		if err != nil {
			return fmt.Errorf("-config_custom: %w", err)
		}
		if s.Transient {
			transient = custom
		} else {
			kept.Merge(custom)
			if err := keep(kept); err != nil {
				return err
			}
		}
	}
	s.Live = config.NewLive(config.LiveOptions{
		Cluster: s.Cluster, Kept: kept, Transient: transient, Keep: keep, Warn: s.warnLive,
	})
	return nil
}

// keepOverride stores an override, or forgets it if it is empty, so that the
// next start finds it so, whatever happens.
func keepOverride(path string, o *config.Override) error {
	if o.Len() == 0 {
		if err := os.Remove(path); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		return syncDir(filepath.Dir(path))
	}
	data, err := o.MarshalJSON()
	if err != nil {
		return err
	}
	return replaceFile(path, append(data, '\n'))
}

// warnLive tells what of an override is not in force: in the log, or, while
// there is none yet, where it will go first.
func (s *Settings) warnLive(warning string) {
	if logger := s.log.Load(); logger != nil {
		logger.Warn("configuration: " + warning)
		return
	}
	s.Warnings = append(s.Warnings, warning)
}

func (s *Settings) warn(file string, warnings []string) {
	for _, warning := range warnings {
		s.Warnings = append(s.Warnings, file+": "+warning)
	}
}

func readFile(flag, path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", flag, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %s is not a file", flag, path)
	case info.Size() > maxConfigFile:
		return nil, fmt.Errorf("%s: %s is larger than %d bytes", flag, path, maxConfigFile)
	}
	return os.ReadFile(path)
}

// replaceFile writes a small file so that after a crash either the old or the
// new content is there.
func replaceFile(path string, data []byte) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temporary.Name()) // the first error is the one to report
		}
	}()
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes what was renamed and removed in a folder durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
