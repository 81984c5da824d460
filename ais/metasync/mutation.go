package metasync

// mutation is a deliberate bug. Tests switch one on to show that they would
// find it; there is no other way to set it.
type mutation int

const (
	mutationNone           mutation = iota
	mutationForgottenVote           // the vote is not stored
	mutationAnyTerm                 // pushes of leaders of earlier terms are taken
	mutationGhostVoter              // a node that is removed from the map keeps its vote
	mutationEarlyAnswer             // a change is answered before a majority has it
	mutationRetiredPrimary          // a primary goes on to commit after it stepped down
	mutationEagerAnswer             // raft's answers do not wait for the storage
	mutationHeirless                // a new primary does not count from its election
	mutationOldMap                  // targets get leases whatever map they work with
	mutationImpatient               // a change of ownership does not wait for silent targets
)
