package proxy

import (
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// shutdownCluster stops all nodes, this one, the primary, last and after the
// answer.
func (p *Proxy) shutdownCluster(w http.ResponseWriter, r *http.Request, msg *node.ActMsg) error {
	p.logger.Warn("the cluster is shut down", "action", msg.Action, "from", r.RemoteAddr)
	err := p.membership.StopAll(r.Context())
	time.AfterFunc(p.node.Config().Timeout.CplaneOperation.D(), p.node.RequestExit)
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// decommissionCluster gives the cluster up: all nodes forget it, this one,
// the primary, last.
func (p *Proxy) decommissionCluster(w http.ResponseWriter, r *http.Request, msg *node.ActMsg) error {
	var options node.DecommissionOptions
	if err := node.DecodeValue(msg.Value, &options, "the value of action "+msg.Action); err != nil {
		return err
	}
	if options.NoShutdown {
		return apierr.BadRequest(`"no_shutdown" is an option of %s`, wire.ActDecommissionNode)
	}
	p.logger.Warn("the cluster is decommissioned", "from", r.RemoteAddr, "rm_user_data", options.RemoveUserData)
	if err := p.membership.GiveUp(r.Context(), &wire.MembershipMsg{
		RemoveUserData: options.RemoveUserData, KeepInitialConfig: options.KeepInitialConfig,
	}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
