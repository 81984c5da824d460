package metasync

import (
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/core/meta"
)

// A configuration that nobody has touched gives the times that are proven.
func TestTimesOfTheDefaults(t *testing.T) {
	t.Parallel()
	for _, role := range []string{meta.RoleProxy, meta.RoleTarget} {
		got, want := TimesOf(config.DefaultCluster(), role).withDefaults(), Timeouts{}.withDefaults()
		if got != want {
			t.Errorf("%s: %+v, want %+v", role, got, want)
		}
	}
}

func TestTimesOf(t *testing.T) {
	t.Parallel()
	second := func(s float64) unit.Duration { return unit.Duration(s * float64(time.Second)) }
	for _, tc := range []struct {
		name   string
		change func(c *config.Cluster)
		role   string
		check  func(o Timeouts) bool
	}{
		{"shorter intervals", func(c *config.Cluster) { c.Keepalive.Target.Interval = second(5) }, meta.RoleTarget,
			func(o Timeouts) bool { return o.Keepalive == 500*time.Millisecond && o.Out == time.Minute }},
		{"the other role's interval", func(c *config.Cluster) { c.Keepalive.Target.Interval = second(5) }, meta.RoleProxy,
			func(o Timeouts) bool { return o.Keepalive == time.Second }},
		{"longer intervals", func(c *config.Cluster) { c.Keepalive.Proxy.Interval = second(40) }, meta.RoleTarget,
			func(o Timeouts) bool {
				return o.Keepalive == time.Second && o.Out == 4*time.Minute && o.ReplaceVoter == 2*time.Minute
			}},
		{"more retries", func(c *config.Cluster) { c.Keepalive.NumRetries = 9 }, meta.RoleProxy,
			func(o Timeouts) bool { return o.Out == 2*time.Minute && o.ReplaceVoter == 30*time.Second }},
		{"sooner down", func(c *config.Cluster) { c.Timeout.CplaneOperation, c.Timeout.MaxKeepalive = second(1), second(3) }, meta.RoleProxy,
			func(o Timeouts) bool {
				return o.Down == 3*time.Second && o.Ack == 6*time.Second && o.Keepalive == 750*time.Millisecond && o.Call == time.Second
			}},
		{"a slow network", func(c *config.Cluster) { c.Timeout.CplaneOperation, c.Timeout.MaxKeepalive = second(4), second(9) }, meta.RoleProxy,
			func(o Timeouts) bool {
				return o.Down == 5*time.Second && o.Ack == 10*time.Second && o.Call == 4*time.Second && o.Barrier == 4*time.Second
			}},
		{"the shortest of all", func(c *config.Cluster) {
			c.Timeout.CplaneOperation, c.Timeout.MaxKeepalive = second(0.01), second(0.02)
			c.Keepalive.NumRetries = 1
			for _, tracker := range []*config.KeepaliveTrackerConf{&c.Keepalive.Proxy, &c.Keepalive.Target} {
				tracker.Interval, tracker.Factor = second(1), 1
			}
		}, meta.RoleProxy, func(o Timeouts) bool {
			return o.Down == 2*time.Second && o.Out == time.Minute && o.Keepalive == 200*time.Millisecond && o.Call == 500*time.Millisecond
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := config.DefaultCluster()
			tc.change(c)
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			if got := TimesOf(c, tc.role); !tc.check(got) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Whatever two nodes are configured to, what each relies on the other for
// holds.
func TestTimesOfTwoNodes(t *testing.T) {
	t.Parallel()
	var all []Timeouts
	for _, interval := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
		for _, operation := range []time.Duration{10 * time.Millisecond, 2 * time.Second, 10 * time.Second} {
			for _, retries := range []int{1, 10} {
				c := config.DefaultCluster()
				c.Keepalive.Proxy.Interval, c.Keepalive.Target.Interval = unit.Duration(interval), unit.Duration(interval)
				c.Keepalive.Proxy.Factor, c.Keepalive.Target.Factor, c.Keepalive.NumRetries = 1, 2, retries
				c.Timeout.CplaneOperation, c.Timeout.MaxKeepalive = unit.Duration(operation), unit.Duration(2*operation)
				all = append(all, TimesOf(c, meta.RoleTarget).withDefaults())
			}
		}
	}
	for _, node := range all {
		for _, primary := range all {
			switch {
			case node.Down >= primary.Ack:
				t.Errorf("a node serves what is %v old, the primary waits %v for it", node.Down, primary.Ack)
			case node.Lease >= primary.Out:
				t.Errorf("an owner's lease of %v outlasts its place in the map, %v", node.Lease, primary.Out)
			case 2*node.Keepalive > primary.Down:
				t.Errorf("a node that is heard every %v is down after %v", node.Keepalive, primary.Down)
			}
		}
	}
}

func TestStoredConfigOfNothing(t *testing.T) {
	t.Parallel()
	if c := StoredConfig(newMemStorage()); c != nil {
		t.Errorf("%+v", c)
	}
}

// Every node, voter or not, finds the configuration that was in force when it
// was stopped.
func TestStoredConfig(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 3, 3)
	startNodes(t, nodes)
	for copies := 3; copies < 6; copies++ {
		_, err := primaryOf(nodes).agent.Commit(timeout(t), "set-config", func(v *meta.View) ([]meta.Change, error) {
			next := v.Config.Clone()
			next.Mirror.Copies = copies
			change, err := meta.NewChange(v, meta.KindConfig, next)
			return []meta.Change{change}, err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	version := primaryOf(nodes).agent.View().Config.Version
	eventually(t, "every node has stored the last change", func() bool {
		for _, n := range nodes {
			c := StoredConfig(n.storage)
			if c == nil || c.Mirror.Copies != 5 || c.Version != version {
				return false
			}
		}
		return true
	})
}
