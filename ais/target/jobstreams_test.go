package target

import (
	"testing"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/transport"
)

// TestRebalanceOptions: what operators set in section "rebalance" is what its
// streams are opened with.
func TestRebalanceOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		conf config.RebalanceConf
		want transport.StreamOptions
	}{
		{config.DefaultCluster().Rebalance, transport.StreamOptions{Connections: 2, Burst: 1024, RetryTime: streamRetry}},
		{
			config.RebalanceConf{Compression: config.CompressAlways, BundleMultiplier: 7, BurstBuffer: 33},
			transport.StreamOptions{Compress: true, Connections: 7, Burst: 33, RetryTime: streamRetry},
		},
	} {
		if got := rebalanceOptions(&c.conf); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.conf, got, c.want)
		}
	}
}
