package startup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/config"
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
	NodeID      string // "" for the environment's, the stored one, a new one
	Getenv      func(string) string
	Stderr      io.Writer // of a log that goes there
	Build       node.BuildInfo
}

// Settings are a node's configuration, read and checked.
type Settings struct {
	Options
	Env      config.Env
	Local    *config.Local
	Cluster  *config.Cluster  // of the file; in force until the cluster's own is known
	Override *config.Override // of this node, stored and from the command line
	Warnings []string         // for the log

	conf atomic.Pointer[config.Cluster] // see Config
}

// Load reads and checks everything that a node is configured by, makes its
// directories, and keeps new overrides. Errors are one line for an operator.
func Load(o Options) (*Settings, error) {
	s := &Settings{Options: o, Override: &config.Override{}}
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
	own, err := s.Override.Apply(s.Cluster)
	if err != nil {
		return nil, fmt.Errorf("node override: %w", err)
	}
	s.conf.Store(own)
	s.checkFileLimit()
	return s, nil
}

// Config is the configuration in force, for parts that are made before the
// node: first that of the files, later what
// Reconfigure got.
func (s *Settings) Config() *config.Cluster { return s.conf.Load() }

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

// readOverrides merges what the node has kept with what the command line says.
func (s *Settings) readOverrides() error {
	path := filepath.Join(s.Local.ConfDir, overrideFile)
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
		s.Override.Merge(stored)
	}
	if s.Custom == "" {
		return nil
	}
	custom, err := config.ParseCustom(s.Custom)
	if err != nil {
		return fmt.Errorf("-config_custom: %w", err)
	}
	s.Override.Merge(custom)
	if s.Transient {
		return nil
	}
	if _, err := s.Override.Apply(s.Cluster); err != nil {
		return fmt.Errorf("-config_custom: %w", err)
	}
	data, err = s.Override.MarshalJSON()
	if err != nil {
		return err
	}
	return replaceFile(path, append(data, '\n'))
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
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
