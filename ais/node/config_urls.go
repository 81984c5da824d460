package node

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/core/meta"
)

const (
	// addressRetry is the pause before the addresses are tried again.
	addressRetry = time.Second
	// addressTime bounds one try.
	addressTime = 10 * time.Second
)

// addressKeeper keeps the addresses of the cluster in its configuration true,
// so that nodes and people who read them find the primary.
type addressKeeper struct {
	running atomic.Bool
}

// keepAddresses begins to correct the addresses if this node is the primary of
// the view, and they say otherwise.
func (n *Node) keepAddresses(view *meta.View) {
	if view.Smap == nil || view.Config == nil || !view.Smap.IsPrimary(n.id) || addressesOf(view.Config.Cluster, view.Smap) == nil ||
		!n.keeper.running.CompareAndSwap(false, true) {
		return
	}
	n.background.run(func(ctx context.Context) {
		defer n.keeper.running.Store(false)
		for n.correctAddresses(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(addressRetry):
			}
		}
	})
}

// correctAddresses commits true addresses; it tells whether to try again.
func (n *Node) correctAddresses(ctx context.Context) (again bool) {
	cp := n.Control()
	if cp == nil {
		return true
	}
	if view := cp.View(); view.Smap != nil && !view.Smap.IsPrimary(n.id) {
		return false // the next primary does it
	}
	ctx, cancel := context.WithTimeout(ctx, addressTime)
	defer cancel()
	_, err := cp.Commit(ctx, "set-primary-url", func(view *meta.View) ([]meta.Change, error) {
		return configChange(view, func(c *config.Cluster) (*config.Cluster, error) { return addressesOf(c, view.Smap), nil })
	})
	if err != nil && ctx.Err() == nil {
		n.logger.Debug("the primary's address is not in the configuration yet", "err", err)
	}
	return err != nil
}

// addressesOf returns the configuration with the addresses of a cluster map's
// primary, nil if it has them. primary_url is that of the primary;
// original_url stays while it is that of a member, else it becomes that of the
// next in line, so that the two together find the cluster after a loss of
// either; discovery_url is the operator's. The scheme is the one that nodes
// speak when they start next.
func addressesOf(c *config.Cluster, smap *meta.Smap) *config.Cluster {
	if smap == nil || smap.Primary == nil {
		return nil
	}
	proxy := c.Proxy
	proxy.PrimaryURL = smap.Primary.IntraControl.URL
	if !isMember(proxy.OriginalURL, smap) {
		proxy.OriginalURL = proxy.PrimaryURL
		if next := smap.Successor(smap.Primary.ID); next != nil {
			proxy.OriginalURL = next.IntraControl.URL
		}
	}
	proxy.SetScheme(c.Net.HTTP.UseHTTPS)
	if proxy.PrimaryURL == c.Proxy.PrimaryURL && proxy.OriginalURL == c.Proxy.OriginalURL {
		return nil
	}
	next := c.Clone()
	next.Proxy.PrimaryURL, next.Proxy.OriginalURL = proxy.PrimaryURL, proxy.OriginalURL
	return next
}

// isMember tells that a URL, whatever its scheme, is that of a proxy of the
// map.
func isMember(url string, smap *meta.Smap) bool {
	_, address, ok := strings.Cut(url, "://")
	for _, sn := range smap.Pmap {
		for _, own := range []string{sn.IntraControl.URL, sn.Public.URL} {
			if ok && strings.HasSuffix(own, "://"+address) {
				return true
			}
		}
	}
	return false
}
