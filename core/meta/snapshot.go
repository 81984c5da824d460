package meta

import (
	"encoding/json"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// viewJSON is a whole view: what a node stores, and pulls when it is behind.
type viewJSON struct {
	UUID      string                     `json:"uuid"`
	Lineage   string                     `json:"lineage"`
	Ancestors []string                   `json:"ancestors,omitempty"`
	Term      uint64                     `json:"term,string"`
	Index     uint64                     `json:"index,string"`
	Documents map[string]json.RawMessage `json:"documents"`
}

// Encode returns the whole view in JSON. Equal views have equal encodings.
func (v *View) Encode() ([]byte, error) {
	form := viewJSON{UUID: v.UUID, Lineage: v.Lineage, Ancestors: v.Ancestors, Term: v.Term, Index: v.Index, Documents: map[string]json.RawMessage{}}
	for _, k := range kinds() {
		d := k.get(v)
		if d == nil {
			continue
		}
		data, err := d.Encode()
		if err != nil {
			return nil, apierr.Wrap(err, apierr.StatusInternalServerError, "", "failed to marshal %s", k.name)
		}
		form.Documents[k.name] = data
	}
	data, err := json.Marshal(&form)
	if err != nil {
		return nil, apierr.Wrap(err, apierr.StatusInternalServerError, "", "failed to marshal the cluster's metadata")
	}
	return data, nil
}

// DecodeView reads an encoded view, with all documents frozen. A kind of
// document that this version of the program does not know is an error: to
// drop it would lose it.
func DecodeView(data []byte) (*View, error) {
	var form viewJSON
	if err := json.Unmarshal(data, &form); err != nil {
		return nil, apierr.Wrap(err, apierr.StatusBadRequest, "", "failed to unmarshal the cluster's metadata")
	}
	v := &View{UUID: form.UUID, Lineage: form.Lineage, Ancestors: form.Ancestors, Term: form.Term, Index: form.Index}
	for name, raw := range form.Documents {
		k, err := lookup(name)
		if err != nil {
			return nil, err
		}
		d, err := k.decode(raw)
		if err != nil {
			return nil, err
		}
		k.put(v, d)
	}
	if err := v.sameUUID(); err != nil {
		return nil, err
	}
	return v, nil
}

// sameUUID checks that all documents are of one cluster.
func (v *View) sameUUID() error {
	switch {
	case v.Smap != nil && v.Smap.UUID != v.UUID:
		return foreign(KindSmap, v.Smap.UUID, v.UUID)
	case v.BMD != nil && v.BMD.UUID != v.UUID:
		return foreign(KindBMD, v.BMD.UUID, v.UUID)
	case v.Config != nil && v.Config.UUID != v.UUID:
		return foreign(KindConfig, v.Config.UUID, v.UUID)
	}
	return nil
}

func foreign(kindName, have, want string) error {
	return apierr.BadRequest("the %s is of cluster %q, not of %q", kindName, clipText(have), clipText(want))
}
