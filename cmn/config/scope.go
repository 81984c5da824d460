package config

import (
	"slices"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config/dotted"
)

// Scope is for what a change is meant.
type Scope struct {
	Node      bool // for one node; else for the whole cluster
	Transient bool // in memory only, gone after a restart
}

// nodeSections are the sections that a node may set for itself; all others
// are of the whole cluster.
var nodeSections = [...]string{
	"client", "disk", "distributed_sort", "downloader", "fshc", "keepalivetracker", "log", "lru", "memsys", "rate_limit", "resilver",
	"space", "timeout", "tracing", "write_policy",
}

// neverTransient are the sections and keys that a change in memory of the
// whole cluster cannot have: nodes read them at their start, or agree on them.
var neverTransient = [...]string{
	"auth", "net", "tracing", "memsys", "keepalivetracker", "timeout.max_keepalive", "timeout.cplane_operation",
}

// absent are the sections that clients know and this version does not have.
type absent struct {
	Tracing struct {
		ExporterEndpoint string `json:"exporter_endpoint"`
		ExporterAuth     struct {
			TokenHeader string `json:"token_header"`
			TokenFile   string `json:"token_file"`
		} `json:"exporter_auth"`
		ServiceNamePrefix  string            `json:"service_name_prefix"`
		Attributes         map[string]string `json:"attributes"`
		SamplerProbability string            `json:"sampler_probability"`
		Enabled            bool              `json:"enabled"`
		SkipVerify         bool              `json:"skip_verify"`
	} `json:"tracing"`
	DistributedSort struct {
		DuplicatedRecords  string `json:"duplicated_records"`
		MissingShards      string `json:"missing_shards"`
		EKMMalformedLine   string `json:"ekm_malformed_line"`
		EKMMissingKey      string `json:"ekm_missing_key"`
		DefaultMaxMemUsage string `json:"default_max_mem_usage"`
		MemThreshold       string `json:"dsorter_mem_threshold"`
		CallTimeout        string `json:"call_timeout"`
		Compression        string `json:"compression"`
		BundleMultiplier   int    `json:"bundle_multiplier"`
	} `json:"distributed_sort"`
}

// Check tells whether clients may make these changes: whether there are any,
// whether their keys exist and can be set, and in this scope. It does not look
// at the values. Errors are 400, or 501 for what cannot be transient and for
// what is not built; the 501 of a transient change goes before all others.
func (c *Changes) Check(scope Scope) error {
	if scope.Transient && !scope.Node {
		for i := range c.list {
			if name := c.list[i].neverTransient(); name != "" {
				return apierr.NotImplemented("%s cannot be changed transiently for the whole cluster: not implemented (key %q)", name, c.list[i].key)
			}
		}
	}
	if len(c.list) == 0 {
		return apierr.BadRequest("no properties to update")
	}
	for i := range c.list {
		if err := checkKey(c.list[i].key, scope); err != nil {
			return err
		}
	}
	return nil
}

// neverTransient returns the name of the section or key that forbids it.
func (c *change) neverTransient() string {
	for _, name := range neverTransient {
		if c.key == name || strings.HasPrefix(c.key, name+".") {
			if strings.Contains(name, ".") {
				return "property \"" + name + "\""
			}
			return "section \"" + name + "\""
		}
	}
	return ""
}

func checkKey(key string, scope Scope) error {
	section, _, _ := strings.Cut(key, ".")
	switch {
	case readOnly(key):
		return dotted.ReadOnly(key)
	case !known(key):
		return dotted.Unknown(clip(key))
	case slices.Contains(nodeSections[:], section):
	case scope.Transient && scope.Node:
		return apierr.BadRequest("%s (cluster-scoped) configuration cannot be changed transiently: %[1]s configuration can only be globally updated",
			clusterOnlyName(section))
	case scope.Transient:
		return apierr.BadRequest("%s (cluster-scoped) configuration cannot be changed transiently", clusterOnlyName(section))
	case scope.Node:
		return apierr.BadRequest("%s configuration can only be globally updated", clusterOnlyName(section))
	}
	if section == "tracing" || section == "distributed_sort" {
		return apierr.NotImplemented("property %q: section %s is not built yet", key, section)
	}
	return nil
}

// known tells that a key exists, be its section built or not. One below a map
// does not, but is meant for it.
func known(key string) bool {
	if strings.HasPrefix(key, "backend.") {
		return true
	}
	return slices.ContainsFunc(allKeys(), func(k string) bool { return strings.EqualFold(k, key) })
}

// allKeys are the keys of all sections.
func allKeys() []string { return append(dotted.Keys(new(Cluster)), dotted.Keys(new(absent))...) }

// sectionNames are the dotted names of all sections, and of those in sections.
func sectionNames() map[string]bool {
	names := map[string]bool{}
	for _, key := range allKeys() {
		for dot := strings.LastIndexByte(key, '.'); dot > 0; dot = strings.LastIndexByte(key[:dot], '.') {
			names[key[:dot]] = true
		}
	}
	return names
}

// clusterOnlyName is the name of a section in messages; it differs from the
// key here and there (wire facts).
func clusterOnlyName(section string) string {
	switch section {
	case "checksum":
		return "cksum"
	case "get_batch":
		return "getbatch"
	}
	return section
}

// readOnly tells keys that nobody sets.
func readOnly(key string) bool {
	switch key {
	case "uuid", "config_version", "lastupdate_time", "ext", "proxy.non_electable", "write_policy.data",
		"net.http.write_buffer_size", "net.http.read_buffer_size", "fspaths", "fspaths.paths":
		return true
	}
	return strings.HasPrefix(key, "net.l4.") ||
		strings.HasPrefix(key, "keepalivetracker.") && strings.HasSuffix(key, ".name")
}
