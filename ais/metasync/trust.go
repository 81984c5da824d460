package metasync

import (
	"bytes"
	"errors"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/core/meta"
)

const (
	actionNewKey = "rotate-cluster-key"
	actionBoxes  = "seal-cluster-keys"
)

// trusting is the machine's part in trust between nodes: the document of the
// cluster keys, and proofs when a node joins. Without a keyring, which is for
// tests, everybody is trusted.
type trusting struct {
	keyring *trust.Keyring
	caller  *trust.Caller // of the incoming call, as its signature proves it

	installed *meta.Keys // the document that the keyring holds
	missing   int        // keys of it that could not be opened

	// Of the leader.
	busy       bool // a command of this file is under way
	smap       *meta.Smap
	keys       *meta.Keys            // every node of smap has boxes of these
	challenges map[string]*challenge // by nonce

	// Of a node that joins: what it answers to a challenge, by URL.
	proofs map[string]*joinProof
}

// withFirstKey is firstView with the first key of the new cluster.
func withFirstKey(keyring *trust.Keyring, self *meta.Snode, initial *config.Cluster, now time.Time, raftID uint64) (*meta.View, error) {
	view, err := firstView(self, initial, now, raftID)
	if keyring == nil || err != nil {
		return view, err
	}
	key, err := sealedKey(keyring, view, now)
	if err != nil {
		return nil, err
	}
	next := *view
	next.Keys = &meta.Keys{Version: 1, Keys: []meta.ClusterKey{*key}}
	return &next, nil
}

// sealedKey makes a cluster key for all nodes of a view.
func sealedKey(keyring *trust.Keyring, view *meta.View, now time.Time) (*meta.ClusterKey, error) {
	secret := keyring.MakeKey(now)
	boxes, err := boxesOf(keyring, view.UUID, secret, view.Smap.Nodes())
	return &meta.ClusterKey{ID: secret.ID, Made: secret.Made, Boxes: boxes}, err
}

// boxesOf seals one key for nodes. One that has shown no key gets no box.
func boxesOf(keyring *trust.Keyring, uuid string, key trust.Key, nodes []*meta.Snode) (map[string][]byte, error) {
	boxes := map[string][]byte{}
	for _, node := range nodes {
		if len(node.VerifyingKey) == 0 {
			continue
		}
		sealed, err := keyring.SealFor(uuid, node.ID, node.VerifyingKey, key)
		if err != nil {
			return nil, err
		}
		boxes[node.ID] = sealed.Box
	}
	return boxes, nil
}

// incomingFrom is incoming of a call whose caller is known, nil if it is not.
func (m *machine) incomingFrom(caller *trust.Caller, token uint64, kind string, body []byte) {
	m.trust.caller = caller
	m.incoming(token, kind, body)
	m.trust.caller = nil
}

// installKeys takes the cluster keys of the newest documents into use, as far
// as there are boxes for this node. The driver calls it before it sends
// anything that the machine said with these documents.
func (m *machine) installKeys() {
	if keys := m.view().Keys; keys != m.trust.installed {
		m.openKeys(nil)
	}
}

// openKeys makes the keyring what the newest documents say: which keys there
// are, and in what order, is theirs to say alone. A key that they have no box
// of for this node comes out of the given ones, by id.
func (m *machine) openKeys(given map[uint32][]byte) {
	t := &m.trust
	view := m.view()
	if t.keyring == nil || view.Keys == nil {
		return
	}
	t.installed = view.Keys
	sealed := make([]trust.SealedKey, 0, len(view.Keys.Keys))
	for i := range view.Keys.Keys {
		key := &view.Keys.Keys[i]
		box := key.Boxes[m.self.ID]
		if other, ok := given[key.ID]; ok && !trust.IsFor(t.keyring.Public(), box) {
			box = other
		}
		sealed = append(sealed, trust.SealedKey{ID: key.ID, Made: key.Made, Box: box})
	}
	missing := len(t.keyring.Install(view.UUID, sealed))
	if missing > 0 && missing != t.missing {
		m.log.Info("cluster keys without a box for this node; it signs as itself until the primary has made one", "missing", missing, "of", len(sealed))
	}
	t.missing = missing
}

// tickTrust is the primary's care for the keys: a new one each day, and boxes
// for nodes that came, or came back with another identity.
func (m *machine) tickTrust() {
	t := &m.trust
	view := m.view()
	if t.keyring == nil || t.busy || view.Smap == nil || !m.primary() {
		return
	}
	m.forgetChallenges()
	if m.keyDue(view.Keys) || m.keyLost(view) {
		m.rotateKey()
		return
	}
	if view.Smap == t.smap && view.Keys == t.keys {
		return
	}
	patch, err := m.missingBoxes(view)
	switch {
	case err != nil:
		m.log.Error("cannot seal the cluster keys", "err", err)
	case len(patch.Boxes) > 0:
		m.proposeKeys(actionBoxes, patch)
		return
	}
	t.smap, t.keys = view.Smap, view.Keys
}

// keyDue tells that the newest key has served its time, or is from a clock
// that is far from this one.
func (m *machine) keyDue(keys *meta.Keys) bool {
	newest := keys.Newest()
	if newest == nil {
		return true
	}
	return m.now.Sub(time.Unix(newest.Made, 0)).Abs() >= m.times.KeyLife
}

// keyLost tells that this primary cannot open the newest key, and so can seal
// it for nobody else: it came to its place by a restart by force, and those
// who hold the key did not take part.
func (m *machine) keyLost(view *meta.View) bool {
	t := &m.trust
	node := view.Smap.Node(m.self.ID)
	return t.installed == view.Keys && !t.keyring.Ring().Has(view.Keys.Newest().ID) &&
		node != nil && bytes.Equal(node.VerifyingKey, t.keyring.Public())
}

func (m *machine) rotateKey() {
	key, err := sealedKey(m.trust.keyring, m.view(), m.now)
	if err != nil {
		m.log.Error("cannot make a cluster key", "err", err)
		return
	}
	m.proposeKeys(actionNewKey, &meta.KeysPatch{Add: key})
}

// missingBoxes seals the keys that this node holds for the nodes that have no
// box which they can open.
func (m *machine) missingBoxes(view *meta.View) (*meta.KeysPatch, error) {
	patch := &meta.KeysPatch{}
	held := map[uint32]trust.Key{}
	for _, key := range m.trust.keyring.Ring().Keys() {
		held[key.ID] = key
	}
	for i := range view.Keys.Keys {
		key := &view.Keys.Keys[i]
		secret, ok := held[key.ID]
		if !ok {
			continue
		}
		var without []*meta.Snode
		for _, node := range view.Smap.Nodes() {
			if len(node.VerifyingKey) > 0 && !trust.IsFor(node.VerifyingKey, key.Boxes[node.ID]) {
				without = append(without, node)
			}
		}
		if len(without) == 0 {
			continue
		}
		boxes, err := boxesOf(m.trust.keyring, view.UUID, secret, without)
		if err != nil {
			return nil, err
		}
		patch.Boxes = append(patch.Boxes, meta.KeyBoxes{ID: key.ID, Boxes: boxes})
	}
	return patch, nil
}

func (m *machine) proposeKeys(action string, patch *meta.KeysPatch) {
	change, err := meta.NewChange(m.view(), meta.KindKeys, patch)
	if err != nil {
		m.log.Error("cannot change the cluster keys", "err", err)
		return
	}
	m.trust.busy = true
	m.propose(&meta.Command{ID: m.nextID(), Action: action, Changes: []meta.Change{change}}, func(result meta.Result, err error) {
		m.trust.busy = false
		if err == nil && result.Refused != "" {
			err = errors.New(result.Refused)
		}
		if err != nil {
			m.log.Info("change of the cluster keys not committed", "action", action, "err", err)
			return
		}
		if patch.Add != nil {
			m.log.Info("cluster key made", "id", patch.Add.ID, "nodes", len(patch.Add.Boxes))
		}
	})
}
