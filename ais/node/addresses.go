package node

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/core/meta"
)

// loopback is where a node without a configured host name listens: it cannot
// be reached from elsewhere, so its loopback URL is never handed to a stranger.
const loopback = "127.0.0.1"

// Names of the networks in messages.
const (
	networkPublic  = "public"
	networkControl = "intra-control"
	networkData    = "intra-data"
)

// endpoint is one address of a node: where it listens and what it tells others.
type endpoint struct {
	network   string
	bind      string // host to listen on, "" for every interface
	advertise string // host for URLs
	port      string // decimal; "0" takes a free one
}

// address is what net.Listen wants.
func (e endpoint) address() string { return net.JoinHostPort(e.bind, e.port) }

// endpoints are the addresses of a node. Data is the zero value if data
// traffic goes over the control network.
type endpoints struct {
	public  endpoint
	extra   []endpoint // further public host names, same port
	control endpoint
	data    endpoint
}

// planEndpoints decides where to listen and what to advertise. interfaces
// lists the machine's own addresses.
//
// The public host is the configured one; the environment may name another one
// for others to use (AIS_PUBLIC_HOSTNAME, then AIS_HOST_IP). A node that
// listens beyond loopback never advertises loopback.
func planEndpoints(hn *config.HostNet, env config.Env, interfaces func() ([]net.Addr, error)) (endpoints, error) {
	var eps endpoints
	hosts := splitHosts(hn.Hostname)
	first := ""
	if len(hosts) > 0 {
		first = hosts[0]
	}
	advertised := env.PublicHostname
	if advertised == "" {
		advertised = env.HostIP
	}
	port := hn.Port
	if env.HostPort != "" {
		port = env.HostPort
	}
	var err error
	if eps.public, err = planOne(networkPublic, first, advertised, port, interfaces); err != nil {
		return eps, err
	}
	for _, host := range hosts[min(1, len(hosts)):] {
		extra, err := planOne(networkPublic, host, "", eps.public.port, interfaces)
		if err != nil {
			return eps, err
		}
		eps.extra = append(eps.extra, extra)
	}
	// without a name of its own, an intra network uses the public network's host
	intraHost := func(own string) (host, advertise string) {
		if names := splitHosts(own); len(names) > 0 {
			return names[0], ""
		}
		return eps.public.bind, eps.public.advertise
	}
	host, adv := intraHost(hn.HostnameIntraControl)
	if eps.control, err = planOne(networkControl, host, adv, hn.PortIntraControl, interfaces); err != nil {
		return eps, err
	}
	if hn.PortIntraData == "" && hn.HostnameIntraData == "" {
		return eps, eps.check()
	}
	host, adv = intraHost(hn.HostnameIntraData)
	port = hn.PortIntraData
	if port == "" {
		port = hn.PortIntraControl
	}
	if eps.data, err = planOne(networkData, host, adv, port, interfaces); err != nil {
		return eps, err
	}
	if eps.data.address() == eps.control.address() && eps.data.port != "0" {
		eps.data = endpoint{} // shared
	}
	return eps, eps.check()
}

// planOne decides one endpoint.
func planOne(network, host, advertise, port string, interfaces func() ([]net.Addr, error)) (endpoint, error) {
	ep := endpoint{network: network, bind: host, advertise: advertise, port: port}
	if port != "" {
		if p, err := strconv.ParseUint(port, 10, 16); err != nil {
			return ep, fmt.Errorf("%s port %q: expected a number from 0 to 65535", network, port)
		} else if p == 0 {
			ep.port = "0"
		}
	}
	switch {
	case host == "" && (advertise == "" || isLoopback(advertise)):
		ep.bind = loopback
	case host == "":
		ep.bind = "" // others come by the advertised name: listen on every interface
	case isUnspecified(host):
		ep.bind = host
	}
	if ep.advertise == "" {
		ep.advertise = ep.bind
	}
	if ep.advertise != "" && !isUnspecified(ep.advertise) {
		if isLoopback(ep.advertise) && !isLoopback(ep.bind) {
			return ep, fmt.Errorf("%s network: listens on %q but would advertise the loopback address %q, which no other machine can reach", network, ep.bind, ep.advertise)
		}
		return ep, nil
	}
	addrs, err := interfaces()
	if err != nil {
		return ep, fmt.Errorf("%s network: list the addresses of this machine: %w", network, err)
	}
	if ep.advertise = firstGlobal(addrs); ep.advertise == "" {
		return ep, fmt.Errorf("%s network: listens on every interface, but this machine has no address besides loopback to advertise; configure host_net.hostname", network)
	}
	return ep, nil
}

// check finds contradictions between the endpoints.
func (e *endpoints) check() error {
	if e.public.port == "" {
		return fmt.Errorf("host_net.port is missing")
	}
	if e.control.port == "" {
		return fmt.Errorf("host_net.port_intra_control is missing: the intra-control network needs an address of its own")
	}
	for _, other := range []endpoint{e.control, e.data} {
		if other.port != "" && other.port != "0" && other.address() == e.public.address() {
			return fmt.Errorf("%s and %s network have the same address %s", e.public.network, other.network, other.address())
		}
	}
	return nil
}

// netInfo is the endpoint as the Smap shows it, with the port it really has.
func (e endpoint) netInfo(scheme, port string) meta.NetInfo {
	return meta.NetInfo{Host: e.advertise, Port: port, URL: scheme + "://" + net.JoinHostPort(e.advertise, port)}
}

// splitHosts splits a comma-separated list of host names.
func splitHosts(list string) []string {
	var hosts []string
	for _, host := range strings.Split(list, ",") {
		if host = strings.Trim(strings.TrimSpace(host), "[]"); host != "" {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func isUnspecified(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsUnspecified()
}

// firstGlobal returns the first address that others can use, IPv4 before IPv6.
func firstGlobal(addrs []net.Addr) string {
	six := ""
	for _, addr := range addrs {
		prefix, err := netip.ParsePrefix(addr.String())
		if err != nil || !prefix.Addr().IsGlobalUnicast() {
			continue
		}
		if prefix.Addr().Is4() {
			return prefix.Addr().String()
		}
		if six == "" {
			six = prefix.Addr().String()
		}
	}
	return six
}
