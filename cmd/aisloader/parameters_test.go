package main

import (
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, args, wrong string
		check             func(*parameters) bool
	}{
		{"sizes without suffix are bytes", "-bucket=ais://b -cleanup=false -minsize=100 -maxsize=4K", "", func(p *parameters) bool {
			return p.minSize == 100 && p.maxSize == 4096 && p.bucket.Name == "b" && !p.cleanup
		}},
		{"only the greatest size", "-maxsize=2K", "", func(p *parameters) bool { return p.minSize == 2048 }},
		{"only the least size", "-minsize=1K", "", func(p *parameters) bool { return p.maxSize == 1<<30 }},
		{"a random bucket is removed", "-maxsize=1K", "", func(p *parameters) bool { return p.cleanup && strings.HasPrefix(p.bucket.Name, "aisloader-") }},
		{"a size limit lifts the time limit", "-maxsize=1K -totalputsize=1M -pctput=100", "", func(p *parameters) bool { return p.duration == 0 }},
		{"the default time", "-maxsize=1K", "", func(p *parameters) bool { return p.duration == time.Minute }},
		{"named bucket without cleanup", "-bucket=b", "-cleanup", nil},
		{"sizes the wrong way round", "-minsize=2K -maxsize=1K", "minsize", nil},
		{"percentage", "-pctput=101", "-pctput=101", nil},
		{"no end", "-duration=0", "-duration", nil},
		{"bucket name", "-bucket=a/b -cleanup=false", "bucket name is invalid", nil},
		{"unknown flag", "-uniquegets", "uniquegets", nil},
		{"argument", "extra", "extra", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p, err := parse(strings.Fields(tc.args))
			switch {
			case tc.wrong == "" && (err != nil || !tc.check(p)):
				t.Errorf("%+v, %v", p, err)
			case tc.wrong != "" && (err == nil || !strings.Contains(err.Error(), tc.wrong)):
				t.Errorf("error %v does not name %q", err, tc.wrong)
			}
		})
	}
}
