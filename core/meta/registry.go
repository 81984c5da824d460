package meta

import (
	"encoding/json"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
)

// kind is what the registry knows of a kind of document.
type kind struct {
	name string
	// decode reads a whole document.
	decode func(data []byte) (Document, error)
	// apply returns the document that a patch makes of the view's current
	// one, at a version. It is pure: the same input gives the same output on
	// every node.
	apply func(v *View, patch []byte, version int64) (Document, error)
	// put stores a document in a view that is not published yet.
	put func(v *View, d Document)
}

// kinds is the registry, in the order in which the changes of one command are
// applied: the cluster map comes first, because it founds the cluster.
func kinds() [4]kind {
	return [...]kind{
		{
			name:   KindSmap,
			decode: func(data []byte) (Document, error) { return decodeInto(data, new(Smap)) },
			apply: func(v *View, patch []byte, version int64) (Document, error) {
				p := new(SmapPatch)
				if err := decodePatch(patch, p); err != nil {
					return nil, err
				}
				s, err := p.apply(v.Smap, version)
				if err != nil {
					return nil, err
				}
				if v.UUID = s.UUID; p.Lineage != "" {
					v.Lineage = p.Lineage
				}
				return s, nil
			},
			put: func(v *View, d Document) { v.Smap = d.(*Smap) },
		},
		{
			name:   KindBMD,
			decode: func(data []byte) (Document, error) { return decodeInto(data, new(BMD)) },
			apply: func(v *View, patch []byte, version int64) (Document, error) {
				p := new(BMDPatch)
				if err := decodePatch(patch, p); err != nil {
					return nil, err
				}
				return nilOnError(p.apply(v.BMD, v.UUID, version))
			},
			put: func(v *View, d Document) { v.BMD = d.(*BMD) },
		},
		{
			name:   KindConfig,
			decode: func(data []byte) (Document, error) { return decodeInto(data, new(Config)) },
			apply: func(v *View, patch []byte, version int64) (Document, error) {
				c := new(Config)
				if err := decodePatch(patch, c); err != nil {
					return nil, err
				}
				c.UUID, c.Version = v.UUID, version
				return c, nil
			},
			put: func(v *View, d Document) { v.Config = d.(*Config) },
		},
		{
			name:   KindVoters,
			decode: func(data []byte) (Document, error) { return nilOnError(decodeVoters(data)) },
			apply: func(_ *View, patch []byte, version int64) (Document, error) {
				p := new(VotersPatch)
				if err := decodePatch(patch, p); err != nil {
					return nil, err
				}
				next := &Voters{Version: version, Members: p.Members}
				return nilOnError(next, next.validate())
			},
			put: func(v *View, d Document) { v.Voters = d.(*Voters) },
		},
	}
}

// nilOnError makes an interface of a document, nil if there is an error.
func nilOnError[D Document](d D, err error) (Document, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

func decodeInto[D Document](data []byte, d D) (Document, error) {
	if err := json.Unmarshal(data, d); err != nil {
		return nil, decodeError(err, d.Kind())
	}
	if d.Ver() <= 0 {
		return nil, apierr.BadRequest("invalid %s: version %d", d.Kind(), d.Ver())
	}
	return d, nil
}

func decodePatch(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return decodeError(err, "patch")
	}
	return nil
}

func decodeError(err error, what string) error {
	if apierr.StatusOf(err) != apierr.StatusBadRequest {
		return err
	}
	return apierr.Wrap(err, apierr.StatusBadRequest, "", "failed to unmarshal the %s", what)
}

// lookup returns the kind with a name.
func lookup(name string) (kind, error) {
	for _, k := range kinds() {
		if k.name == name {
			return k, nil
		}
	}
	return kind{}, apierr.BadRequest("unknown kind of document %q", clipText(name))
}

// Decode reads a document in its stored form. The result is frozen: ready to
// be looked up, and immutable.
func Decode(kindName string, data []byte) (Document, error) {
	k, err := lookup(kindName)
	if err != nil {
		return nil, err
	}
	return k.decode(data)
}

// NewChange returns the change of the view's current document of a kind by a
// patch: SmapPatch, BMDPatch, *config.Cluster or *Config, VotersPatch. To is
// From plus 1, for new buckets plus their number; a caller may raise it.
// A configuration is validated here, not where it is applied.
func NewChange(v *View, kindName string, patch any) (Change, error) {
	if _, err := lookup(kindName); err != nil {
		return Change{}, err
	}
	if kindName == KindConfig {
		valid, err := validConfig(patch)
		if err != nil {
			return Change{}, err
		}
		patch = valid
	}
	data, err := json.Marshal(patch)
	if err != nil {
		return Change{}, apierr.Wrap(err, apierr.StatusInternalServerError, "", "failed to marshal the patch of %s", kindName)
	}
	c := Change{Kind: kindName, Patch: data}
	if d := v.Document(kindName); d != nil {
		c.From = d.Ver()
	}
	c.To = c.From + 1
	switch p := patch.(type) {
	case *BMDPatch:
		c.To = c.From + max(1, p.creations())
	case BMDPatch:
		c.To = c.From + max(1, p.creations())
	}
	return c, nil
}

// validConfig returns a validated copy of a patch of kind config.
func validConfig(patch any) (*config.Cluster, error) {
	c, ok := patch.(*config.Cluster)
	if document, isDocument := patch.(*Config); isDocument {
		c, ok = document.Cluster, true
	}
	if !ok || c == nil {
		return nil, apierr.New(apierr.StatusInternalServerError, "", "the patch of %s must be a configuration, not %T", KindConfig, patch)
	}
	valid := c.Clone()
	return valid, valid.Validate()
}
