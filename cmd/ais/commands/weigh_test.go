package commands

import (
	"encoding/json"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
)

// TestWeighTargets: what is in force is shown; bad input is refused and says why.
func TestWeighTargets(t *testing.T) {
	t.Parallel()
	j := &jobCluster{t: t, dir: t.TempDir(), c: aistest.New(t, aistest.Options{Targets: 2})}
	a, b := j.c.Targets[0].ID(), j.c.Targets[1].ID()
	j.expect("cluster weigh-targets", 1, "expected either --by or a capacity for each target")
	j.expect("cluster weigh-targets --by capacity "+a+"=1", 1, "expected either")
	j.expect("cluster weigh-targets "+a+"=much", 1, "expected TARGET_ID=CAPACITY")
	j.expect("cluster weigh-targets "+j.c.Proxies[0].ID()+"=1", 1, "is not a target")
	j.expect("cluster weigh-targets "+a+"=1", 1, "is missing")
	j.expect("cluster weigh-targets --by colour", 1, "colour")
	j.expect("cluster weigh-targets --by nothing", 0, "TARGET CAPACITY SHARE", "t["+a+"] - 50.0%", "t["+b+"] - 50.0%")
	var form struct {
		Capacities map[string]uint64 `json:"capacities"`
	}
	if err := json.Unmarshal([]byte(j.expect("cluster weigh-targets --by nothing --json", 0)), &form); err != nil || len(form.Capacities) != 2 || form.Capacities[b] != 0 {
		t.Errorf("%+v, %v", form, err)
	}
}
