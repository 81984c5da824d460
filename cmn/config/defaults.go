package config

import (
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/unit"
)

// Values of compression settings.
const (
	CompressNever  = "never"
	CompressAlways = "always"
)

// Values of write policies.
const (
	WriteImmediate = "immediate"
	WriteDelayed   = "delayed"
	WriteNever     = "never"
)

// keepaliveName is the one kind of keepalive tracker.
const keepaliveName = "heartbeat"

func duration(d time.Duration) unit.Duration { return unit.Duration(d) }

// DefaultCluster is the configuration of a fresh cluster, without identity.
// It is valid.
func DefaultCluster() *Cluster {
	streams := StreamsConf{Compression: CompressNever, BundleMultiplier: 2, BurstBuffer: 512}
	rate := RateConf{Interval: duration(time.Minute), MaxTokens: 1000}
	tracker := KeepaliveTrackerConf{Interval: duration(10 * time.Second), Name: keepaliveName, Factor: 3}
	return &Cluster{
		Backend: BackendConf{},
		Mirror:  MirrorConf{Copies: 2, BurstBuffer: 512},
		EC: ECConf{
			Compression: CompressNever, BundleMultiplier: 2, BurstBuffer: 512,
			ObjSizeLimit: 256 << 10, DataSlices: 2, ParitySlices: 2,
		},
		Chunks: ChunksConf{MaxMonolithicSize: unit.TiB, ChunkSize: unit.GiB},
		Log: LogConf{
			Level: 3, MaxSize: 64 * unit.MiB, MaxTotal: 512 * unit.MiB,
			FlushTime: duration(time.Minute), StatsTime: duration(3 * time.Minute),
		},
		Periodic: PeriodicConf{
			StatsTime: duration(10 * time.Second), RetrySyncTime: duration(2 * time.Second), NotifTime: duration(30 * time.Second),
		},
		Timeout: TimeoutConf{
			CplaneOperation: duration(2 * time.Second), MaxKeepalive: duration(5 * time.Second), MaxHostBusy: duration(20 * time.Second),
			Startup: duration(time.Minute), JoinStartup: duration(3 * time.Minute), SendFile: duration(5 * time.Minute),
			ECStreams: duration(10 * time.Minute), ObjectMD: duration(2 * time.Hour), ColdGetConflict: duration(5 * time.Second),
		},
		Client: ClientConf{Timeout: duration(10 * time.Second), TimeoutLong: duration(5 * time.Minute), ListTimeout: duration(5 * time.Minute)},
		Space: SpaceConf{
			CleanupWM: 65, LowWM: 75, HighWM: 90, OutOfSpace: 95,
			BatchSize: 32768, DontCleanupTime: duration(30 * time.Minute),
		},
		LRU: LRUConf{DontEvictTime: duration(2 * time.Hour), CapacityUpdTime: duration(10 * time.Minute), BatchSize: 32768},
		Disk: DiskConf{
			UtilLowWM: 20, UtilHighWM: 80, UtilMaxWM: 95,
			IostatLong: duration(2 * time.Second), IostatShort: duration(100 * time.Millisecond),
		},
		Rebalance: RebalanceConf{
			Compression: CompressNever, BundleMultiplier: 2, BurstBuffer: 1024, DestRetryTime: duration(2 * time.Minute),
			RepairDelay: duration(10 * time.Minute), Enabled: true,
		},
		Resilver:   ResilverConf{Enabled: true},
		Checksum:   ChecksumConf{Type: cksum.XXHash2},
		Versioning: VersioningConf{Enabled: true},
		Net: NetConf{
			L4: L4Conf{Proto: "tcp", SndRcvBufSize: 128 << 10},
			HTTP: HTTPConf{
				IdleConnTime: duration(6 * time.Second), BackendIdleConnTime: duration(6 * time.Second),
				IdleConnsPerHost: 32, IdleConns: 256, Chunked: true,
			},
		},
		FSHC:       FSHCConf{TestFiles: 4, ErrorLimit: 2, IOErrLimit: 10, IOErrTime: duration(10 * time.Second), Enabled: true},
		Keepalive:  KeepaliveConf{Proxy: tracker, Target: tracker, NumRetries: 3, RetryFactor: 4},
		Downloader: DownloaderConf{Timeout: duration(time.Hour)},
		Transport: TransportConf{
			MaxHeaderSize: 4096, BurstBuffer: 1024, IdleTeardown: duration(4 * time.Second),
			QuiesceTime: duration(10 * time.Second), LZ4BlockMaxSize: 256 * unit.KiB,
		},
		Memsys: MemsysConf{
			MinFree: 2 * unit.GiB, DefaultBufSize: 32 * unit.KiB, SizeToGC: 4 * unit.GiB, HousekeepTime: duration(3 * time.Minute),
		},
		TCB: streams, TCO: streams, Arch: streams,
		LSO: LSOConf{
			StreamsConf: StreamsConf{Compression: CompressNever, BundleMultiplier: 1, BurstBuffer: 32},
			WalkBuffer:  128, IdleTime: duration(20 * time.Second), Quiescent: duration(5 * time.Second),
		},
		WritePolicy: WritePolicyConf{Data: WriteImmediate, MD: WriteImmediate},
		RateLimit: RateLimitConf{
			Backend:  BackendRateConf{RateConf: rate, NumRetries: 3},
			Frontend: FrontendRateConf{RateConf: rate, BurstSize: 375},
		},
		GetBatch: GetBatchConf{StreamsConf: streams, MaxWait: duration(20 * time.Second), WarmupWorkers: -1, MaxSoftErrs: 8, MaxGFN: 5},
	}
}
