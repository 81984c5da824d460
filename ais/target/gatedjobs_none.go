//go:build !gatedjobs

package target

import "github.com/aistore-go/aistore/xact"

// testJobs are none: see gatedjobs.go.
func testJobs() []xact.Registration { return nil }
