package feature_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/feature"
)

// The values are wire facts: clients send numbers.
func TestValues(t *testing.T) {
	t.Parallel()
	for flag, want := range map[feature.Flags]struct {
		value uint64
		name  string
	}{
		feature.EnforceIntraClusterAccess: {1, "Enforce-IntraCluster-Access"},
		feature.SkipVersionChecksumMD:     {2, "Skip-Loading-VersionChecksum-MD"},
		feature.S3APIviaRoot:              {8, "S3-API-via-Root"},
		feature.FsyncPUT:                  {16, "Fsync-PUT"},
		feature.S3PresignedRequest:        {512, "S3-Presigned-Request"},
		feature.DisableColdGET:            {2048, "Disable-Cold-GET"},
		feature.StreamingColdGET:          {4096, "Streaming-Cold-GET"},
		feature.S3ReverseProxy:            {8192, "S3-Reverse-Proxy"},
		feature.S3UsePathStyle:            {16384, "S3-Use-Path-Style"},
		feature.S3ListObjectVersions:      {262144, "S3-ListObjectVersions"},
		feature.DetailedPromMetrics:       {524288, "Enable-Detailed-Prom-Metrics"},
		feature.ResumeInterruptedMPU:      {2097152, "Resume-Interrupted-MPU"},
		feature.LoadBalanceGET:            {8388608, "Load-Balance-GET"},
		feature.CountObjectNotFound:       {16777216, "Count-Object-NotFound-Stats"},
		feature.S3RedirectRebuild:         {134217728, "S3-Redirect-Rebuild"},
	} {
		if uint64(flag) != want.value || !slices.Equal(flag.Names(), []string{want.name}) {
			t.Errorf("%d is named %v, want %d %s", flag, flag.Names(), want.value, want.name)
		}
		if got, ok := feature.ByName(strings.ToLower(want.name)); !ok || got != flag {
			t.Errorf("ByName(%s) = %d", want.name, got)
		}
	}
	if n := len(feature.AllNames()); n != 28 {
		t.Errorf("%d features, want 28", n)
	}
	if feature.BucketScope != 2+16+512+2048+4096+16384+262144+2097152+16777216 {
		t.Errorf("BucketScope = %d", feature.BucketScope)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, bad := range []feature.Flags{feature.DisableColdGET | feature.StreamingColdGET,
		feature.S3ReverseProxy | feature.S3RedirectRebuild, 1 << 28, 1 << 63} {
		if err := bad.Validate(); apierr.StatusOf(err) != 400 {
			t.Errorf("Validate(%d) = %v", bad, err)
		}
	}
	if err := feature.Flags(feature.StreamingColdGET | feature.FsyncPUT).Validate(); err != nil {
		t.Error(err)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(feature.FsyncPUT)
	if err != nil || string(data) != `"16"` {
		t.Fatalf("%s, %v", data, err)
	}
	var f feature.Flags
	if err := json.Unmarshal([]byte(`"18446744073709551615"`), &f); err != nil || f != 1<<64-1 {
		t.Errorf("%d, %v", f, err)
	}
	for _, bad := range []string{`16`, `"x"`, `"-1"`, `{}`, `null`, `"18446744073709551616"`} {
		if err := json.Unmarshal([]byte(bad), &f); apierr.StatusOf(err) != 400 {
			t.Errorf("%s: %v, want a 400", bad, err)
		}
	}
}
