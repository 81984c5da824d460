package meta

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Keys are the cluster keys with which nodes sign requests to each other. The
// document holds them sealed: each node can open its own box only. A
// published Keys is immutable.
type Keys struct {
	Version int64        `json:"version,string"`
	Keys    []ClusterKey `json:"keys"` // newest last
}

// ClusterKey is one key, sealed for the nodes that were in the map when it was
// made; a node that joined later got it when it joined.
type ClusterKey struct {
	ID    uint32            `json:"id"`
	Made  int64             `json:"made,string"` // seconds since the epoch, by the primary's clock
	Boxes map[string][]byte `json:"boxes"`       // by node id
}

// KeysPatch adds a key, which is used from now on, or boxes of keys that are
// there for nodes that joined later, or both.
type KeysPatch struct {
	Add   *ClusterKey `json:"add,omitempty"`
	Boxes []KeyBoxes  `json:"boxes,omitempty"`
}

// KeyBoxes are more boxes of one key, by node id; they replace those of the
// same nodes.
type KeyBoxes struct {
	ID    uint32            `json:"id"`
	Boxes map[string][]byte `json:"boxes"`
}

// maxKeys is how many keys are good at a time: the newest one to sign, the
// others for what is still on its way.
const maxKeys = 3

// Kind is KindKeys.
func (k *Keys) Kind() string { return KindKeys }

// Ver is the version; 0 for nil.
func (k *Keys) Ver() int64 {
	if k == nil {
		return 0
	}
	return k.Version
}

// Encode returns the document in JSON.
func (k *Keys) Encode() ([]byte, error) { return json.Marshal(k) }

// Newest returns the key that signs, nil if there is none.
func (k *Keys) Newest() *ClusterKey {
	if k == nil || len(k.Keys) == 0 {
		return nil
	}
	return &k.Keys[len(k.Keys)-1]
}

func applyKeys(v *View, patch []byte, version int64) (*Keys, error) {
	p := new(KeysPatch)
	if err := decodePatch(patch, p); err != nil {
		return nil, err
	}
	if p.Add == nil && len(p.Boxes) == 0 || p.Add != nil && p.Add.ID == 0 {
		return nil, apierr.BadRequest("invalid cluster key: it is missing or has no id")
	}
	next := &Keys{Version: version}
	if v.Keys != nil {
		next.Keys = v.Keys.Keys
	}
	if len(p.Boxes) > 0 {
		next.Keys = withBoxes(next.Keys, p.Boxes)
	}
	if p.Add == nil {
		return next, nil
	}
	for _, key := range next.Keys {
		if key.ID == p.Add.ID {
			return nil, apierr.BadRequest("invalid cluster key: id %d is taken", key.ID)
		}
	}
	keys := append(next.Keys[:len(next.Keys):len(next.Keys)], *p.Add)
	next.Keys = keys[max(0, len(keys)-maxKeys):]
	return next, nil
}

// withBoxes returns a copy of keys with more boxes; those of a key that is
// gone are left out.
func withBoxes(keys []ClusterKey, boxes []KeyBoxes) []ClusterKey {
	keys = slices.Clone(keys)
	for _, more := range boxes {
		for i := range keys {
			if keys[i].ID != more.ID {
				continue
			}
			all := maps.Clone(keys[i].Boxes)
			if all == nil {
				all = map[string][]byte{}
			}
			maps.Copy(all, more.Boxes)
			keys[i].Boxes = all
		}
	}
	return keys
}
