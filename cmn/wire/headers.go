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
	HeaderNodeUptime     = "Ais-Node-Uptime"    // nanoseconds, decimal
	HeaderClusterUptime  = "Ais-Cluster-Uptime" // nanoseconds, decimal
	HeaderCallerID       = "Ais-Caller-Id"
	HeaderCallerName     = "Ais-Caller-Name"
	HeaderSmapVersion    = "Ais-Smap-Version" // of a client that places by itself
	HeaderStale          = "Ais-Stale"        // "true": answered without a majority
	HeaderRemoteAISAlias = "Ais-Remote-Ais-Alias"
	HeaderRemoteAISURL   = "Ais-Remote-Ais-Url"

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
