package metasync

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// CheckStored reads everything in a storage and tells whose it is: "" if the
// node has not begun to use it. An error means that it cannot be relied on,
// and that a voter must not vote with it again.
func CheckStored(storage Storage) (nodeID string, err error) {
	defer func() {
		if r := recover(); r != nil { // of the Raft library, when the parts contradict each other
			err = fmt.Errorf("the stored cluster state makes no sense: %v", r)
		}
	}()
	st, err := load(storage)
	if err != nil {
		return "", err
	}
	id := st.identity.NodeID
	if id == "" {
		if st.hard != nil || st.snapshot != nil || len(st.entries) > 0 || st.view != nil {
			return "", fmt.Errorf("the stored cluster state does not say whose it is")
		}
		return "", nil
	}
	m, err := newMachine(machineOptions{
		self: &meta.Snode{ID: id, Role: meta.RoleProxy}, times: Timeouts{}.withDefaults(), log: slog.New(slog.DiscardHandler), now: time.Unix(0, 0),
	}, st)
	if err != nil {
		return "", err
	}
	if _, _, err := m.whole(); err != nil {
		return "", fmt.Errorf("the stored log cannot be read: %w", err)
	}
	if m.identity.UUID != "" && m.view().Smap == nil && m.rlog.applied == 0 {
		return "", fmt.Errorf("the stored cluster state has no documents")
	}
	return id, nil
}
