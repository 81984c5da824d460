package test

import "os"

// longTests tells that `make test-long` runs: more rounds, larger objects.
func longTests() bool { return os.Getenv("AIS_TEST_LONG") != "" }
