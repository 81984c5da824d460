// Package naming decides which names are legal: buckets, namespaces, objects,
// prefixes, nodes, UUIDs. Names reach the node from strangers and end up in
// paths, placement and messages, so every listener asks here first and nothing
// below checks a second time.
//
// All errors are *apierr.Error with status 400.
package naming
