package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// validate checks the three networks. The public and the intra-control one
// are there and have different endpoints; the intra-data one may be missing:
// then it is the intra-control one.
func (h *HostNet) validate() error {
	for _, network := range []struct{ name, host, port string }{
		{"", h.Hostname, h.Port},
		{"_intra_control", h.HostnameIntraControl, h.PortIntraControl},
		{"_intra_data", h.HostnameIntraData, h.PortIntraData},
	} {
		hostKey, portKey := "host_net.hostname"+network.name, "host_net.port"+network.name
		optional := network.name == "_intra_data"
		switch {
		case network.port == "" && network.host != "":
			return apierr.BadRequest("%s=%q needs %s", hostKey, clip(network.host), portKey)
		case network.port == "" && !optional:
			return apierr.BadRequest("%s is missing", portKey)
		}
		if network.port != "" {
			if err := validatePort(portKey, network.port); err != nil {
				return err
			}
		}
		if err := validateHosts(hostKey, network.host, network.name == ""); err != nil {
			return err
		}
	}
	for _, inner := range []struct{ name, host, port string }{
		{"intra_control", h.HostnameIntraControl, h.PortIntraControl},
		{"intra_data", h.HostnameIntraData, h.PortIntraData},
	} {
		if inner.port == h.Port && h.mayBePublic(inner.host) {
			return apierr.BadRequest("host_net.port and host_net.port_%s are both %s: the two networks need different endpoints", inner.name, h.Port)
		}
	}
	control, data := h.HostnameIntraControl, h.HostnameIntraData
	if h.PortIntraData == h.PortIntraControl && data != control && (data == "" || control == "") {
		return apierr.BadRequest("host_net.port_intra_control and host_net.port_intra_data are both %s: give both networks a host name, or none", h.PortIntraData)
	}
	return nil
}

// mayBePublic tells whether a host is a public one. One without a name is
// found out by the node: the same interface may come out.
func (h *HostNet) mayBePublic(host string) bool {
	return host == "" || h.Hostname == "" || slices.Contains(h.PublicHosts(), host)
}

// PublicHosts are the public host names, one that may be empty if none is
// configured.
func (h *HostNet) PublicHosts() []string {
	hosts := strings.Split(h.Hostname, ",")
	for i := range hosts {
		hosts[i] = strings.TrimSpace(hosts[i])
	}
	return hosts
}

// Data returns host and port of the intra-data network: its own, else those
// of the intra-control network.
func (h *HostNet) Data() (host, port string) {
	if h.PortIntraData == "" {
		return h.HostnameIntraControl, h.PortIntraControl
	}
	return h.HostnameIntraData, h.PortIntraData
}

func validatePort(key, text string) error {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != text {
		return apierr.BadRequest("invalid %s: %q (expecting 1 to 65535)", key, clip(text))
	}
	return nil
}

func validateHosts(key, text string, several bool) error {
	if text == "" {
		return nil
	}
	hosts := []string{text}
	if several {
		hosts = strings.Split(text, ",")
	}
	for _, host := range hosts {
		host = strings.TrimSpace(host)
		if host == "" || len(text) > maxHostnameBytes || strings.ContainsAny(host, " /,?#@\\\"") || strings.ContainsFunc(host, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return apierr.BadRequest("invalid %s: %q (expecting a host name or an address)", key, clip(text))
		}
	}
	return nil
}
