package measure

import (
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text  string
		units Units
		want  int64
		fails bool
	}{
		{text: "0", want: 0}, {text: "10", want: 10}, {text: "10B", want: 10}, {text: "9223372036854775807", want: 1<<63 - 1},
		{text: "4KiB", want: 4096}, {text: "4kib", want: 4096}, {text: "1.5 GiB", want: 3 << 29},
		{text: "4K", want: 4000}, {text: "4kb", want: 4000}, {text: "2M", want: 2e6}, {text: "1TB", want: 1e12},
		{text: "4K", units: IEC, want: 4096}, {text: "1GB", units: IEC, want: 1 << 30}, {text: "5B", units: IEC, want: 5},
		{text: "4KiB", units: SI, fails: true}, {text: "4K", units: SI, want: 4000},
		{text: "4K", units: Raw, fails: true}, {text: "4B", units: Raw, fails: true}, {text: "77", units: Raw, want: 77},
		{text: "", fails: true}, {text: "-1", fails: true}, {text: "KiB", fails: true}, {text: "1e3", fails: true},
		{text: "0x10", fails: true}, {text: "nan", fails: true}, {text: "inf", fails: true}, {text: "9000000TiB", fails: true},
	} {
		got, err := ParseSize(tt.text, tt.units)
		if (err != nil) != tt.fails || got != tt.want {
			t.Errorf("ParseSize(%q, %q) = %d, %v; want %d", tt.text, tt.units, got, err, tt.want)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		bytes int64
		units Units
		want  string
	}{
		{0, IEC, "0B"}, {11, IEC, "11B"}, {1023, IEC, "1023B"}, {1024, IEC, "1.00KiB"}, {2560, IEC, "2.50KiB"},
		{384000, IEC, "375.00KiB"}, {1 << 40, IEC, "1.00TiB"}, {1024, SI, "1.02KB"}, {999, SI, "999B"}, {1 << 20, Raw, "1048576"},
	} {
		if got := Size(tt.bytes, tt.units); got != tt.want {
			t.Errorf("Size(%d, %s) = %q, want %q", tt.bytes, tt.units, got, tt.want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"5": 5 * time.Second, "1m30s": 90 * time.Second, "0": 0, "250ms": 250 * time.Millisecond} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "5 s", "99999999999999999999"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q: no error, %v", text, d)
		}
	}
}

func TestCountAndUptime(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q", n, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "-", 90 * time.Second: "1m30s", time.Hour: "1h", 2*time.Hour + time.Second: "2h0m1s", 10 * time.Minute: "10m"} {
		if got := Uptime(d); got != want {
			t.Errorf("Uptime(%v) = %q, want %q", d, got, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"10", "4KiB", "1.5GB", "-1", "b", "1e9", "0x1p-2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, units := range []Units{"", IEC, SI, Raw} {
			if n, err := ParseSize(text, units); err == nil && n < 0 {
				t.Fatalf("%q: %d", text, n)
			}
		}
	})
}
