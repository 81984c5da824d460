package wire

// HTTP header names in canonical form (net/textproto), so that they can be
// used as keys of http.Header without a call to Set or Get.
const (
	HeaderObjChecksumType  = "Ais-Checksum-Type"
	HeaderObjChecksumValue = "Ais-Checksum-Value"
	HeaderObjAtime         = "Ais-Atime"
	HeaderObjVersion       = "Ais-Version"
	HeaderObjCustomMD      = "Ais-Custom-Md"
	HeaderObjName          = "Ais-Name"
	HeaderObjPresent       = "Ais-Present"
	HeaderObjLocation      = "Ais-Location"
	HeaderObjMirrorCopies  = "Ais-Mirror-Copies"
	HeaderObjMirrorPaths   = "Ais-Mirror-Paths"
	HeaderObjChunkCount    = "Ais-Chunks-Count"
	HeaderObjChunkMax      = "Ais-Chunks-Max-Chunk-Size"
	HeaderObjECGeneration  = "Ais-Ec-Generation"
	HeaderObjECData        = "Ais-Ec-Data"
	HeaderObjECParity      = "Ais-Ec-Parity"
	HeaderObjECReplicated  = "Ais-Ec-Replicated"
	HeaderBucketName       = "Ais-Bucket-Name"
	HeaderBucketProvider   = "Ais-Bucket-Provider"
	HeaderBucketNsUUID     = "Ais-Bucket-Namespace-Uuid"
	HeaderBucketNsName     = "Ais-Bucket-Namespace-Name"
	HeaderBucketProps      = "Ais-Bucket-Props"
	HeaderBucketSummary    = "Ais-Bucket-Summ"
	HeaderXactionID        = "Ais-Xaction-Id"
	HeaderAppendHandle     = "Ais-Append-Handle"
	HeaderPine             = "Ais-Pine"
	HeaderBlobDownload     = "Ais-Blob-Download"
	HeaderBlobThreshold    = "Ais-Blob-Threshold"

	HeaderError          = "Hdr-Error" // JSON error of a HEAD request
	HeaderNodeID         = "Ais-Node-Id"
	HeaderNodeFlags      = "Ais-Node-Flags"     // of a node that is to join, decimal
	HeaderNodeUptime     = "Ais-Node-Uptime"    // nanoseconds, decimal
	HeaderClusterUptime  = "Ais-Cluster-Uptime" // nanoseconds, decimal
	HeaderCallerID       = "Ais-Caller-Id"
	HeaderCallerName     = "Ais-Caller-Name"
	HeaderCallerSig      = "Ais-Caller-Sig"       // signature of a request between nodes
	HeaderCallerNonce    = "Ais-Caller-Nonce"     // of that signature
	HeaderCallerPasses   = "Ais-Caller-Passes-On" // present: a client's request that the caller passes on
	HeaderRequestID      = "Ais-Request-Id"       // given by the first proxy; believed between nodes only
	HeaderLagging        = "Ais-Lagging"          // of the answer to a change: ids of nodes that do not acknowledge changes
	HeaderSmapVersion    = "Ais-Smap-Version"     // of a client that places by itself
	HeaderListMarks      = "Ais-List-Marks"       // between nodes: bytes of marks behind a page
	HeaderStale          = "Ais-Stale"            // "true": answered without a majority
	HeaderRemoteAISAlias = "Ais-Remote-Ais-Alias"
	HeaderRemoteAISURL   = "Ais-Remote-Ais-Url"
	HeaderReadyToJoin    = "Ais-Ready-Join-Clu" // with what=smap: is the cluster ready to take in another one?

	HeaderContentType   = "Content-Type"
	HeaderContentLength = "Content-Length"
	HeaderContentRange  = "Content-Range"
	HeaderAcceptRanges  = "Accept-Ranges"
	HeaderRange         = "Range"
	HeaderETag          = "Etag"
	HeaderLastModified  = "Last-Modified"
	HeaderLocation      = "Location"
	HeaderRetryAfter    = "Retry-After"
	HeaderNoSniff       = "X-Content-Type-Options"
	HeaderHSTS          = "Strict-Transport-Security"
	HeaderUserAgent     = "User-Agent"
	HeaderAccept        = "Accept"
	HeaderAllow         = "Allow"
)

// Content types.
const (
	ContentJSON      = "application/json"
	ContentJSONUTF8  = "application/json; charset=utf-8"
	ContentMsgpack   = "application/msgpack"
	ContentBinary    = "application/octet-stream"
	ContentTextUTF8  = "text/plain; charset=utf-8"
	ContentHTMLUTF8  = "text/html; charset=utf-8"
	UserAgentBrowser = "Mozilla/5.0" // prefix that asks for indented JSON
)
