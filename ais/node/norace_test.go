//go:build !race

package node

// raceEnabled tells that pools drop things at random.
const raceEnabled = false
