package wire

// Version is the first path item of every REST call.
const Version = "v1"

// URL paths of the REST API, without a trailing slash.
const (
	PathObjects   = "/v1/objects"
	PathBuckets   = "/v1/buckets"
	PathCluster   = "/v1/cluster"
	PathDaemon    = "/v1/daemon"
	PathReverse   = "/v1/reverse"
	PathHealth    = "/v1/health"
	PathGetBatch  = "/v1/ml/moss"
	PathDownload  = "/v1/download"
	PathSort      = "/v1/sort"
	PathETL       = "/v1/etl"
	PathTokens    = "/v1/tokens"
	PathXactions  = "/v1/xactions"
	PathNotifs    = "/v1/notifs"
	PathIC        = "/v1/ic"
	PathMetasync  = "/v1/metasync" // intra-control: replicated metadata
	PathIntra     = "/v1/intra"    // intra-data: calls between gateways and targets
	PathHeld      = "/v1/held"     // intra-control: what a target holds
	PathS3        = "/s3"
	PathMetrics   = "/metrics"
	PathFavicon   = "/favicon.ico"
	PathEasyAIS   = "/ais"
	PathEasyGCP   = "/gs"
	PathEasyAzure = "/az"
)

// Items of a path below its resource.
const (
	ItemAutoReg     = "autoreg"
	ItemKeepalive   = "keepalive"
	ItemJoinByAdmin = "join-by-admin"
	ItemProxy       = "proxy"
	ItemDaemon      = "daemon"
	ItemSetConfig   = "set-config"
	ItemMountpaths  = "mountpaths"
	ItemAttach      = "attach"
	ItemDetach      = "detach"
	ItemLoadX509    = "load-x509"

	ItemEnableBackend  = "enable-bend"
	ItemDisableBackend = "disable-bend"
	ItemPrimaryForce   = "primary-force"
)
