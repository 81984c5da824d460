package config

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/unit"
)

// This file checks the sections that say how objects are stored. Those with
// an exported Validate are bucket properties as well.

func (c *MirrorConf) validate() error {
	return firstOf(
		within("mirror.copies", c.Copies, 2, 32),
		within("mirror.burst_buffer", c.BurstBuffer, 0, math.MaxInt32),
	)
}

// ValidateBucket checks the section as a bucket property: only if it is on.
// Zeros are replaced by defaults.
func (c *MirrorConf) ValidateBucket() error {
	if !c.Enabled {
		return nil
	}
	orDefault(&c.Copies, 2)
	orDefault(&c.BurstBuffer, 512)
	return c.validate()
}

func (c *ECConf) validate() error {
	orDefault(&c.Compression, CompressNever)
	return firstOf(
		atLeast("ec.objsize_limit", c.ObjSizeLimit, -1),
		within("ec.data_slices", c.DataSlices, 1, 32),
		within("ec.parity_slices", c.ParitySlices, 1, 32),
		validateStreams("ec", c.Compression, c.BundleMultiplier, c.BurstBuffer),
	)
}

// ValidateBucket checks the section as a bucket property: only if it is on.
// Zeros are replaced by defaults, zero slices by one.
func (c *ECConf) ValidateBucket() error {
	if !c.Enabled {
		return nil
	}
	orDefault(&c.DataSlices, 1)
	orDefault(&c.ParitySlices, 1)
	orDefault(&c.BundleMultiplier, 2)
	orDefault(&c.BurstBuffer, 512)
	return c.validate()
}

// Validate checks the section; zeros are replaced by defaults.
func (c *ChunksConf) Validate() error {
	orDefault(&c.MaxMonolithicSize, unit.TiB)
	orDefault(&c.ChunkSize, unit.GiB)
	err := firstOf(
		within("chunks.max_monolithic_size", c.MaxMonolithicSize, unit.GiB, unit.TiB),
		within("chunks.chunk_size", c.ChunkSize, unit.KiB, 5*unit.GiB),
		atLeast("chunks.objsize_limit", c.ObjSizeLimit, 0),
		within("chunks.checkpoint_every", c.CheckpointEvery, 0, 1024),
	)
	switch {
	case err != nil:
		return err
	case c.ObjSizeLimit > c.MaxMonolithicSize:
		return apierr.BadRequest("chunks.objsize_limit (%s) must not exceed chunks.max_monolithic_size (%s)", c.ObjSizeLimit, c.MaxMonolithicSize)
	}
	return nil
}

// Validate checks the section; zeros are replaced by defaults.
func (c *LRUConf) Validate() error {
	orDefault(&c.DontEvictTime, duration(2*time.Hour))
	orDefault(&c.CapacityUpdTime, duration(10*time.Minute))
	orDefault(&c.BatchSize, 32768)
	return firstOf(
		atLeast("lru.dont_evict_time", c.DontEvictTime, duration(time.Hour)),
		atLeast("lru.capacity_upd_time", c.CapacityUpdTime, duration(10*time.Second)),
		within("lru.batch_size", c.BatchSize, 1024, 524288),
	)
}

// Validate checks the section.
func (c *ChecksumConf) Validate() error {
	return oneOf("checksum.type", c.Type,
		cksum.None, cksum.XXHash, cksum.XXHash2, cksum.MD5, cksum.CRC32C, cksum.SHA256, cksum.SHA512)
}

func (c *VersioningConf) validate() error {
	if c.ValidateWarmGet && !c.Enabled {
		return apierr.BadRequest("versioning.validate_warm_get needs versioning.enabled")
	}
	return nil
}

// Validate checks the section; empty words are replaced by "immediate".
func (c *WritePolicyConf) Validate() error {
	orDefault(&c.Data, WriteImmediate)
	orDefault(&c.MD, WriteImmediate)
	return firstOf(
		oneOf("write_policy.data", c.Data, WriteImmediate),
		oneOf("write_policy.md", c.MD, WriteImmediate, WriteDelayed, WriteNever),
	)
}

// Validate checks the section; zeros are replaced by defaults.
func (c *RateLimitConf) Validate() error {
	orDefault(&c.Backend.NumRetries, 3)
	orDefault(&c.Frontend.BurstSize, 375)
	err := firstOf(
		c.Backend.validate("rate_limit.backend"),
		within("rate_limit.backend.num_retries", c.Backend.NumRetries, 1, 10),
		c.Frontend.validate("rate_limit.frontend"),
		atLeast("rate_limit.frontend.burst_size", c.Frontend.BurstSize, 1),
	)
	if err == nil && c.Frontend.BurstSize > c.Frontend.MaxTokens/2 {
		return apierr.BadRequest("invalid rate_limit.frontend.burst_size: %d (expecting at most half of rate_limit.frontend.max_tokens=%d)",
			c.Frontend.BurstSize, c.Frontend.MaxTokens)
	}
	return err
}

func (c *RateConf) validate(section string) error {
	orDefault(&c.Interval, duration(time.Minute))
	orDefault(&c.MaxTokens, 1000)
	err := firstOf(
		span(section+".interval", c.Interval, time.Second, time.Hour),
		within(section+".max_tokens", c.MaxTokens, 1, math.MaxInt32-1),
	)
	if err != nil {
		return err
	}
	for word := range strings.FieldsSeq(c.PerOpMaxTokens) {
		verb, count, _ := strings.Cut(word, ":")
		n, err := strconv.ParseInt(count, 10, 32)
		if err != nil || n <= 0 || !slices.Contains([]string{"get", "put", "delete"}, strings.ToLower(verb)) {
			return apierr.BadRequest("invalid %s.per_op_max_tokens: %q (expecting words such as get:5000 put:1000 delete:100)",
				section, clip(c.PerOpMaxTokens))
		}
	}
	return nil
}

func (c *SpaceConf) validate() error {
	orDefault(&c.BatchSize, 32768)
	orDefault(&c.DontCleanupTime, duration(30*time.Minute))
	marks := []struct {
		key   string
		value int64
	}{
		{"space.cleanupwm", c.CleanupWM}, {"space.lowwm", c.LowWM},
		{"space.highwm", c.HighWM}, {"space.out_of_space", c.OutOfSpace},
	}
	for i, mark := range marks {
		if err := within(mark.key, mark.value, 1, 100); err != nil {
			return err
		}
		if i > 0 && mark.value < marks[i-1].value {
			return apierr.BadRequest("%s=%d must not be below %s=%d (percent)", mark.key, mark.value, marks[i-1].key, marks[i-1].value)
		}
	}
	return firstOf(
		within("space.batch_size", c.BatchSize, 1024, 524288),
		atLeast("space.dont_cleanup_time", c.DontCleanupTime, duration(15*time.Minute)),
	)
}

func (c *DiskConf) validate() error {
	err := firstOf(
		within("disk.disk_util_low_wm", c.UtilLowWM, 0, 100),
		within("disk.disk_util_high_wm", c.UtilHighWM, 0, 100),
		within("disk.disk_util_max_wm", c.UtilMaxWM, 0, 100),
		span("disk.iostat_time_long", c.IostatLong, 2*time.Second, time.Minute),
		span("disk.iostat_time_short", c.IostatShort, time.Millisecond, time.Minute),
		span("disk.iostat_time_smooth", c.IostatSmooth, 0, 10*c.IostatLong.D()),
	)
	switch {
	case err != nil:
		return err
	case c.UtilLowWM >= c.UtilHighWM:
		return apierr.BadRequest("disk.disk_util_low_wm=%d must be below disk.disk_util_high_wm=%d (percent)", c.UtilLowWM, c.UtilHighWM)
	case c.UtilHighWM >= c.UtilMaxWM:
		return apierr.BadRequest("disk.disk_util_high_wm=%d must be below disk.disk_util_max_wm=%d (percent)", c.UtilHighWM, c.UtilMaxWM)
	case c.IostatShort > c.IostatLong:
		return apierr.BadRequest("disk.iostat_time_short=%s must not exceed disk.iostat_time_long=%s", c.IostatShort, c.IostatLong)
	}
	return nil
}

func (c *FSHCConf) validate() error {
	orDefault(&c.IOErrLimit, 10)
	orDefault(&c.IOErrTime, duration(10*time.Second))
	return firstOf(
		atLeast("fshc.test_files", c.TestFiles, 4),
		atLeast("fshc.error_limit", c.ErrorLimit, 2),
		atLeast("fshc.io_err_limit", c.IOErrLimit, 10),
		span("fshc.io_err_time", c.IOErrTime, 10*time.Second, time.Minute),
	)
}

func (c *RebalanceConf) validate() error {
	orDefault(&c.Compression, CompressNever)
	orDefault(&c.RepairDelay, duration(10*time.Minute))
	return firstOf(
		validateStreams("rebalance", c.Compression, c.BundleMultiplier, c.BurstBuffer),
		span("rebalance.dest_retry_time", c.DestRetryTime, time.Second, 10*time.Minute),
		span("rebalance.repair_delay", c.RepairDelay, time.Second, 24*time.Hour),
	)
}

// validateStreams checks what all kinds of streams between targets have.
func validateStreams(section, compression string, multiplier, burst int) error {
	return firstOf(
		oneOf(section+".compression", compression, CompressNever, CompressAlways),
		within(section+".bundle_multiplier", multiplier, 1, 16),
		within(section+".burst_buffer", burst, 32, 10000),
	)
}

func (c *StreamsConf) validate(section string) error {
	orDefault(&c.Compression, CompressNever)
	return validateStreams(section, c.Compression, c.BundleMultiplier, c.BurstBuffer)
}

func (c *LSOConf) validate() error {
	err := firstOf(
		c.StreamsConf.validate("lso"),
		within("lso.walk_buffer", c.WalkBuffer, 16, 4096),
		span("lso.idle_time", c.IdleTime, 5*time.Second, 10*time.Minute),
		span("lso.quiescent", c.Quiescent, 2*time.Second, time.Minute),
	)
	if err == nil && c.Quiescent >= c.IdleTime {
		return apierr.BadRequest("lso.quiescent=%s must be less than lso.idle_time=%s", c.Quiescent, c.IdleTime)
	}
	return err
}

func (c *GetBatchConf) validate() error {
	orDefault(&c.MaxWait, duration(20*time.Second))
	orDefault(&c.WarmupWorkers, -1)
	orDefault(&c.MaxSoftErrs, 8)
	orDefault(&c.MaxGFN, min(5, c.MaxSoftErrs))
	err := firstOf(
		c.StreamsConf.validate("get_batch"),
		span("get_batch.max_wait", c.MaxWait, time.Second, time.Minute),
		within("get_batch.warmup_workers", c.WarmupWorkers, -1, 10),
		within("get_batch.max_soft_errs", c.MaxSoftErrs, 1, math.MaxInt32),
		atLeast("get_batch.max_gfn", c.MaxGFN, -1),
	)
	if err == nil && c.MaxGFN > c.MaxSoftErrs {
		return apierr.BadRequest("get_batch.max_gfn=%d must not exceed get_batch.max_soft_errs=%d", c.MaxGFN, c.MaxSoftErrs)
	}
	return err
}
