package test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/config/dotted"
	"github.com/aistore-go/aistore/cmn/feature"
)

// TestConfigurationPages runs the examples of docs/configuration.md and
// docs/feature_flags.md, in order.
func TestConfigurationPages(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 1)
	delete(c.Config, "space") // the page shows the watermarks of a playground
	c.up()
	env := []string{"AIS=" + c.nodes[1].URL(), "NODE=" + idOf(t, c.targets()[0])}
	for _, name := range []string{"configuration.md", "feature_flags.md"} {
		page{name: name, env: env}.run(t)
	}
}

// TestConfigurationPageNamesEveryKey: of every key the page says what acts on
// it, or what it waits for.
func TestConfigurationPageNamesEveryKey(t *testing.T) {
	t.Parallel()
	page := readText(t, "../../docs/configuration.md")
	_, tables, found := strings.Cut(page, "## What has effect")
	if !found {
		t.Fatal("the page has no section on effects")
	}
	rows := regexp.MustCompile("(?m)^\\| (`[^|]*) \\| ([^|]*) \\|.*\\|$").FindAllStringSubmatch(tables, -1)
	for _, key := range dotted.Keys(new(config.Cluster)) {
		section, name, _ := strings.Cut(key, ".")
		switch section {
		case "uuid", "config_version", "lastupdate_time", "backend", "features":
			name = section
		}
		if strings.HasPrefix(name, "http.pub.") {
			name = "http.pub" // is explained as a whole
		}
		named := false
		for _, row := range rows {
			ofSection := strings.Contains(row[1], "`"+section+"`")
			named = named || ofSection && (section == name || strings.Contains(row[2], "`"+name+"`") || strings.Contains(row[2], "`"+key+"`"))
		}
		if section == name && strings.Contains(page, "`"+name+"`") {
			named = true
		}
		if !named {
			t.Errorf("the page does not say what has an effect on %s", key)
		}
	}
}

// TestFeatureFlagsPageNamesEveryFlag, with its value and its scope.
func TestFeatureFlagsPageNamesEveryFlag(t *testing.T) {
	t.Parallel()
	page := readText(t, "../../docs/feature_flags.md")
	for bit, name := range feature.AllNames() {
		scope := "C"
		if feature.BucketScope.Has(1 << bit) {
			scope = "B"
		}
		if row := fmt.Sprintf("\n| %d | `%s` | %s | ", uint64(1)<<bit, name, scope); !strings.Contains(page, row) {
			t.Errorf("no row %q", row)
		}
	}
}
