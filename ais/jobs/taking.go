package jobs

import (
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

// serves tells that a target takes part in jobs of a kind: it is in service, or
// on its way out with what it holds.
func serves(kind xact.Kind, sn *meta.Snode) bool { return sn != nil && (sn.Active() || kind.Leaving) }

// asked are the targets that may have jobs: those in service, and those that are
// on their way out and run.
func (e *Engine) asked(smap *meta.Smap) (targets []*meta.Snode) {
	for _, sn := range smap.Tmap {
		if sn.Active() || !e.o.Control.IsDown(sn.ID) {
			targets = append(targets, sn)
		}
	}
	return targets
}
