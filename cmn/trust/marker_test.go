package trust

import (
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

func aRedirect(at time.Time) *Redirect {
	return &Redirect{Uname: []byte("ais/@#/b1/dir/o"), Gateway: "proxy001", Sent: at.UnixNano(), SmapVersion: 37}
}

func TestMarker(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	var gateway, target Ring
	gateway.Set([]Key{testKey(1)}, at)
	target.Set([]Key{testKey(9), testKey(1)}, at)
	text := string(gateway.AppendMarker(nil, aRedirect(at), at.UnixNano()))
	if !strings.HasPrefix(text, "11.1.") || strings.ContainsAny(text, "&=%+ #?") {
		t.Errorf("marker %q", text)
	}
	m, ok := ParseMarker(text)
	if !ok || m.SmapVersion != 37 || !m.Signed || m.KeyID != 1 {
		t.Fatalf("%+v %v", m, ok)
	}
	check := func(change func(*Redirect), m Marker, now time.Time) error {
		d := aRedirect(at)
		if change != nil {
			change(d)
		}
		return target.CheckMarker(m, d, now)
	}
	for range 3 { // it may be presented again
		if err := check(nil, m, at.Add(MarkerLife)); err != nil {
			t.Fatal(err)
		}
	}
	other := m
	other.SmapVersion++
	unsigned, _ := ParseMarker("11")
	foreign := m
	foreign.KeyID = 5
	for name, err := range map[string]error{
		"another object":  check(func(d *Redirect) { d.Uname = []byte("ais/@#/b1/dir/p") }, m, at),
		"another gateway": check(func(d *Redirect) { d.Gateway = "proxy002" }, m, at),
		"another time":    check(func(d *Redirect) { d.Sent++ }, m, at),
		"boundary":        check(func(d *Redirect) { d.Gateway, d.Uname = "proxy001\x0f", d.Uname[1:] }, m, at),
		"another version": check(nil, other, at),
		"expired":         check(nil, m, at.Add(MarkerLife+time.Second)),
		"future":          check(nil, m, at.Add(-Window-time.Second)),
		"unsigned":        check(nil, unsigned, at),
		"unknown key":     check(nil, foreign, at),
	} {
		if apierr.StatusOf(err) != 403 || apierr.CodeOf(err) != CodeRedirect {
			t.Errorf("%s: %v", name, err)
		}
	}
	if target.Known(foreign) || !target.Known(m) || !target.Known(unsigned) {
		t.Error("which keys are known is told wrongly")
	}
	// every character counts
	for i := range text {
		changed := []byte(text)
		changed[i] = "AB"[(changed[i]&1)^1]
		if string(changed) == text {
			continue
		}
		if m, ok := ParseMarker(string(changed)); ok && check(nil, m, at) == nil {
			t.Errorf("%s passes for %s", changed, text)
		}
	}
	// no keys: as without signatures
	var empty Ring
	if got := string(empty.AppendMarker(nil, aRedirect(at), at.UnixNano())); got != "11" {
		t.Errorf("marker without keys: %q", got)
	}
	if err := empty.CheckMarker(unsigned, aRedirect(at), at); err != nil {
		t.Error(err)
	}
	var none *Ring
	if got := string(none.AppendMarker(nil, aRedirect(at), 0)); got != "11" {
		t.Errorf("marker without a ring: %q", got)
	}
}

// TestMarkerAfterRotation: redirects that were made before a rotation go on to
// be good, and one by a newer key than the target signs with is, too.
func TestMarkerAfterRotation(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	var gateway, target Ring
	gateway.Set([]Key{testKey(1)}, at)
	target.Set([]Key{testKey(1)}, at)
	before, _ := ParseMarker(string(gateway.AppendMarker(nil, aRedirect(at), at.UnixNano())))
	for _, r := range []*Ring{&gateway, &target} {
		r.Set([]Key{testKey(1), testKey(2)}, at)
	}
	later := at.Add(SettleTime)
	after, _ := ParseMarker(string(gateway.AppendMarker(nil, aRedirect(later), later.UnixNano())))
	if before.KeyID != 1 || after.KeyID != 2 {
		t.Errorf("keys %d and %d", before.KeyID, after.KeyID)
	}
	if err := target.CheckMarker(before, aRedirect(at), later); err != nil {
		t.Error(err)
	}
	if err := target.CheckMarker(after, aRedirect(later), later); err != nil {
		t.Error(err)
	}
}

func FuzzMarker(f *testing.F) {
	at := time.Unix(1_700_000_000, 0)
	var r Ring
	r.Set([]Key{testKey(1)}, at)
	good := string(r.AppendMarker(nil, aRedirect(at), at.UnixNano()))
	for _, text := range []string{good, "11", "", "zz.1.", "..", "11.1." + strings.Repeat("A", 22), "-1.1." + strings.Repeat("A", 22)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, ok := ParseMarker(text)
		if !ok {
			return
		}
		if m.SmapVersion < 0 {
			t.Fatalf("%q: version %d", text, m.SmapVersion)
		}
		if err := r.CheckMarker(m, aRedirect(at), at); err == nil && !strings.EqualFold(text[:len(text)-22], good[:len(good)-22]) {
			// leading zeros and case of numbers do not change what they say
			if n, ok := ParseMarker(good); !ok || n.code != m.code || n.SmapVersion != m.SmapVersion || n.KeyID != m.KeyID {
				t.Fatalf("%q passes for %q", text, good)
			}
		}
	})
}

func BenchmarkAppendMarker(b *testing.B) {
	now := time.Now()
	var r Ring
	r.Set([]Key{testKey(1)}, now)
	d := aRedirect(now)
	buf := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		buf = r.AppendMarker(buf[:0], d, d.Sent)
	}
}

func BenchmarkCheckMarker(b *testing.B) {
	now := time.Now()
	var r Ring
	r.Set([]Key{testKey(1)}, now)
	d := aRedirect(now)
	text := string(r.AppendMarker(nil, d, d.Sent))
	b.ReportAllocs()
	for b.Loop() {
		m, ok := ParseMarker(text)
		if !ok || r.CheckMarker(m, d, now) != nil {
			b.Fatal("refused")
		}
	}
}
