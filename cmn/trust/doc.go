// Package trust is the cryptography between the nodes of a cluster. It knows
// no HTTP and does no I/O, except that LoadIdentity keeps one key file and
// ReadJoinSecret reads another.
//
//   - Identity is a node's own Ed25519 key pair, for life. It signs the calls
//     of a node that has no cluster key yet, and opens what is sealed for it.
//   - Ring holds the cluster keys: random keys that all nodes share and that
//     are replaced daily. They authenticate requests between nodes and the
//     marker that a redirect carries through a client.
//   - Keyring is all that one node has: its identity, its ring, the join
//     secret, and the nonces that it has seen.
//
// Cluster keys travel sealed: Seal makes a box that one identity can open.
// Keys in the clear are in memory only.
//
// The formats are written down in docs/security.md.
package trust
