// Package rebalance is the job that moves names to the targets that own them,
// after the set of targets has changed. It knows what is moved, in which order,
// and when all targets are done; package core knows how a name leaves and
// arrives, and streams carry what is sent.
//
// docs/rebalance.md describes the order of steps and the messages.
package rebalance
