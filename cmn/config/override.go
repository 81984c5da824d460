package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config/dotted"
)

// Override are the keys that a node sets for itself, on top of the cluster
// configuration: from dotted key to text. The zero value overrides nothing. In JSON it
// is the object of its keys.
type Override struct {
	values map[string]string
}

// ParseCustom reads "key=value,key=value" with dotted keys, as the option
// -config_custom has it, and checks that a node may set these keys and that
// the values parse. Later values of a key win. Errors are 400 and name the
// key; that of a cluster-only key says `configuration can only be globally
// updated`.
func ParseCustom(text string) (*Override, error) {
	o := &Override{values: map[string]string{}}
	if strings.TrimSpace(text) == "" {
		return o, nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(pair, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if !ok || key == "" {
			return nil, apierr.BadRequest("%q is not of the form key=value", clip(pair))
		}
		if err := o.Set(key, strings.TrimSpace(value)); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// Set adds a key, or replaces its value.
func (o *Override) Set(key, value string) error {
	key = strings.ToLower(key)
	if err := checkKey(key, Scope{Node: true}); err != nil {
		return err
	}
	if err := dotted.Set(DefaultCluster(), key, value); err != nil {
		return err
	}
	if o.values == nil {
		o.values = map[string]string{}
	}
	o.values[key] = value
	return nil
}

// Merge adds the keys of other; they win.
func (o *Override) Merge(other *Override) {
	if len(other.values) > 0 && o.values == nil {
		o.values = map[string]string{}
	}
	maps.Copy(o.values, other.values)
}

// Clone returns a copy.
func (o *Override) Clone() *Override { return &Override{values: maps.Clone(o.values)} }

// Without returns a copy without the keys of other.
func (o *Override) Without(other *Override) *Override {
	rest := o.Clone()
	for key := range other.values {
		delete(rest.values, key)
	}
	return rest
}

// Len is the number of keys.
func (o *Override) Len() int { return len(o.values) }

// Apply returns the effective configuration of the node: a copy of c with the
// override, validated. Errors are 400.
func (o *Override) Apply(c *Cluster) (*Cluster, error) {
	effective := c.Clone()
	for _, key := range slices.Sorted(maps.Keys(o.values)) {
		if err := dotted.Set(effective, key, o.values[key]); err != nil {
			return nil, err
		}
	}
	if err := effective.Validate(); err != nil {
		return nil, err
	}
	return effective, effective.NotBuilt()
}

// MarshalJSON writes the object of the keys.
func (o *Override) MarshalJSON() ([]byte, error) {
	values := o.values
	if values == nil {
		values = map[string]string{}
	}
	return json.Marshal(values)
}

// ParseOverride reads what MarshalJSON wrote. Keys that a node may not set
// are ignored, each with a warning.
func ParseOverride(data []byte) (o *Override, warnings []string, err error) {
	if len(data) > maxFile {
		return nil, nil, apierr.BadRequest("the node override has %d bytes (at most %d)", len(data), maxFile)
	}
	var values map[string]string
	if err := json.Unmarshal(data, &values); err != nil {
		return nil, nil, apierr.Wrap(err, http.StatusBadRequest, "", "failed to unmarshal the node override")
	}
	o, warnings = &Override{values: map[string]string{}}, []string{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if err := o.Set(key, values[key]); err != nil {
			warnings = append(warnings, fmt.Sprintf("key %q of the node override is ignored: %v", clip(key), err))
		}
	}
	return o, warnings, nil
}
