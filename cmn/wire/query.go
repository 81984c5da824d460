package wire

// Query parameters. Boolean parameters follow ParseBool of package query.
const (
	QueryProvider  = "provider"
	QueryNamespace = "namespace"

	QueryWhat         = "what"
	QuerySeverity     = "severity"
	QueryOffset       = "offset"
	QueryAll          = "all"
	QueryForce        = "frc"
	QueryCandidate    = "can"
	QueryTransient    = "transient"
	QueryReadiness    = "readiness"
	QueryPrimaryReady = "prr"
	QueryAskPrimary   = "apr"
	QueryClusterInfo  = "cii"
	QueryPrimaryInfo  = "cii-apr"

	QueryRebalanceStatus = "rbs" // of a target, to other nodes
	QuerySystemBuckets   = "sys"

	QueryPresence          = "presence"
	QueryProps             = "props"
	QuerySkipVC            = "skip_vc"
	QueryLatest            = "latest-ver"
	QuerySynchronize       = "synchronize"
	QueryValidateChecksum  = "validate-checksum"
	QuerySilent            = "sln"
	QueryArchPath          = "archpath"
	QueryArchMime          = "archmime"
	QueryArchRegx          = "archregx"
	QueryArchMode          = "archmode"
	QueryAppendType        = "append_type"
	QueryAppendHandle      = "append_handle"
	QueryObjectTo          = "object_to"
	QueryBucketTo          = "bck_to"
	QueryETLName           = "etl_name"
	QueryUploadID          = "uploadId"
	QueryPartNumber        = "partNumber"
	QuerySetNewCustom      = "set-new-custom"
	QueryKeepMetadata      = "keep_bck_md"
	QueryDontAddRemote     = "dont_add_remote_bck_md"
	QueryDontHeadRemote    = "dont_head_remote_bck"
	QueryBucketSummary     = "bsumm_remote"
	QueryUUID              = "uuid"
	QueryUploads           = "uploads"
	QueryMountpathLabel    = "mountpath_label"
	QueryDontResilver      = "dntres"
	QueryForceRemoval      = "force"     // of the last mountpath
	QueryPlacement         = "placement" // of a target, to gateways: version that it must know
	QueryAbsent            = "absent"    // of a target, to gateways: ids of former owners that have left, separated by commas
	QueryMarks             = "marks"     // of a target, to gateways: marks of all entries of a listing
	QueryListGoesOn        = "goes_on"   // to targets: this is not the first page of the listing "uuid"
	QueryRedirectProxyID   = "pid"       // redirect only: id of the gateway
	QueryRedirectUnixTime  = "utm"       // redirect only: nanoseconds, base 36
	QueryRedirectMapAndSig = "vpams"     // redirect only: Smap version, base 36
	QueryRedirectNonce     = "x"         // redirect only
	QueryRedirectSignature = "u"         // redirect only
)

// Values of the query parameter "what".
const (
	WhatSmap            = "smap"
	WhatBMD             = "bmd"
	WhatSnode           = "snode"
	WhatConfig          = "config"
	WhatClusterConfig   = "cluster_config"
	WhatNodeStats       = "node_stats"
	WhatNodeStatus      = "node_status"
	WhatMetrics         = "metrics"
	WhatSysInfo         = "sysinfo"
	WhatLog             = "log"
	WhatSoftwareVersion = "software_version"
	WhatMountpaths      = "mountpaths"
	WhatDisk            = "disk"
	WhatBackends        = "backends"
	WhatRemote          = "remote"
	WhatTargetIPs       = "target_ips"
	WhatSmapVote        = "smapvote"
	WhatPlacement       = "placement"  // PlacementInfo; ours
	WhatOperations      = "operations" // membership operations, under way and past
	WhatTLS             = "tls_certificate"
	WhatStatus          = "status"
	WhatStatusAll       = "status_all"
	WhatQueryXactStats  = "qryxstats"
	WhatRunningAll      = "running_all"
)

// Values of the query parameter "presence".
const (
	PresenceExists         = 0
	PresenceExistsNoProps  = 1
	PresencePresent        = 2
	PresencePresentNoProps = 3
	PresencePresentCluster = 4
	PresenceOutside        = 5
)
