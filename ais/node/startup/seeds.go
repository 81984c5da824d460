package startup

import (
	"net"
	"net/url"
	"strings"

	"github.com/aistore-go/aistore/core/meta"
)

// Seeds are the addresses where this node asks for a cluster, in this order:
// the environment's primary, then the configured ones, then those that the
// cluster's own configuration had, without repetitions.
// mayFound tells that the first of them is this node itself: if nobody knows
// a cluster, it founds one.
func (s *Settings) Seeds(self *meta.Snode) (seeds []string, mayFound bool) {
	proxy, stored := &s.Cluster.Proxy, &s.Config().Proxy
	environment := s.Env.PrimaryURL(s.Config())
	first := environment
	if first == "" {
		first = proxy.PrimaryURL
	}
	mayFound = self.Role == meta.RoleProxy && first != "" && isSelf(first, self)
	seen := map[string]bool{}
	for _, seed := range []string{
		environment, proxy.PrimaryURL, proxy.DiscoveryURL, proxy.OriginalURL,
		stored.PrimaryURL, stored.DiscoveryURL, stored.OriginalURL,
	} {
		seed = strings.TrimSuffix(seed, "/")
		if seed == "" || seen[seed] {
			continue
		}
		seen[seed] = true
		if isSelf(seed, self) {
			seed = self.IntraControl.URL // by whatever name and port it was meant
		}
		seeds = append(seeds, seed)
	}
	return seeds, mayFound
}

// isSelf tells that a URL is an address of this node, on its intra-control or
// its public network.
func isSelf(address string, self *meta.Snode) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	for _, own := range []meta.NetInfo{self.IntraControl, self.Public} {
		if u.Port() == own.Port && sameHost(u.Hostname(), own.Host) {
			return true
		}
	}
	return false
}

// sameHost compares host names: by text, or because both are of this machine.
func sameHost(host, own string) bool {
	if strings.EqualFold(host, own) {
		return true
	}
	return isLocal(host) && isLocal(own)
}

// isLocal tells that a host name or an address belongs to this machine.
func isLocal(host string) bool {
	ips := []net.IP{net.ParseIP(host)}
	if ips[0] == nil {
		var err error
		if ips, err = net.LookupIP(host); err != nil {
			return false
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, ip := range ips {
		if ip.IsLoopback() {
			return true
		}
		for _, addr := range addrs {
			if ipNet, ok := addr.(*net.IPNet); ok && ipNet.IP.Equal(ip) {
				return true
			}
		}
	}
	return false
}
