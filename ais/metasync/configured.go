package metasync

import (
	"encoding/json"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/core/meta"
)

// Bounds of the times that a configuration can move. What two nodes rely on
// must hold whatever the other one is configured to, and while they are
// restarted one after the other: a node takes itself for out of date before
// the primary stops waiting for it (maxDown < minAck), and may no longer
// acknowledge writes before its names can be given to others (the lease <
// minOut). So the one can only be made shorter, and the other longer.
const (
	minKeepalive = 200 * time.Millisecond
	maxKeepalive = time.Second
	minDown      = 2 * time.Second
	maxDown      = 5 * time.Second
	minAck       = 6 * time.Second
	minOut       = time.Minute
	minCall      = 500 * time.Millisecond
	minReplace   = 10 * time.Second
)

// TimesOf are the times of the control plane that a configuration asks for,
// on a node of a role: those of the default configuration are the defaults.
// Times that no key is about are zero.
func TimesOf(c *config.Cluster, role string) Timeouts {
	own, longest := &c.Keepalive.Target, &c.Keepalive.Target
	if role == meta.RoleProxy {
		own = &c.Keepalive.Proxy
	}
	if silence(&c.Keepalive.Proxy, c) > silence(longest, c) {
		longest = &c.Keepalive.Proxy
	}
	down := min(max(c.Timeout.MaxKeepalive.D(), minDown), maxDown)
	call := max(c.Timeout.CplaneOperation.D(), minCall)
	return Timeouts{
		Keepalive:    min(max(own.Interval.D()/10, minKeepalive), maxKeepalive, down/4),
		Down:         down,
		Out:          max(silence(longest, c), minOut),
		Ack:          max(c.Timeout.MaxKeepalive.D()+time.Second, minAck),
		ReplaceVoter: max(longest.Interval.D()*time.Duration(longest.Factor), minReplace),
		Barrier:      call,
		Call:         call,
	}
}

// silence is after how long without a sign of life a node is given up.
func silence(t *config.KeepaliveTrackerConf, c *config.Cluster) time.Duration {
	return t.Interval.D() * time.Duration(t.Factor+c.Keepalive.NumRetries)
}

// StoredConfig is the cluster configuration that a node had when it stopped,
// nil if it was in no cluster. Whatever keeps it from being read is found, and
// told, by New.
func StoredConfig(storage Storage) *config.Cluster {
	st, err := load(storage)
	if err != nil {
		return nil
	}
	newest := &meta.View{}
	for _, view := range []*meta.View{storedDocs(st), storedLog(st)} {
		if view != nil && view.Index >= newest.Index && view.Config != nil {
			newest = view
		}
	}
	if newest.Config == nil {
		return nil
	}
	return newest.Config.Cluster
}

// storedDocs are the documents that pushes have made, up to what cannot be
// read; nil if there are none.
func storedDocs(st *stored) *meta.View {
	view := st.view
	for i := range st.pushed {
		if view == nil || st.pushed[i].Index <= view.Index {
			continue
		}
		next, err := follow(view, &st.pushed[i])
		if err != nil {
			break
		}
		view = next
	}
	return view
}

// storedLog are the documents that the committed part of the log has made, up
// to what cannot be read; nil if there are none.
func storedLog(st *stored) *meta.View {
	s := newState(&meta.View{}, nil)
	if st.snapshot != nil {
		restored, err := decodeState(st.snapshot.GetData())
		if err != nil {
			return nil
		}
		s = restored
	}
	if st.hard == nil {
		return s.view
	}
	from := st.snapshot.GetMetadata().GetIndex()
	for _, entry := range st.entries {
		if entry.GetIndex() <= from || entry.GetIndex() > st.hard.GetCommit() {
			continue
		}
		data := entry.GetData()
		if entry.GetType() == raftpb.EntryConfChangeV2 {
			change := new(raftpb.ConfChangeV2)
			if err := proto.Unmarshal(data, change); err != nil {
				break
			}
			data = change.GetContext()
		}
		if len(data) == 0 {
			continue
		}
		cmd := new(meta.Command)
		if err := json.Unmarshal(data, cmd); err != nil {
			break
		}
		_, _, _ = s.apply(cmd, entry.GetTerm(), entry.GetIndex()) // refused here as it was then
	}
	return s.view
}
