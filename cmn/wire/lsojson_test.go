package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
)

// viaReflection is the page as encoding/json writes it.
func viaReflection(tb testing.TB, p *LsoPage) string {
	tb.Helper()
	type plain LsoPage
	shown := plain(*p)
	if len(shown.Entries) == 0 {
		shown.Entries = nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&shown); err != nil {
		tb.Fatal(err)
	}
	return string(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
}

func TestPageAsJSON(t *testing.T) {
	t.Parallel()
	for _, p := range []LsoPage{
		{},
		{UUID: "u", ContinuationToken: "a\"b\\c", Entries: []LsoEntry{}, Flags: PageIncomplete},
		{Entries: []LsoEntry{{Name: "a/b", Flags: EntryPresent}, {Name: "d/", Flags: EntryIsDir}, {Name: "zero"}}},
		{Entries: []LsoEntry{{
			Name: "ü <&> \u2028\u2029 \xff\xc0 \x00\x1f\x7f\b\f\n\r\t 日本", Checksum: "c", Atime: "a", Version: "v", Location: "t[x]:mp[y]",
			Custom: "[k:v]", Size: 1 << 60, Copies: 3, Flags: 65535,
		}, {Name: "-", Size: -1, Copies: -1}}},
	} {
		if got, want := string(p.AppendJSON(nil)), viaReflection(t, &p); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		var back LsoPage
		if err := json.Unmarshal(p.AppendJSON([]byte{}), &back); err != nil {
			t.Error(err)
		}
	}
}

func FuzzPageAsJSON(f *testing.F) {
	f.Add("a/b", "\xff\"\\")
	f.Fuzz(func(t *testing.T, name, token string) {
		p := LsoPage{ContinuationToken: token, Entries: []LsoEntry{{Name: name, Custom: token}}}
		if got, want := string(p.AppendJSON(nil)), viaReflection(t, &p); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	})
}

func tenThousand() *LsoPage {
	p := &LsoPage{UUID: "u"}
	for i := range 10_000 {
		p.Entries = append(p.Entries, LsoEntry{Name: fmt.Sprintf("some/directory/object-%09d", i), Flags: EntryPresent})
	}
	return p
}

func BenchmarkPageJSON(b *testing.B) {
	p := tenThousand()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = p.AppendJSON(buf[:0])
	}
}

func BenchmarkPageMsgpack(b *testing.B) {
	p := tenThousand()
	data := p.AppendMsgpack(nil)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			data = p.AppendMsgpack(data[:0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var back LsoPage
			if err := back.DecodeMsgpack(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
