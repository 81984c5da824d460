package meta

import (
	"encoding/json"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
)

// Distribution says which nodes get a kind of document. Members of the Raft
// group have them all.
type Distribution int

// Distributions.
const (
	ToAll     Distribution = iota // all nodes
	ToProxies                     // proxies and voters
	ToVoters                      // members of the Raft group only
)

// kind is what the registry knows of a kind of document.
type kind struct {
	name string
	to   Distribution
	// decode reads a whole document.
	decode func(data []byte) (Document, error)
	// apply returns the document that a patch makes of the view's current
	// one, at a version. It is pure: the same input gives the same output on
	// every node.
	apply func(v *View, patch []byte, version int64) (Document, error)
	// get returns the document of a view, nil if it has none yet; put stores
	// one in a view that is not published yet, drop removes it.
	get  func(v *View) Document
	put  func(v *View, d Document)
	drop func(v *View)
}

// document is a kind's type: a pointer to its struct.
type document interface {
	Document
	comparable
}

// register describes a kind of document that lives in a field of the view.
func register[D document](name string, to Distribution, field func(*View) *D,
	decode func([]byte) (D, error), apply func(v *View, patch []byte, version int64) (D, error),
) kind {
	var none D
	return kind{
		name: name, to: to,
		decode: func(data []byte) (Document, error) { return nilOnError(decode(data)) },
		apply: func(v *View, patch []byte, version int64) (Document, error) {
			return nilOnError(apply(v, patch, version))
		},
		get: func(v *View) Document {
			if d := *field(v); d != none {
				return d
			}
			return nil
		},
		put:  func(v *View, d Document) { *field(v) = d.(D) },
		drop: func(v *View) { *field(v) = none },
	}
}

// kinds is the registry, in the order in which the changes of one command are
// applied: the cluster map comes first, because it founds the cluster. A new
// kind of document is one entry here.
func kinds() []kind {
	return []kind{
		register(KindSmap, ToAll, func(v *View) **Smap { return &v.Smap }, decodeAs[Smap], applySmap),
		register(KindBMD, ToAll, func(v *View) **BMD { return &v.BMD }, decodeAs[BMD], applyBMD),
		register(KindConfig, ToAll, func(v *View) **Config { return &v.Config }, decodeAs[Config], applyConfig),
		register(KindVoters, ToVoters, func(v *View) **Voters { return &v.Voters }, decodeVoters, applyVoters),
		register(KindRMD, ToAll, func(v *View) **RMD { return &v.RMD }, decodeAs[RMD], applyRMD),
		register(KindTransition, ToAll, func(v *View) **Transition { return &v.Transition }, decodeAs[Transition], applyTransition),
		register(KindPlacement, ToAll, func(v *View) **Placement { return &v.Placement }, decodeAs[Placement], applyPlacement),
		register(KindOperations, ToProxies, func(v *View) **Operations { return &v.Operations }, decodeAs[Operations], applyOperations),
		register(KindKeys, ToAll, func(v *View) **Keys { return &v.Keys }, decodeAs[Keys], applyKeys),
		registerTable(KindETL, ToAll, func(v *View) **Table { return &v.ETL }),
		registerTable(KindTokens, ToAll, func(v *View) **Table { return &v.Tokens }),
		registerTable(KindS3Keys, ToAll, func(v *View) **Table { return &v.S3Keys }),
		registerTable(KindJobs, ToVoters, func(v *View) **Table { return &v.Jobs }),
	}
}

func applySmap(v *View, patch []byte, version int64) (*Smap, error) {
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
}

func applyBMD(v *View, patch []byte, version int64) (*BMD, error) {
	p := new(BMDPatch)
	if err := decodePatch(patch, p); err != nil {
		return nil, err
	}
	return p.apply(v.BMD, v.UUID, version)
}

func applyConfig(v *View, patch []byte, version int64) (*Config, error) {
	c := new(Config)
	if err := decodePatch(patch, c); err != nil {
		return nil, err
	}
	c.UUID, c.Version = v.UUID, version
	return c, nil
}

// nilOnError makes an interface of a document, nil if there is an error.
func nilOnError[D Document](d D, err error) (Document, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

// decodeAs reads a document in its JSON form.
func decodeAs[T any, D interface {
	*T
	Document
}](data []byte) (D, error) {
	d := D(new(T))
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

// Kinds are the names of all kinds of documents.
func Kinds() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
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
// patch of that kind (SmapPatch, BMDPatch, VotersPatch, ...; a *config.Cluster
// or *Config). To is From plus 1, for new buckets plus their number; a caller
// may raise it. A configuration is validated here, not where it is applied.
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
