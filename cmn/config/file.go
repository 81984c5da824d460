package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config/dotted"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// identityKeys are written by the cluster itself; in a file by hand they mean
// nothing.
var identityKeys = []string{"uuid", "config_version", "lastupdate_time", "ext"}

// ParseCluster reads the plain file with a cluster's initial configuration
// (ais.json), fills in defaults and validates. Unknown keys are ignored, each
// with a warning. The section "timeout" must be there and complete; "rebalance" and
// "fshc" must be complete if they are there and not empty, but for "enabled",
// which then is false; in "ec" a missing "objsize_limit" then is 0. What the
// file turns on and this version does not have is an error.
func ParseCluster(data []byte) (c *Cluster, warnings []string, err error) {
	sections, err := topLevel(data, "cluster configuration")
	if err != nil {
		return nil, nil, err
	}
	c = DefaultCluster()
	if err := c.clearPartial(sections); err != nil {
		return nil, nil, err
	}
	if err := c.readAuthAlias(sections); err != nil {
		return nil, nil, err
	}
	warnings = []string{}
	err = dotted.Decode(data, c, func(key string, known bool) error {
		switch {
		case slices.Contains(identityKeys, key):
			warnings = append(warnings, fmt.Sprintf("key %q is ignored: the cluster sets it", key))
			return dotted.ErrSkip
		case !known && key != "auth.enabled":
			warnings = append(warnings, fmt.Sprintf("unknown key %q is ignored", clip(key)))
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, nil, err
	}
	if err := tracingOff(sections["tracing"]); err != nil {
		return nil, nil, err
	}
	return c, warnings, c.NotBuilt()
}

// topLevel splits a file into its sections; the error names the line of a
// syntax error.
func topLevel(data []byte, what string) (map[string]json.RawMessage, error) {
	if len(data) > maxFile {
		return nil, apierr.BadRequest("the %s has %d bytes (at most %d)", what, len(data), maxFile)
	}
	var sections map[string]json.RawMessage
	err := json.Unmarshal(data, &sections)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		offset := min(max(syntax.Offset, 0), int64(len(data)))
		line := 1 + bytes.Count(data[:offset], []byte{'\n'})
		return nil, apierr.Wrap(err, 400, "", "failed to unmarshal the %s: line %d", what, line)
	case err != nil || sections == nil:
		return nil, apierr.BadRequest("failed to unmarshal the %s: expecting a JSON object", what)
	}
	return sections, nil
}

// clearPartial removes the defaults of sections that a file must give
// completely, and checks that it does.
func (c *Cluster) clearPartial(sections map[string]json.RawMessage) error {
	timeout, err := keysOf(sections, "timeout")
	if err != nil {
		return err
	}
	if timeout == nil {
		return apierr.BadRequest("section \"timeout\" is missing")
	}
	if err := complete("timeout", timeout, "cplane_operation", "max_keepalive", "max_host_busy",
		"startup_time", "join_startup_time", "send_file_time"); err != nil {
		return err
	}
	rebalance, err := keysOf(sections, "rebalance")
	if err != nil {
		return err
	}
	if len(rebalance) > 0 {
		c.Rebalance = RebalanceConf{}
		if err := complete("rebalance", rebalance, "bundle_multiplier", "burst_buffer", "dest_retry_time"); err != nil {
			return err
		}
	}
	fshc, err := keysOf(sections, "fshc")
	if err != nil {
		return err
	}
	if len(fshc) > 0 {
		c.FSHC = FSHCConf{}
		if err := complete("fshc", fshc, "test_files", "error_limit"); err != nil {
			return err
		}
	}
	ec, err := keysOf(sections, "ec")
	if err == nil && len(ec) > 0 {
		c.EC.ObjSizeLimit = 0
	}
	return err
}

// keysOf returns the keys of a section, nil if it is missing.
func keysOf(sections map[string]json.RawMessage, name string) (keys map[string]json.RawMessage, err error) {
	raw, ok := sections[name]
	if !ok || string(raw) == "null" {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &keys); err != nil {
		return nil, apierr.BadRequest("failed to unmarshal property %q: expecting a JSON object", name)
	}
	return keys, nil
}

// complete checks that a section has all the keys that have no default there.
func complete(section string, have map[string]json.RawMessage, keys ...string) error {
	var missing []string
	for _, key := range keys {
		if raw, ok := have[key]; !ok || string(raw) == "null" {
			missing = append(missing, section+"."+key)
		}
	}
	if len(missing) > 0 {
		return apierr.BadRequest("section %q must be complete: %s missing", section, strings.Join(missing, ", "))
	}
	return nil
}

// readAuthAlias reads the older name of auth.client_auth_required.
func (c *Cluster) readAuthAlias(sections map[string]json.RawMessage) error {
	auth, err := keysOf(sections, "auth")
	if err != nil || auth["enabled"] == nil {
		return err
	}
	if err := json.Unmarshal(auth["enabled"], &c.Auth.Required); err != nil {
		return apierr.BadRequest("failed to unmarshal property \"auth.enabled\": expecting true or false")
	}
	return nil
}

// tracingOff refuses a file that turns tracing on.
func tracingOff(section json.RawMessage) error {
	var tracing struct {
		Enabled bool `json:"enabled"`
	}
	if section == nil {
		return nil
	}
	if err := json.Unmarshal(section, &tracing); err != nil {
		return apierr.BadRequest("failed to unmarshal property \"tracing\": expecting a JSON object with the boolean \"enabled\"")
	}
	if tracing.Enabled {
		return apierr.NotImplemented("tracing.enabled is on, but tracing is not built yet")
	}
	return nil
}
