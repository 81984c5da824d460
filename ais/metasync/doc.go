// Package metasync replicates the cluster's metadata: it elects the primary,
// commits commands by majority, brings every change to every node before the
// caller has its answer, admits nodes, watches who is alive, and answers
// linearizable reads of metadata.
//
// The core is a deterministic state machine (type machine): it holds no
// goroutine, reads no clock and does no I/O. Inputs are method calls (tick,
// incoming calls and messages, results of outgoing calls, requests of this
// node); outputs are collected: batches of writes, messages, calls, answers, and
// views to put into effect. What promises something comes out once the machine
// has heard that its writes are durable; nothing else waits for a disk. Agent
// is the thin driver that connects it to the ports Network, Storage and Clock. Tests connect many
// machines to an in-memory network and a virtual clock instead.
//
// The package knows no HTTP and no files. It knows the documents of core/meta
// only as far as it decides about them itself: the cluster map (membership,
// primary) and the voters.
package metasync
