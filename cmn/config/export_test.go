package config

import "github.com/aistore-go/aistore/cmn/config/dotted"

// SetForTest sets any key, without the rules of scope.
func SetForTest(c *Cluster, key, value string) error { return dotted.Set(c, key, value) }
