// Package wire is the vocabulary of the REST API: URL paths, actions, query
// names, headers, message types and bucket identity. Everything that travels
// between a client and a node is named here and nowhere else.
//
// It holds types and constants only; it knows nothing of clusters, disks or
// HTTP servers, and imports nothing of ours.
package wire
