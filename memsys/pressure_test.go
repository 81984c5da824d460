package memsys

import "testing"

func TestPressure(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	server := Limits{MinFree: 8 * gib, ToGC: gib}
	for name, tc := range map[string]struct {
		limits Limits
		start  Reading
		now    Reading
		want   Pressure
	}{
		"not known":                 {server, Reading{}, Reading{}, PressureLow},
		"plenty":                    {server, Reading{}, Reading{Available: 100 * gib, Total: 128 * gib}, PressureLow},
		"less than twice":           {server, Reading{}, Reading{Available: 15 * gib, Total: 128 * gib}, PressureModerate},
		"little more":               {server, Reading{}, Reading{Available: 9 * gib, Total: 128 * gib}, PressureHigh},
		"below":                     {server, Reading{}, Reading{Available: 7 * gib, Total: 128 * gib}, PressureExtreme},
		"far below":                 {server, Reading{}, Reading{Available: gib, Total: 128 * gib}, PressureOOM},
		"swapping more":             {server, Reading{SwapUsed: 1}, Reading{Available: 9 * gib, Total: 128 * gib, SwapUsed: gib}, PressureExtreme},
		"swapping as before":        {server, Reading{SwapUsed: gib}, Reading{Available: 9 * gib, Total: 128 * gib, SwapUsed: gib}, PressureHigh},
		"swapping with much free":   {server, Reading{}, Reading{Available: 100 * gib, Total: 128 * gib, SwapUsed: gib}, PressureLow},
		"a laptop":                  {server, Reading{}, Reading{Available: 5 * gib, Total: 16 * gib}, PressureLow},
		"a full laptop":             {server, Reading{}, Reading{Available: gib, Total: 16 * gib}, PressureExtreme},
		"percent of all":            {Limits{PctTotal: 10}, Reading{}, Reading{Available: 11 * gib, Total: 100 * gib}, PressureHigh},
		"percent of what was there": {Limits{PctFree: 10}, Reading{Available: 100 * gib}, Reading{Available: 9 * gib, Total: 1000 * gib}, PressureExtreme},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := true
			m := NewMonitor(tc.limits, func() Reading {
				if first {
					first = false
					return tc.start
				}
				return tc.now
			}, nil)
			if got := m.Look(); got != tc.want {
				t.Errorf("pressure %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPressureRelievesPools(t *testing.T) {
	t.Parallel()
	pool := New(0)
	b := pool.Get(MaxSlab)
	b.Free()
	available := uint64(1000)
	var seen []Pressure
	m := NewMonitor(Limits{MinFree: 100, ToGC: 1 << 40}, func() Reading { return Reading{Available: available, Total: 1000} },
		func(p Pressure) { seen = append(seen, p) }, pool)
	m.Look()
	if pool.Kept() == 0 || pool.Tight() {
		t.Error("free slabs are given up although there is memory")
	}
	available = 110
	m.Look()
	if pool.Kept() != 0 || !pool.Tight() {
		t.Errorf("under pressure %d bytes are kept, tight %v", pool.Kept(), pool.Tight())
	}
	available = 1000
	m.Look()
	if pool.Tight() {
		t.Error("the pressure is over, and the pool stays tight")
	}
	if len(seen) != 2 || seen[0] != PressureHigh || seen[1] != PressureLow {
		t.Errorf("levels %v", seen)
	}
}
