package unit_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/unit"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]unit.Size{
		"": 0, "0": 0, "1": 1, "123B": 123, "64MiB": 64 * unit.MiB, "2gb": 2 * unit.GiB, "32kb": 32 * unit.KiB,
		"1.5G": 1536 * unit.MiB, "4KI": 4 * unit.KiB, "1t": unit.TiB, " 10 mib ": 10 * unit.MiB, "-1": -1, "-1B": -1,
		"0.5B": 1, "8388607TiB": 8388607 * unit.TiB, "9223372036854775807": math.MaxInt64,
	} {
		got, err := unit.ParseSize(text)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"x", "1x", "1 2", "K", "-", ".", "1.", ".5", "1e9", "1PiB", "+1", "--1", "NaN", "Inf",
		"9223372036854775808", "8388608TiB", "8388608.5TiB", "0x10", "1.2.3", "1KiB1"} {
		if got, err := unit.ParseSize(text); err == nil || apierr.StatusOf(err) != 400 {
			t.Errorf("ParseSize(%q) = %d, %v, want a 400", text, got, err)
		}
	}
}

func TestSizeString(t *testing.T) {
	t.Parallel()
	for size, want := range map[unit.Size]string{
		0: "0B", 1: "1B", 1000: "1000B", 1024: "1KiB", 64 * unit.MiB: "64MiB", unit.GiB: "1GiB", unit.TiB: "1TiB",
		1536 * unit.MiB: "1536MiB", -1: "-1B", 1023 * unit.KiB: "1023KiB",
	} {
		if got := size.String(); got != want {
			t.Errorf("String(%d) = %q, want %q", int64(size), got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10s": "10s", "120s": "2m", "90s": "1m30s", "24h": "24h0m", "100ms": "100ms", "0": "0s", "1h0m0s": "1h0m", "3601s": "1h0m1s",
	} {
		d, err := unit.ParseDuration(text)
		if err != nil || d.String() != want {
			t.Errorf("ParseDuration(%q) = %s, %v, want %s", text, d, err, want)
		}
	}
	if d := unit.Duration(time.Minute); d.D() != time.Minute {
		t.Errorf("D() = %v", d.D())
	}
	for _, text := range []string{"", "10", "1d", "x"} {
		if _, err := unit.ParseDuration(text); apierr.StatusOf(err) != 400 {
			t.Errorf("ParseDuration(%q): %v, want a 400", text, err)
		}
	}
}

func TestJSONIsText(t *testing.T) {
	t.Parallel()
	type both struct {
		S unit.Size
		D unit.Duration
	}
	data, err := json.Marshal(both{S: unit.MiB, D: unit.Duration(time.Hour)})
	if err != nil || string(data) != `{"S":"1MiB","D":"1h0m"}` {
		t.Fatalf("%s, %v", data, err)
	}
	var v both
	if err := json.Unmarshal([]byte(`{"S":"2kb","D":"5m"}`), &v); err != nil || v.S != 2048 || v.D.D() != 5*time.Minute {
		t.Fatalf("%+v, %v", v, err)
	}
	for _, bad := range []string{`{"S":5}`, `{"D":5}`, `{"S":"x"}`, `{"D":"x"}`, `{"S":null}`, `{"D":{}}`} {
		if err := json.Unmarshal([]byte(bad), &v); apierr.StatusOf(err) != 400 {
			t.Errorf("%s: %v, want a 400", bad, err)
		}
	}
}

func TestTextRoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := unit.Size(rapid.Int64().Draw(t, "size"))
		if got, err := unit.ParseSize(size.String()); err != nil || got != size {
			t.Fatalf("%d -> %s -> %d, %v", int64(size), size, int64(got), err)
		}
		d := unit.Duration(rapid.Int64().Draw(t, "duration"))
		if got, err := unit.ParseDuration(d.String()); err != nil || got != d {
			t.Fatalf("%d -> %s -> %d, %v", int64(d), d, int64(got), err)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"", "64MiB", "1.5g", "-1B", "1e3", "..", "9223372036854775808"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := unit.ParseSize(text)
		if err != nil {
			return
		}
		if again, err := unit.ParseSize(size.String()); err != nil || again != size {
			t.Errorf("%q -> %d -> %s -> %d, %v", text, int64(size), size, int64(again), err)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"", "10s", "1h0m", "-5m", "1.5h", "9999999999h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := unit.ParseDuration(text)
		if err != nil {
			return
		}
		if again, err := unit.ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q -> %s -> %s, %v", text, d, again, err)
		}
	})
}
