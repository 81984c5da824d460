package meta

import (
	"encoding/json"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
)

// Config is the cluster configuration as a document. The patch of a change is
// the whole new configuration in JSON; its version and the cluster's UUID are
// set when it is applied, its LastUpdate is the caller's.
type Config struct{ *config.Cluster }

// Kind is KindConfig.
func (c *Config) Kind() string { return KindConfig }

// Ver is the version of the configuration; 0 for nil.
func (c *Config) Ver() int64 {
	if c == nil || c.Cluster == nil {
		return 0
	}
	return c.Version
}

// MarshalJSON writes the configuration.
func (c *Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.Cluster) }

// UnmarshalJSON reads the configuration. Keys of other versions of the program
// are ignored, missing ones have their defaults. Ranges are not checked: that
// is done once, where a change is made (NewChange), so that nodes of different
// versions apply the same changes, and stored documents can always be read.
func (c *Config) UnmarshalJSON(data []byte) error {
	fresh := config.DefaultCluster()
	if err := json.Unmarshal(data, fresh); err != nil {
		return apierr.Wrap(err, apierr.StatusBadRequest, "", "failed to unmarshal the cluster configuration")
	}
	if fresh.Backend == nil {
		fresh.Backend = config.BackendConf{}
	}
	c.Cluster = fresh
	return nil
}

// Encode returns the configuration in JSON.
func (c *Config) Encode() ([]byte, error) { return json.Marshal(c.Cluster) }
