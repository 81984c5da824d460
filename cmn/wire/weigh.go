package wire

// What targets are weighed by, see WeighMsg.
const (
	WeighByCapacity = "capacity" // the size of their filesystems, in GiB
	WeighByNothing  = "nothing"  // all alike, as clients compute owners
)

// WeighMsg is the value of ActWeighTargets: one of the two.
type WeighMsg struct {
	By string `json:"by,omitempty"`
	// Capacities of all targets, by id, in any unit.
	Capacities map[string]uint64 `json:"capacities,omitempty"`
}
