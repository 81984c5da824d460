package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config/dotted"
)

// Roles of a node, as the option -role and the cluster map have them.
const (
	RoleProxy  = "proxy"
	RoleTarget = "target"
)

// Limits of a local configuration.
const (
	maxMountpathLen  = 255
	maxMountpaths    = 1024
	maxLabelLen      = 64
	maxHostnameBytes = 1024
)

// Local is the configuration of one node. In answers it has the same JSON.
type Local struct {
	FSPaths     FSPaths     `json:"fspaths"`
	ConfDir     string      `json:"confdir"` // absolute
	LogDir      string      `json:"log_dir"` // absolute
	TestFSPaths TestFSPaths `json:"test_fspaths"`
	HostNet     HostNet     `json:"host_net"`

	// PromoteRoots are the directories of a target below which clients may
	// promote files; none: DefaultPromoteRoot.
	PromoteRoots []string `json:"promote_roots,omitempty"`
}

// DefaultPromoteRoot is below what clients may promote files of a target if its
// configuration does not say.
const DefaultPromoteRoot = "/var/lib/ais/promote"

// PromotedFrom returns the directories below which clients may promote files.
func (l *Local) PromotedFrom() []string {
	if len(l.PromoteRoots) == 0 {
		return []string{DefaultPromoteRoot}
	}
	return l.PromoteRoots
}

// Node is the whole effective configuration of a node as it is shown: its
// local part and the cluster's, with the node's override, on one JSON level.
type Node struct {
	*Local
	*Cluster
}

// FSPaths are mountpaths with their labels, "" for none. In JSON they are
// written as {"paths":{path:label}}; read is also the form of files, {path:label}.
type FSPaths map[string]string

// TestFSPaths makes mountpaths of one directory, for development: Count
// mountpaths <Root>/mp<i>, or <Root>/mp<i>/<Instance> if Instance is not 0.
type TestFSPaths struct {
	Root     string `json:"root"`
	Count    int    `json:"count"`
	Instance int    `json:"instance"`
}

// HostNet are the addresses of a node on its three networks. Host names may
// be empty: the node finds them out. Ports are decimal text.
type HostNet struct {
	Hostname             string `json:"hostname"` // several, separated by commas: multi-homed; the first is the main one
	HostnameIntraControl string `json:"hostname_intra_control"`
	HostnameIntraData    string `json:"hostname_intra_data"`
	Port                 string `json:"port"`
	PortIntraControl     string `json:"port_intra_control"`
	PortIntraData        string `json:"port_intra_data"`
}

// ParseLocal reads the plain file with a node's configuration
// (ais_local.json) and checks it for a role. Unknown keys are ignored, each
// with a warning.
func ParseLocal(data []byte, role string) (l *Local, warnings []string, err error) {
	if err := oneOf("role", role, RoleProxy, RoleTarget); err != nil {
		return nil, nil, err
	}
	if _, err := topLevel(data, "local configuration"); err != nil {
		return nil, nil, err
	}
	l, warnings = &Local{}, []string{}
	err = dotted.Decode(data, l, func(key string, known bool) error {
		if !known {
			warnings = append(warnings, fmt.Sprintf("unknown key %q is ignored", clip(key)))
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if err := l.validate(role); err != nil {
		return nil, nil, err
	}
	return l, warnings, nil
}

func (l *Local) validate(role string) error {
	for _, dir := range []struct {
		key  string
		path *string
	}{{"confdir", &l.ConfDir}, {"log_dir", &l.LogDir}} {
		if *dir.path == "" {
			return apierr.BadRequest("%s is missing", dir.key)
		}
		if !filepath.IsAbs(*dir.path) || strings.ContainsRune(*dir.path, 0) {
			return apierr.BadRequest("invalid %s: %q (expecting an absolute path)", dir.key, clip(*dir.path))
		}
		*dir.path = filepath.Clean(*dir.path)
	}
	if err := l.HostNet.validate(); err != nil {
		return err
	}
	if role != RoleTarget {
		return nil
	}
	for i, root := range l.PromoteRoots {
		if !filepath.IsAbs(root) || filepath.Clean(root) == "/" || strings.ContainsRune(root, 0) {
			return apierr.BadRequest("invalid promote_roots: %q (expecting absolute paths, and not the root directory)", clip(root))
		}
		l.PromoteRoots[i] = filepath.Clean(root)
	}
	if err := l.TestFSPaths.validate(); err != nil {
		return err
	}
	return l.FSPaths.validate(l.TestFSPaths.Count > 0)
}

// Mountpaths returns the mountpaths of a target with their labels, and
// whether they were made from test_fspaths, which win over fspaths.
func (l *Local) Mountpaths() (paths map[string]string, testMode bool) {
	t := l.TestFSPaths
	if t.Count == 0 {
		return maps.Clone(map[string]string(l.FSPaths)), false
	}
	paths = make(map[string]string, t.Count)
	for i := 1; i <= t.Count; i++ {
		path := filepath.Join(t.Root, "mp"+strconv.Itoa(i))
		if t.Instance > 0 {
			path = filepath.Join(path, strconv.Itoa(t.Instance))
		}
		paths[path] = ""
	}
	return paths, true
}

func (t *TestFSPaths) validate() error {
	if t.Count == 0 {
		return nil
	}
	if err := firstOf(
		within("test_fspaths.count", t.Count, 1, maxMountpaths),
		atLeast("test_fspaths.instance", t.Instance, 0),
	); err != nil {
		return err
	}
	t.Root = strings.TrimSpace(t.Root)
	if t.Root == "" || !filepath.IsAbs(t.Root) || strings.ContainsRune(t.Root, 0) {
		return apierr.BadRequest("invalid test_fspaths.root: %q (expecting an absolute path)", clip(t.Root))
	}
	t.Root = filepath.Clean(t.Root)
	if len(t.Root) > maxMountpathLen-len("/mp1024/2147483647") {
		return apierr.BadRequest("invalid test_fspaths.root: it is too long for mountpaths of at most %d bytes", maxMountpathLen)
	}
	return nil
}

// validate checks the paths and puts them in clean form.
func (p *FSPaths) validate(mayBeEmpty bool) error {
	if len(*p) == 0 && !mayBeEmpty {
		return apierr.BadRequest("fspaths is empty: a target needs at least one mountpath (or test_fspaths)")
	}
	if len(*p) > maxMountpaths {
		return apierr.BadRequest("fspaths has %d mountpaths (at most %d)", len(*p), maxMountpaths)
	}
	clean := make(FSPaths, len(*p))
	for _, path := range slices.Sorted(maps.Keys(*p)) {
		cleaned, err := CleanMountpath(path)
		if err != nil {
			return err
		}
		if _, twice := clean[cleaned]; twice {
			return apierr.BadRequest("invalid fspaths: mountpath %q is there twice", cleaned)
		}
		label := (*p)[path]
		if len(label) > maxLabelLen || strings.ContainsFunc(label, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return apierr.BadRequest("invalid fspaths: label %q of mountpath %q (expecting at most %d characters without blanks)",
				clip(label), cleaned, maxLabelLen)
		}
		clean[cleaned] = label
	}
	for path := range clean {
		for parent := filepath.Dir(path); parent != "/"; parent = filepath.Dir(parent) {
			if _, nested := clean[parent]; nested {
				return apierr.BadRequest("invalid fspaths: mountpath %q lies in mountpath %q", path, parent)
			}
		}
	}
	*p = clean
	return nil
}

// CleanMountpath returns the path of a mountpath in clean form. The error is
// a 400: a mountpath is absolute, not "/" and at most 255 bytes long.
func CleanMountpath(path string) (string, error) {
	cleaned := filepath.Clean(path)
	switch {
	case !filepath.IsAbs(path) || strings.ContainsRune(path, 0):
		return "", apierr.BadRequest("invalid mountpath %q: it must be an absolute path", clip(path))
	case cleaned == "/":
		return "", apierr.BadRequest("invalid mountpath %q: it must not be the root directory", clip(path))
	case len(cleaned) > maxMountpathLen:
		return "", apierr.BadRequest("invalid mountpath %q: it is longer than %d bytes", clip(path), maxMountpathLen)
	}
	return cleaned, nil
}

// MarshalJSON writes {"paths":{path:label}}.
func (p FSPaths) MarshalJSON() ([]byte, error) {
	paths := map[string]string(p)
	if paths == nil {
		paths = map[string]string{}
	}
	return json.Marshal(struct {
		Paths map[string]string `json:"paths"`
	}{paths})
}

// UnmarshalJSON reads {"paths":{path:label}} or {path:label}. A label may be
// text, null or an empty object.
func (p *FSPaths) UnmarshalJSON(data []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return apierr.BadRequest("expecting an object from mountpath to label")
	}
	if inner, ok := object["paths"]; ok && len(object) == 1 {
		object = nil
		if err := json.Unmarshal(inner, &object); err != nil {
			return apierr.BadRequest("\"paths\": expecting an object from mountpath to label")
		}
	}
	paths := make(FSPaths, len(object))
	for path, raw := range object {
		label, err := parseLabel(raw)
		if err != nil {
			return apierr.BadRequest("mountpath %q: the label must be text or {}", clip(path))
		}
		paths[path] = label
	}
	*p = paths
	return nil
}

func parseLabel(raw json.RawMessage) (label string, err error) {
	if bytesAre(raw, '{') {
		var empty struct{}
		decoder := json.NewDecoder(strings.NewReader(string(raw)))
		decoder.DisallowUnknownFields()
		return "", decoder.Decode(&empty)
	}
	return label, json.Unmarshal(raw, &label)
}

// bytesAre tells whether a JSON value begins with a character.
func bytesAre(raw json.RawMessage, first byte) bool { return len(raw) > 0 && raw[0] == first }
