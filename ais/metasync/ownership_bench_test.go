package metasync

import (
	"testing"
	"time"
)

// BenchmarkLeaseValid is what every read and every commit of a target pays.
func BenchmarkLeaseValid(b *testing.B) {
	a := &Agent{o: Options{Clock: SystemClock{}}, machine: &machine{times: Timeouts{}.withDefaults()}}
	sent := time.Now()
	a.leaseSent.Store(&sent)
	b.ReportAllocs()
	for b.Loop() {
		if !a.LeaseValid() {
			b.Fatal("the lease has ended")
		}
	}
}
