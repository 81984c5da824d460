package metasync

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
)

// saveFirst stores, before New returns, who this node is: what the node writes
// elsewhere from now on must not be taken for that of an earlier life.
func (a *Agent) saveFirst() error {
	m := a.machine
	writes := m.out.writes
	m.out.writes = nil
	batch := m.durable.handOut(len(writes) > 0, m.now)
	err := a.o.Storage.Save(func(put func(string, uint64, []byte) error, remove func(string, uint64, uint64) error) error {
		return fill(writes, put, remove)
	})
	if err != nil {
		return fmt.Errorf("the cluster state cannot be stored: %w", err)
	}
	m.saved(batch)
	return nil
}

// ForceRestart goes on without the majority of the voters, for good: it starts
// a new lineage from the newest documents that reachable nodes have. It is an
// operator's last resort after more voters were lost than will ever return.
// lineage is the one that is given up, nodes are ids of nodes that have to
// take part. It is refused (409) while a majority of the voters answers.
func (a *Agent) ForceRestart(ctx context.Context, lineage string, nodes []string) (*wire.ForcedRestart, error) {
	r, err := a.request(ctx, func(m *machine, token uint64) { m.forceRestart(token, lineage, nodes) })
	if err != nil {
		return nil, err
	}
	done := new(wire.ForcedRestart)
	return done, json.Unmarshal(r.body, done)
}

const (
	rejoinWait = 10 * time.Second // bounds how long Rejoin waits for the cluster
	rejoinPoll = 50 * time.Millisecond
)

// Rejoin makes this node forget its cluster, but neither its id nor its data,
// and join the named cluster and lineage. It returns when the node was
// admitted, or after a while; the node goes on trying then.
func (a *Agent) Rejoin(ctx context.Context, uuid, lineage string) (*wire.Rejoined, error) {
	before := a.latest.Load()
	if _, err := a.request(ctx, func(m *machine, token uint64) { m.rejoin(token, uuid, lineage) }); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, rejoinWait)
	defer cancel()
	for !a.Joined() || !a.settledGivenUp() {
		if a.pause(ctx, rejoinPoll) != nil {
			break
		}
	}
	done := &wire.Rejoined{UUID: uuid, Lineage: lineage, Joined: a.Joined(), Waiting: a.Fenced()}
	if smap := a.View().Smap; done.Joined && smap != nil {
		done.SmapVersion = smap.Version
	}
	for _, g := range a.GivenUp() {
		if g.Joined == lineage && g.Lineage == before.Lineage && g.UUID == before.UUID {
			done.GivenUp = &g
		}
	}
	return done, nil
}

// settledGivenUp tells that everything that was given up has been compared
// with what was joined instead.
func (a *Agent) settledGivenUp() bool {
	list := a.status.Load().givenUp
	return len(list) == 0 || list[len(list)-1].Into != ""
}
