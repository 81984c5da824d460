package config

import (
	"bytes"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config/dotted"
)

// Changes are new values for some keys of the configuration, as a client
// sends them: all of them are made, or none.
type Changes struct {
	list []change // in the order given; each key once
}

// change is one key's new value, as text or as JSON.
type change struct {
	key  string // dotted, lower case
	text string
	json json.RawMessage // in the place of text, if it is not nil
}

// useHTTPS is the key whose change also changes the URLs of the section proxy.
const useHTTPS = "net.http.use_https"

// ParsePairs reads dotted keys, in any case, with values as text. Of a key
// that comes twice the first value counts. See Check for what may be wrong.
func ParsePairs(pairs iter.Seq2[string, string]) *Changes {
	c := &Changes{}
	for key, text := range pairs {
		c.add(change{key: strings.ToLower(key), text: text})
	}
	return c
}

// ParseMessage reads a part of a configuration in JSON: what it does not
// mention, or sets to null, stays. A key that does not exist is an error here
// or in Check, unlike one of a file.
func ParseMessage(data []byte) (*Changes, error) {
	c := &Changes{}
	if len(bytes.TrimSpace(data)) == 0 || string(bytes.TrimSpace(data)) == "null" {
		return c, nil
	}
	return c, c.flatten(data, "", sectionNames())
}

// flatten adds the leaves of a JSON object, in ascending order of their names.
func (c *Changes) flatten(data []byte, prefix string, sections map[string]bool) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil || object == nil {
		what := "the configuration"
		if prefix != "" {
			what = "property \"" + prefix + "\""
		}
		return apierr.BadRequest("failed to unmarshal %s: expecting a JSON object", what)
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		key, raw := strings.ToLower(name), object[name]
		if prefix != "" {
			key = prefix + "." + key
		}
		switch {
		case string(raw) == "null":
			if !known(key) && !sections[key] {
				return dotted.Unknown(clip(key))
			}
		case sections[key]:
			if err := c.flatten(raw, key, sections); err != nil {
				return err
			}
		default:
			c.add(change{key: key, json: raw})
		}
	}
	return nil
}

// add appends a change, unless its key is there. The older name of a key
// stands for it.
func (c *Changes) add(next change) {
	if next.key == "auth.enabled" {
		next.key = "auth.client_auth_required"
	}
	if !slices.ContainsFunc(c.list, func(o change) bool { return o.key == next.key }) {
		c.list = append(c.list, next)
	}
}

// Touch notes when the configuration was changed, as clients see it.
func (c *Cluster) Touch(now time.Time) {
	c.LastUpdate = now.UTC().Format("2006-01-02 15:04:05.000000 -0700 MST")
}

// Keys are the dotted keys that are changed, in lower case.
func (c *Changes) Keys() []string {
	keys := make([]string, len(c.list))
	for i := range c.list {
		keys[i] = c.list[i].key
	}
	return keys
}

// Touches tells that a key of a section is changed.
func (c *Changes) Touches(section string) bool {
	return slices.ContainsFunc(c.list, func(o change) bool { return strings.HasPrefix(o.key, section+".") })
}

// Apply returns a valid copy of a configuration with the changes. Switching
// HTTPS on or off also changes the scheme of the URLs of the section proxy.
// Errors are 400, or 501 for what is not built.
func (c *Changes) Apply(to *Cluster) (*Cluster, error) {
	next := to.Clone()
	for i := range c.list {
		if err := c.list[i].set(next); err != nil {
			return nil, err
		}
	}
	if slices.ContainsFunc(c.list, func(o change) bool { return o.key == useHTTPS }) {
		next.Proxy.SetScheme(next.Net.HTTP.UseHTTPS)
	}
	if err := next.Validate(); err != nil {
		return nil, err
	}
	return next, next.NotBuilt()
}

func (c *change) set(in *Cluster) error {
	if c.json != nil {
		return dotted.SetJSON(in, c.key, c.json)
	}
	return dotted.Set(in, c.key, c.text)
}

// asText is the value as an override keeps it.
func (c *change) asText() string {
	if c.json == nil {
		return c.text
	}
	var text string
	if json.Unmarshal(c.json, &text) == nil {
		return text
	}
	return string(c.json) // a number or a boolean
}

// Override returns the changes as overrides of one node. They must have been
// checked and applied before.
func (c *Changes) Override() *Override {
	o := &Override{values: make(map[string]string, len(c.list))}
	for i := range c.list {
		o.values[c.list[i].key] = c.list[i].asText()
	}
	return o
}

// SetScheme makes the URLs ones of http or https.
func (c *ProxyConf) SetScheme(https bool) {
	scheme := "http"
	if https {
		scheme = "https"
	}
	for _, address := range []*string{&c.PrimaryURL, &c.OriginalURL, &c.DiscoveryURL} {
		if _, rest, ok := strings.Cut(*address, "://"); ok {
			*address = scheme + "://" + rest
		}
	}
}
