//go:build race

package fastpath

import "syscall"

const raceEnabled = true

// released tells the race detector that what was done here comes before what
// the receiver of the next bytes does. For syscall.Write it knows.
func released() { _, _ = syscall.Write(-1, nil) } // it has no other effect
