package node

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/config"
)

func TestPlanEndpoints(t *testing.T) {
	t.Parallel()
	machine := []net.Addr{&net.IPNet{IP: net.ParseIP("127.0.0.1"), Mask: net.CIDRMask(8, 32)},
		&net.IPNet{IP: net.ParseIP("fd00::5"), Mask: net.CIDRMask(64, 128)},
		&net.IPNet{IP: net.ParseIP("10.0.0.5").To4(), Mask: net.CIDRMask(24, 32)}}
	for _, tc := range []struct {
		name  string
		host  config.HostNet
		env   config.Env
		none  bool   // the machine has no address besides loopback
		want  string // network listen>advertised, ...
		fails string
	}{
		{name: "nothing configured is loopback", host: config.HostNet{Port: "8080", PortIntraControl: "9080"},
			want: "public 127.0.0.1:8080>127.0.0.1, intra-control 127.0.0.1:9080>127.0.0.1"},
		{name: "three networks", host: config.HostNet{Hostname: "pub.example", Port: "8080", HostnameIntraControl: "10.1.0.1", PortIntraControl: "9080", HostnameIntraData: "10.2.0.1", PortIntraData: "10080"},
			want: "public pub.example:8080>pub.example, intra-control 10.1.0.1:9080>10.1.0.1, intra-data 10.2.0.1:10080>10.2.0.1"},
		{name: "data shares control", host: config.HostNet{Port: "8080", PortIntraControl: "9080", PortIntraData: "9080"},
			want: "public 127.0.0.1:8080>127.0.0.1, intra-control 127.0.0.1:9080>127.0.0.1"},
		{name: "intra networks follow the public host", host: config.HostNet{Hostname: "10.0.0.5", Port: "8080", PortIntraControl: "9080", PortIntraData: "10080"},
			want: "public 10.0.0.5:8080>10.0.0.5, intra-control 10.0.0.5:9080>10.0.0.5, intra-data 10.0.0.5:10080>10.0.0.5"},
		{name: "several public hosts", host: config.HostNet{Hostname: "10.0.0.5, 10.0.0.6", Port: "8080", PortIntraControl: "9080"},
			want: "public 10.0.0.5:8080>10.0.0.5, public 10.0.0.6:8080>10.0.0.6, intra-control 10.0.0.5:9080>10.0.0.5"},
		{name: "every interface", host: config.HostNet{Hostname: "0.0.0.0", Port: "8080", PortIntraControl: "9080"},
			want: "public 0.0.0.0:8080>10.0.0.5, intra-control 0.0.0.0:9080>10.0.0.5"},
		{name: "every interface of a machine without addresses", host: config.HostNet{Hostname: "0.0.0.0", Port: "8080", PortIntraControl: "9080"}, none: true,
			fails: "no address besides loopback to advertise"},
		{name: "name from the environment", host: config.HostNet{Hostname: "10.0.0.5", Port: "8080", PortIntraControl: "9080"}, env: config.Env{PublicHostname: "store.example"},
			want: "public 10.0.0.5:8080>store.example, intra-control 10.0.0.5:9080>store.example"},
		{name: "only a name from the environment", host: config.HostNet{Port: "8080", PortIntraControl: "9080"}, env: config.Env{HostIP: "192.0.2.7", HostPort: "8000"},
			want: "public :8000>192.0.2.7, intra-control :9080>192.0.2.7"},
		{name: "IPv6", host: config.HostNet{Hostname: "[fd00::5]", Port: "8080", PortIntraControl: "9080"},
			want: "public [fd00::5]:8080>fd00::5, intra-control [fd00::5]:9080>fd00::5"},
		{name: "loopback is not advertised to others", host: config.HostNet{Hostname: "10.0.0.5", Port: "8080", PortIntraControl: "9080"}, env: config.Env{PublicHostname: "localhost"},
			fails: "would advertise the loopback address"},
		{name: "no public port", host: config.HostNet{PortIntraControl: "9080"}, fails: "host_net.port is missing"},
		{name: "no control port", host: config.HostNet{Port: "8080"}, fails: "port_intra_control is missing"},
		{name: "control equals public", host: config.HostNet{Port: "8080", PortIntraControl: "8080"}, fails: "same address 127.0.0.1:8080"},
		{name: "data equals public", host: config.HostNet{Port: "8080", PortIntraControl: "9080", PortIntraData: "8080"}, fails: "same address 127.0.0.1:8080"},
		{name: "bad port", host: config.HostNet{Port: "http", PortIntraControl: "9080"}, fails: `port "http"`},
		{name: "port out of range", host: config.HostNet{Port: "65536", PortIntraControl: "9080"}, fails: `port "65536"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eps, err := planEndpoints(&tc.host, tc.env, func() ([]net.Addr, error) {
				if tc.none {
					return machine[:1], nil
				}
				return machine, nil
			})
			if tc.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fails) {
					t.Fatalf("%v, want an error with %q", err, tc.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			all := append(append([]endpoint{eps.public}, eps.extra...), eps.control, eps.data)
			for _, ep := range all {
				if ep.port != "" {
					got = append(got, ep.network+" "+ep.address()+">"+ep.advertise)
				}
			}
			if s := strings.Join(got, ", "); s != tc.want {
				t.Errorf("\n%s, want\n%s", s, tc.want)
			}
		})
	}
	_, err := planEndpoints(&config.HostNet{Hostname: "::", Port: "1", PortIntraControl: "2"}, config.Env{}, func() ([]net.Addr, error) { return nil, errors.New("no netlink") })
	if err == nil || !strings.Contains(err.Error(), "no netlink") {
		t.Errorf("%v", err)
	}
}
