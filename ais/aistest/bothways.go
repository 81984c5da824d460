package aistest

import (
	"flag"
	"os"
	"testing"

	"github.com/aistore-go/aistore/cmn/config"
)

// BothWays runs the tests of a package twice, for its TestMain: with the loop
// of the public listener, and with net/http alone. Benchmarks, fuzzing and
// short runs go one way only.
type BothWays struct{ *testing.M }

// Run implements the interface of goleak.VerifyTestMain.
func (b BothWays) Run() int {
	code := b.M.Run()
	if code != 0 || testing.Short() || os.Getenv(config.EnvHTTPLoop) != "" || set("test.bench") || set("test.fuzz") || set("test.list") {
		return code
	}
	if err := os.Setenv(config.EnvHTTPLoop, "off"); err != nil {
		panic(err)
	}
	return b.M.Run()
}

func set(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != ""
}

// loopOff tells which way the tests go.
func loopOff() bool { return os.Getenv(config.EnvHTTPLoop) == "off" }
