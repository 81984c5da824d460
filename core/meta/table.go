package meta

import (
	"encoding/json"
	"maps"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Table is a document of entries by key. What an entry means is the business
// of the package that owns the kind. A published Table is immutable.
type Table struct {
	Version int64                      `json:"version,string"`
	Entries map[string]json.RawMessage `json:"entries"`

	kind string
}

// TablePatch changes a table: first Del, then Put. Unknown keys in Del are
// ignored.
type TablePatch struct {
	Put map[string]json.RawMessage `json:"put,omitempty"`
	Del []string                   `json:"del,omitempty"`
}

// maxEntries bounds a table; all of them are in memory on every node.
const maxEntries = 100_000

// Kind is the name under which the table is registered.
func (t *Table) Kind() string { return t.kind }

// Ver is the version; 0 for nil.
func (t *Table) Ver() int64 {
	if t == nil {
		return 0
	}
	return t.Version
}

// Encode returns the table in JSON.
func (t *Table) Encode() ([]byte, error) { return json.Marshal(t) }

// Get returns an entry.
func (t *Table) Get(key string) (entry json.RawMessage, ok bool) {
	if t == nil {
		return nil, false
	}
	entry, ok = t.Entries[key]
	return entry, ok
}

func registerTable(name string, to Distribution, field func(*View) **Table) kind {
	decode := func(data []byte) (*Table, error) {
		t := &Table{kind: name}
		if err := json.Unmarshal(data, t); err != nil {
			return nil, decodeError(err, name)
		}
		if t.Version <= 0 {
			return nil, apierr.BadRequest("invalid %s: version %d", name, t.Version)
		}
		return t, nil
	}
	apply := func(v *View, patch []byte, version int64) (*Table, error) {
		p := new(TablePatch)
		if err := decodePatch(patch, p); err != nil {
			return nil, err
		}
		next := &Table{Version: version, Entries: map[string]json.RawMessage{}, kind: name}
		if now := *field(v); now != nil {
			maps.Copy(next.Entries, now.Entries)
		}
		for _, key := range p.Del {
			delete(next.Entries, key)
		}
		maps.Copy(next.Entries, p.Put)
		if len(next.Entries) > maxEntries {
			return nil, apierr.BadRequest("%s: more than %d entries", name, maxEntries)
		}
		return next, nil
	}
	return register(name, to, field, decode, apply)
}
