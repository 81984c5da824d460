package config

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/unit"
)

// Cluster is the cluster configuration. As part of a published document it is
// immutable: change a Clone. Its JSON is always complete: every section and
// every key that is not optional is written.
type Cluster struct {
	Backend    BackendConf    `json:"backend"`
	Mirror     MirrorConf     `json:"mirror"`
	EC         ECConf         `json:"ec"`
	Chunks     ChunksConf     `json:"chunks"`
	Log        LogConf        `json:"log"`
	Periodic   PeriodicConf   `json:"periodic"`
	Timeout    TimeoutConf    `json:"timeout"`
	Client     ClientConf     `json:"client"`
	Proxy      ProxyConf      `json:"proxy"`
	Space      SpaceConf      `json:"space"`
	LRU        LRUConf        `json:"lru"`
	Disk       DiskConf       `json:"disk"`
	Rebalance  RebalanceConf  `json:"rebalance"`
	Resilver   ResilverConf   `json:"resilver"`
	Checksum   ChecksumConf   `json:"checksum"`
	Versioning VersioningConf `json:"versioning"`
	Net        NetConf        `json:"net"`
	FSHC       FSHCConf       `json:"fshc"`
	Auth       AuthConf       `json:"auth"`
	Keepalive  KeepaliveConf  `json:"keepalivetracker"`
	Downloader DownloaderConf `json:"downloader"`
	Transport  TransportConf  `json:"transport"`
	Memsys     MemsysConf     `json:"memsys"`
	TCB        StreamsConf    `json:"tcb"`
	TCO        StreamsConf    `json:"tco"`
	Arch       StreamsConf    `json:"arch"`
	LSO        LSOConf        `json:"lso"`

	WritePolicy WritePolicyConf `json:"write_policy"`
	RateLimit   RateLimitConf   `json:"rate_limit"`
	GetBatch    GetBatchConf    `json:"get_batch"`

	Features   feature.Flags `json:"features"`
	UUID       string        `json:"uuid"`                  // of the cluster
	Version    int64         `json:"config_version,string"` // of this document; grows by 1 with each change
	LastUpdate string        `json:"lastupdate_time"`       // wall clock of the primary, free form
}

// BackendConf is what the cluster knows of remote providers: for a cloud
// provider an object (usually empty), for "ais" an object from alias or UUID
// to the URLs of a remote cluster.
type BackendConf map[string]json.RawMessage

// MirrorConf is n-way mirroring on the mountpaths of a target.
type MirrorConf struct {
	Copies      int  `json:"copies"`
	BurstBuffer int  `json:"burst_buffer"`
	Enabled     bool `json:"enabled"`
}

// ECConf is erasure coding across targets.
type ECConf struct {
	Compression      string `json:"compression"`
	BundleMultiplier int    `json:"bundle_multiplier"`
	BurstBuffer      int    `json:"burst_buffer"`
	ObjSizeLimit     int64  `json:"objsize_limit"` // bytes; smaller objects are replicated; 0: none is, -1: all are
	DataSlices       int    `json:"data_slices"`
	ParitySlices     int    `json:"parity_slices"`
	Enabled          bool   `json:"enabled"`
	DiskOnly         bool   `json:"disk_only"`
}

// ChunksConf says which objects are stored in chunks.
type ChunksConf struct {
	ObjSizeLimit      unit.Size `json:"objsize_limit"` // objects of this size or larger; 0: none
	MaxMonolithicSize unit.Size `json:"max_monolithic_size"`
	ChunkSize         unit.Size `json:"chunk_size"`
	CheckpointEvery   int       `json:"checkpoint_every,omitempty"`
	Flags             uint64    `json:"flags,omitempty"`
}

// LogConf is logging.
type LogConf struct {
	Level     LogLevel      `json:"level"`
	MaxSize   unit.Size     `json:"max_size"`
	MaxTotal  unit.Size     `json:"max_total"`
	FlushTime unit.Duration `json:"flush_time"`
	StatsTime unit.Duration `json:"stats_time"`
	ToStderr  bool          `json:"to_stderr"`
}

// PeriodicConf are the periods of housekeeping.
type PeriodicConf struct {
	StatsTime     unit.Duration `json:"stats_time"`
	RetrySyncTime unit.Duration `json:"retry_sync_time"`
	NotifTime     unit.Duration `json:"notif_time"`
}

// TimeoutConf are the deadlines between nodes.
type TimeoutConf struct {
	CplaneOperation unit.Duration `json:"cplane_operation"`
	MaxKeepalive    unit.Duration `json:"max_keepalive"`
	MaxHostBusy     unit.Duration `json:"max_host_busy"`
	Startup         unit.Duration `json:"startup_time"`
	JoinStartup     unit.Duration `json:"join_startup_time"`
	SendFile        unit.Duration `json:"send_file_time"`
	ECStreams       unit.Duration `json:"ec_streams_time"` // negative: never
	ObjectMD        unit.Duration `json:"object_md"`
	ColdGetConflict unit.Duration `json:"cold_get_conflict"`
}

// ClientConf are the deadlines of calls made for clients.
type ClientConf struct {
	Timeout     unit.Duration `json:"client_timeout"`
	TimeoutLong unit.Duration `json:"client_long_timeout"`
	ListTimeout unit.Duration `json:"list_timeout"`
}

// ProxyConf are the URLs where the cluster can be found.
type ProxyConf struct {
	PrimaryURL   string `json:"primary_url"`
	OriginalURL  string `json:"original_url"`
	DiscoveryURL string `json:"discovery_url"`
	NonElectable bool   `json:"non_electable"`
}

// SpaceConf are the watermarks of used space, in percent.
type SpaceConf struct {
	CleanupWM       int64         `json:"cleanupwm"`
	LowWM           int64         `json:"lowwm"`
	HighWM          int64         `json:"highwm"`
	OutOfSpace      int64         `json:"out_of_space"`
	BatchSize       int64         `json:"batch_size"`
	DontCleanupTime unit.Duration `json:"dont_cleanup_time"`
}

// LRUConf is the eviction of what a remote backend holds as well.
type LRUConf struct {
	DontEvictTime   unit.Duration `json:"dont_evict_time"`
	CapacityUpdTime unit.Duration `json:"capacity_upd_time"`
	BatchSize       int64         `json:"batch_size,omitempty"`
	Enabled         bool          `json:"enabled"`
}

// DiskConf is the sampling of disk utilization, in percent.
type DiskConf struct {
	UtilLowWM    int64         `json:"disk_util_low_wm"`
	UtilHighWM   int64         `json:"disk_util_high_wm"`
	UtilMaxWM    int64         `json:"disk_util_max_wm"`
	IostatLong   unit.Duration `json:"iostat_time_long"`
	IostatShort  unit.Duration `json:"iostat_time_short"`
	IostatSmooth unit.Duration `json:"iostat_time_smooth"` // 0: four times IostatLong, less above 5s
}

// RebalanceConf is the moving of objects between targets.
type RebalanceConf struct {
	Compression      string        `json:"compression"`
	BundleMultiplier int           `json:"bundle_multiplier"`
	BurstBuffer      int           `json:"burst_buffer"`
	DestRetryTime    unit.Duration `json:"dest_retry_time"`
	// RepairDelay is how long a target must be gone before what it held is made again
	// on others. No version of upstream has it.
	RepairDelay unit.Duration `json:"repair_delay"`
	Enabled     bool          `json:"enabled"`
}

// ResilverConf is the moving of objects between mountpaths.
type ResilverConf struct {
	Enabled bool `json:"enabled"`
}

// ChecksumConf is the checksum of objects and when it is verified.
type ChecksumConf struct {
	Type            string `json:"type"`
	ValidateColdGet bool   `json:"validate_cold_get"`
	ValidateWarmGet bool   `json:"validate_warm_get"`
	ValidateObjMove bool   `json:"validate_obj_move"`
	EnableReadRange bool   `json:"enable_read_range"`
}

// VersioningConf is object versioning.
type VersioningConf struct {
	Enabled         bool `json:"enabled"`
	ValidateWarmGet bool `json:"validate_warm_get"`
	Synchronize     bool `json:"synchronize"`
}

// NetConf is the network.
type NetConf struct {
	L4      L4Conf   `json:"l4"`
	HTTP    HTTPConf `json:"http"`
	UseIPv6 bool     `json:"use_ipv6"`
}

// L4Conf is the transport protocol.
type L4Conf struct {
	Proto         string `json:"proto"`
	SndRcvBufSize int    `json:"sndrcv_buf_size"`
}

// HTTPConf is HTTP of servers and of the clients between nodes.
type HTTPConf struct {
	Certificate         string        `json:"server_crt"`
	CertKey             string        `json:"server_key"`
	ClientCA            string        `json:"client_ca_tls"`
	ClientAuthTLS       int           `json:"client_auth_tls"`
	ServerNameTLS       string        `json:"domain_tls"`
	IdleConnTime        unit.Duration `json:"idle_conn_time"`
	BackendIdleConnTime unit.Duration `json:"backend_idle_conn_time"`
	IdleConnsPerHost    int           `json:"idle_conns_per_host"`
	IdleConns           int           `json:"idle_conns"`
	WriteBufferSize     int           `json:"write_buffer_size"`
	ReadBufferSize      int           `json:"read_buffer_size"`
	UseHTTPS            bool          `json:"use_https"`
	SkipVerify          bool          `json:"skip_verify"`
	Chunked             bool          `json:"chunked_transfer"`
	Pub                 *PubTLSConf   `json:"pub,omitempty"`
}

// PubTLSConf is TLS of the public listener where it differs from the others.
type PubTLSConf struct {
	Certificate   string `json:"server_crt"`
	CertKey       string `json:"server_key"`
	ClientCA      string `json:"client_ca_tls"`
	ClientAuthTLS int    `json:"client_auth_tls"`
}

// FSHCConf is the health checker of filesystems.
type FSHCConf struct {
	TestFiles  int           `json:"test_files"`
	ErrorLimit int           `json:"error_limit"`
	IOErrLimit int           `json:"io_err_limit"`
	IOErrTime  unit.Duration `json:"io_err_time"`
	Enabled    bool          `json:"enabled"`
}

// AuthConf is the authentication of clients.
type AuthConf struct {
	Required bool `json:"client_auth_required"`
}

// KeepaliveConf is the watch that nodes keep on each other.
type KeepaliveConf struct {
	Proxy       KeepaliveTrackerConf `json:"proxy"`
	Target      KeepaliveTrackerConf `json:"target"`
	NumRetries  int                  `json:"num_retries"`
	RetryFactor int                  `json:"retry_factor"`
}

// KeepaliveTrackerConf is KeepaliveConf of one role.
type KeepaliveTrackerConf struct {
	Interval unit.Duration `json:"interval"`
	Name     string        `json:"name"`
	Factor   int           `json:"factor"`
}

// DownloaderConf is the downloader.
type DownloaderConf struct {
	Timeout unit.Duration `json:"timeout"`
}

// TransportConf is the streams between targets.
type TransportConf struct {
	MaxHeaderSize    int           `json:"max_header"`
	BurstBuffer      int           `json:"burst_buffer"`
	IdleTeardown     unit.Duration `json:"idle_teardown"`
	QuiesceTime      unit.Duration `json:"quiescent"`
	LZ4BlockMaxSize  unit.Size     `json:"lz4_block"`
	LZ4FrameChecksum bool          `json:"lz4_frame_checksum"`
}

// MemsysConf is the memory manager.
type MemsysConf struct {
	MinFree        unit.Size     `json:"min_free"`
	DefaultBufSize unit.Size     `json:"default_buf"`
	SizeToGC       unit.Size     `json:"to_gc"`
	HousekeepTime  unit.Duration `json:"hk_time"`
	MinPctTotal    int           `json:"min_pct_total"`
	MinPctFree     int           `json:"min_pct_free"`
}

// StreamsConf are the streams of one kind of job.
type StreamsConf struct {
	Compression      string `json:"compression"`
	BundleMultiplier int    `json:"bundle_multiplier"`
	BurstBuffer      int    `json:"burst_buffer"`
}

// LSOConf is the listing of objects.
type LSOConf struct {
	StreamsConf
	WalkBuffer int           `json:"walk_buffer"`
	IdleTime   unit.Duration `json:"idle_time"`
	Quiescent  unit.Duration `json:"quiescent"`
}

// WritePolicyConf says when data and metadata are written.
type WritePolicyConf struct {
	Data string `json:"data"`
	MD   string `json:"md"`
}

// RateLimitConf limits the rate of calls to a backend and from clients.
type RateLimitConf struct {
	Backend  BackendRateConf  `json:"backend"`
	Frontend FrontendRateConf `json:"frontend"`
}

// RateConf is a limit: so many tokens an interval.
type RateConf struct {
	Interval       unit.Duration `json:"interval"`
	MaxTokens      int           `json:"max_tokens"`
	Enabled        bool          `json:"enabled"`
	PerOpMaxTokens string        `json:"per_op_max_tokens,omitempty"`
}

// BackendRateConf limits calls to a backend.
type BackendRateConf struct {
	RateConf
	NumRetries int `json:"num_retries"`
}

// FrontendRateConf limits calls from clients.
type FrontendRateConf struct {
	RateConf
	BurstSize int `json:"burst_size"`
}

// GetBatchConf is get-batch.
type GetBatchConf struct {
	StreamsConf
	MaxWait       unit.Duration `json:"max_wait"`
	WarmupWorkers int           `json:"warmup_workers"` // -1: off
	MaxSoftErrs   int           `json:"max_soft_errs"`
	MaxGFN        int           `json:"max_gfn"` // -1: off
}

// Clone returns a copy that shares nothing with c.
func (c *Cluster) Clone() *Cluster {
	clone := *c
	clone.Backend = maps.Clone(c.Backend)
	for provider, value := range clone.Backend {
		clone.Backend[provider] = slices.Clone(value)
	}
	if c.Net.HTTP.Pub != nil {
		pub := *c.Net.HTTP.Pub
		clone.Net.HTTP.Pub = &pub
	}
	return &clone
}
