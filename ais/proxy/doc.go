// Package proxy is the gateway: it holds no data. It answers bucket calls
// from the cluster's metadata, sends object requests to the target that owns
// the name, and merges the sorted listings of all targets into pages.
//
// Handlers parse, authorize, call and reply. A gateway never reads the body
// of an object request: it answers with a redirect before the first byte.
// What it must not know: disks, records, the commit protocol.
package proxy
