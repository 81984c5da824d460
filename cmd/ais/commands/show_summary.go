package commands

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// summary prints the block below the tables of "show cluster".
func (v *clusterView) summary(ctx context.Context, client *api.Client) error {
	authentication, backend := "unknown", "unknown"
	if config, err := client.ClusterConfig(ctx); err == nil {
		authentication = "disabled"
		if config.Auth.Required {
			authentication = "enabled"
		}
	} else {
		v.app.warn("the cluster's configuration: %v", err)
	}
	if providers, err := client.ConfiguredBackends(ctx); err == nil {
		backend = orNone(providers)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	disks, capacity := v.capacity()
	versions, builds := v.distinct(func(s *api.NodeStatus) string { return s.Version }), v.distinct(func(s *api.NodeStatus) string { return s.BuildTime })
	primary := "none"
	if v.smap.Primary != nil {
		primary = v.smap.Primary.String()
	}
	rows := [][2]string{
		{"CLI Endpoint", v.app.url},
		{"Proxies", v.proxies()},
		{"Targets", fmt.Sprintf("%d (total disks: %d)%s", len(v.smap.Tmap), disks, v.unreachable(meta.RoleTarget))},
		{"Capacity", capacity},
		{"Cluster Map", fmt.Sprintf("version %d, UUID %s, primary %s", v.smap.Version, v.smap.UUID, primary)},
		{"Software", "AIStore " + orDash(versions)},
		{"Backend", backend},
		{"Deployment", orDash(v.distinct(func(s *api.NodeStatus) string { return s.Deployment }))},
		{"Status", v.online()},
		{"Rebalance", v.rebalance()},
		{"Authentication", authentication},
		{"Version", orDash(versions)},
		{"Build", orDash(builds)},
	}
	if v.smap.Primary != nil && v.smap.Primary.Public.URL != v.app.url {
		rows = append(rows, [2]string{"Primary (Smap)", v.smap.Primary.Public.URL})
	}
	if err := v.app.say("\nSummary:"); err != nil {
		return err
	}
	for _, row := range rows {
		if err := v.app.say("   %-16s %s", row[0]+":", row[1]); err != nil {
			return err
		}
	}
	return nil
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func (v *clusterView) proxies() string {
	electable := 0
	for _, proxy := range v.smap.Pmap {
		if proxy.Electable() {
			electable++
		}
	}
	return fmt.Sprintf("%d (electable: %d)%s", len(v.smap.Pmap), electable, v.unreachable(meta.RoleProxy))
}

// unreachable is " - N unreachable" or nothing.
func (v *clusterView) unreachable(role string) string {
	n := 0
	for i := range v.reports {
		if v.reports[i].node.Role == role && v.reports[i].status == nil {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" - %d unreachable", n)
}

// capacity counts disks and the space of all targets; file systems that
// mountpaths of one machine share count once.
func (v *clusterView) capacity() (disks int, text string) {
	type onHost[T comparable] struct {
		host string
		of   T
	}
	var used, avail uint64
	names, seen := map[onHost[string]]bool{}, map[onHost[wire.FsID]]bool{}
	for i := range v.reports {
		s := v.reports[i].status
		if s == nil {
			continue
		}
		host := ""
		if s.Snode != nil {
			host = s.Snode.Public.Host
		}
		for _, mountpath := range s.Capacity.Mountpaths {
			if mountpath == nil {
				continue
			}
			for _, disk := range mountpath.Disks {
				names[onHost[string]{host, disk}] = true
			}
			if id := (onHost[wire.FsID]{host, mountpath.FS.FsID}); !seen[id] {
				seen[id] = true
				used += mountpath.Used
				avail += mountpath.Avail
			}
		}
	}
	disks = len(names)
	if used+avail == 0 {
		return disks, "unknown"
	}
	percentage := strconv.FormatUint(used*100/(used+avail), 10)
	return disks, fmt.Sprintf("used %s (%s%%), available %s", measure.Size(int64(used), v.units), percentage, measure.Size(int64(avail), v.units))
}

// distinct joins the different values that the nodes tell.
func (v *clusterView) distinct(value func(*api.NodeStatus) string) string {
	set := map[string]bool{}
	for i := range v.reports {
		if s := v.reports[i].status; s != nil && value(s) != "" {
			set[value(s)] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), ", ")
}

func (v *clusterView) online() string {
	online, alerts := 0, 0
	for i := range v.reports {
		s := v.reports[i].status
		if s == nil || s.Status != wire.StatusOnline {
			continue
		}
		online++
		if s.Cluster.Flags != wire.NodeHealthy {
			alerts++
		}
	}
	text := fmt.Sprintf("%d online", online)
	if rest := len(v.reports) - online; rest > 0 {
		text += fmt.Sprintf(", %d not", rest)
	}
	if alerts > 0 {
		text += fmt.Sprintf(", %d with alerts", alerts)
	}
	return text
}

func (v *clusterView) rebalance() string {
	for i := range v.reports {
		if s := v.reports[i].status; s != nil && s.RebalanceSnap != nil && s.RebalanceSnap.EndTime.IsZero() {
			return "running " + s.RebalanceSnap.ID
		}
	}
	return "n/a"
}

// warnVersions tells of nodes whose version is not the one that this tool is
// made for: a minor version apart may work, more may not.
func (v *clusterView) warnVersions() {
	ownMajor, ownMinor, _ := majorMinor(clusterVersion)
	for i := range v.reports {
		s := v.reports[i].status
		if s == nil || s.Version == "" {
			continue
		}
		major, minor, ok := majorMinor(s.Version)
		switch {
		case !ok:
			v.app.warn("node %s has version %q, which this tool does not understand", v.reports[i].node, s.Version)
		case major == ownMajor && minor == ownMinor:
			continue
		case major == ownMajor && (minor-ownMinor == 1 || ownMinor-minor == 1):
			v.app.warn("node %s has version %s, this tool is made for %s", v.reports[i].node, s.Version, clusterVersion)
		default:
			v.app.warn("node %s has version %s, this tool is made for %s and may not be compatible", v.reports[i].node, s.Version, clusterVersion)
		}
		return
	}
}

// majorMinor reads "MAJOR.MINOR[.rest]".
func majorMinor(version string) (major, minor int, ok bool) {
	first, rest, found := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(first)
	if err != nil || !found {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(second)
	return major, minor, err == nil
}
