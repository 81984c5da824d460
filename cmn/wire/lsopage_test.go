package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/tinylib/msgp/msgp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// example is the page that the protocol's description shows byte by byte.
const example = `
84 A4 55 55 49 44 A9 62 58 6B 32 57 70 39 4C 71
B1 43 6F 6E 74 69 6E 75 61 74 69 6F 6E 54 6F 6B 65 6E A0
A7 45 6E 74 72 69 65 73 91
   83 A1 6E A2 6F 31  A1 73 D1 04 00  A1 66 40
A5 46 6C 61 67 73 00`

func TestMsgpackExample(t *testing.T) {
	t.Parallel()
	page := wire.LsoPage{UUID: "bXk2Wp9Lq", Entries: []wire.LsoEntry{{Name: "o1", Size: 1024, Flags: wire.EntryPresent}}}
	want := unhex(t, example)
	if have := page.AppendMsgpack(nil); !bytes.Equal(have, want) {
		t.Fatalf("have\n% X\nwant\n% X", have, want)
	}
	if have := page.AppendMsgpack([]byte("x")); !bytes.Equal(have[1:], want) {
		t.Fatal("it does not append")
	}
	var decoded wire.LsoPage
	if err := decoded.DecodeMsgpack(want); err != nil || !reflect.DeepEqual(decoded, page) {
		t.Fatalf("have %+v %v", decoded, err)
	}
}

func TestMsgpackEntryBytes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title string
		entry wire.LsoEntry
		want  string
	}{
		{"name only", wire.LsoEntry{Name: "a"}, "81 A1 6E A1 61"},
		{"directory", wire.LsoEntry{Name: "d/", Flags: wire.EntryIsDir}, "82 A1 6E A2 64 2F A1 66 CD 01 00"},
		{"flags 192", wire.LsoEntry{Name: "a", Flags: 192}, "82 A1 6E A1 61 A1 66 CC C0"},
		{"flags 576", wire.LsoEntry{Name: "a", Flags: 576}, "82 A1 6E A1 61 A1 66 CD 02 40"},
		{"size 127", wire.LsoEntry{Name: "a", Size: 127}, "82 A1 6E A1 61 A1 73 7F"},
		{"size 128", wire.LsoEntry{Name: "a", Size: 128}, "82 A1 6E A1 61 A1 73 D1 00 80"},
		{"size 32768", wire.LsoEntry{Name: "a", Size: 32768}, "82 A1 6E A1 61 A1 73 D2 00 00 80 00"},
		{"size 2^31", wire.LsoEntry{Name: "a", Size: 1 << 31}, "82 A1 6E A1 61 A1 73 D3 00 00 00 00 80 00 00 00"},
		{"all", wire.LsoEntry{Name: "n", Checksum: "c", Atime: "a", Version: "1", Location: "t", Custom: "m", Size: 1, Copies: 2, Flags: 64},
			"89 A1 6E A1 6E A2 63 73 A1 63 A1 61 A1 61 A1 76 A1 31 A1 74 A1 74 A1 6D A1 6D A1 73 01 A1 63 02 A1 66 40"},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			if have, want := tt.entry.AppendMsgpack(nil), unhex(t, tt.want); !bytes.Equal(have, want) {
				t.Fatalf("have\n% X\nwant\n% X", have, want)
			}
		})
	}
}

// TestMsgpackStringWidths checks the four string headers.
func TestMsgpackStringWidths(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		length int
		header string
	}{{31, "BF"}, {32, "D9 20"}, {255, "D9 FF"}, {256, "DA 01 00"}, {65535, "DA FF FF"}, {65536, "DB 00 01 00 00"}} {
		entry := wire.LsoEntry{Name: strings.Repeat("x", tt.length)}
		have := entry.AppendMsgpack(nil)[3:]
		if want := append(unhex(t, tt.header), entry.Name...); !bytes.Equal(have, want) {
			t.Errorf("length %d: have % X...", tt.length, have[:8])
		}
	}
}

func TestMsgpackArrayWidths(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 15, 16, 65535, 65536} {
		page := wire.LsoPage{Entries: make([]wire.LsoEntry, n), ContinuationToken: "t", Flags: wire.PageIncomplete}
		for i := range page.Entries {
			page.Entries[i].Name = "o"
		}
		var decoded wire.LsoPage
		if err := decoded.DecodeMsgpack(page.AppendMsgpack(nil)); err != nil || len(decoded.Entries) != n || decoded.Flags != 1 {
			t.Errorf("%d entries: %d back, %v", n, len(decoded.Entries), err)
		}
	}
}

// TestMsgpackOtherWriters checks what other writers may send.
func TestMsgpackOtherWriters(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title string
		bytes []byte
		want  wire.LsoPage
	}{
		{"other order, wide numbers", unhex(t, `84 A5 46 6C 61 67 73 D3 00 00 00 00 00 00 00 01
			A7 45 6E 74 72 69 65 73 DD 00 00 00 01 DE 00 04 A1 66 CF 00 00 00 00 00 00 00 40 A1 73 CF 00 00 00 00 00 00 04 00 A1 63 D0 02 A1 6E D9 02 6F 31
			A4 55 55 49 44 DA 00 01 75 B1 43 6F 6E 74 69 6E 75 61 74 69 6F 6E 54 6F 6B 65 6E A1 74`),
			wire.LsoPage{UUID: "u", ContinuationToken: "t", Flags: 1, Entries: []wire.LsoEntry{{Name: "o1", Size: 1024, Copies: 2, Flags: 64}}}},
		{"nil entries and nil values", unhex(t, `83 A4 55 55 49 44 C0 A7 45 6E 74 72 69 65 73 93 C0 83 A1 6E A1 61 A2 63 73 C0 A1 73 C0 C0 A5 46 6C 61 67 73 C0`),
			wire.LsoPage{Entries: []wire.LsoEntry{{Name: "a"}}}},
		{"nil list", unhex(t, `81 A7 45 6E 74 72 69 65 73 C0`), wire.LsoPage{}},
		{"unknown keys", unhex(t, `82 A1 7A 82 A1 61 91 01 A1 62 CB 3F F0 00 00 00 00 00 00 A7 45 6E 74 72 69 65 73 91 82 A1 6E A1 61 A2 7A 7A 92 C3 C2`),
			wire.LsoPage{Entries: []wire.LsoEntry{{Name: "a"}}}},
		{"name as bin", unhex(t, `81 A7 45 6E 74 72 69 65 73 91 81 A1 6E C4 02 FF FE`), wire.LsoPage{Entries: []wire.LsoEntry{{Name: "\xff\xfe"}}}},
		{"empty map", unhex(t, `80`), wire.LsoPage{}},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			var have wire.LsoPage
			if err := have.DecodeMsgpack(tt.bytes); err != nil || !reflect.DeepEqual(have, tt.want) {
				t.Fatalf("have %+v %v, want %+v", have, err, tt.want)
			}
		})
	}
}

func TestMsgpackRefused(t *testing.T) {
	t.Parallel()
	deep := append(unhex(t, `81 A1 7A`), bytes.Repeat([]byte{0x91}, 100000)...)
	tests := []struct {
		title string
		bytes []byte
		text  string
	}{
		{"nothing", nil, "too few bytes"},
		{"no map", unhex(t, `91 01`), ""},
		{"cut", unhex(t, example)[:40], "too few bytes"},
		{"more behind it", append(unhex(t, example), 0), "1 bytes after its end"},
		{"false count", unhex(t, `81 A7 45 6E 74 72 69 65 73 DD 00 0F FF FF`), "too few bytes"},
		{"too many entries", unhex(t, `81 A7 45 6E 74 72 69 65 73 DD FF FF FF FF`), "too many entries"},
		{"false string", unhex(t, `81 A4 55 55 49 44 DB FF FF FF FF 61`), ""},
		{"flags too large", unhex(t, `81 A7 45 6E 74 72 69 65 73 91 81 A1 66 CE 00 01 00 00`), "out of range"},
		{"flags negative", unhex(t, `81 A5 46 6C 61 67 73 FF`), "out of range"},
		{"size too large", unhex(t, `81 A7 45 6E 74 72 69 65 73 91 81 A1 73 CF FF FF FF FF FF FF FF FF`), ""},
		{"copies too large", unhex(t, `81 A7 45 6E 74 72 69 65 73 91 81 A1 63 CD FF FF`), "out of range"},
		{"number for a name", unhex(t, `81 A7 45 6E 74 72 69 65 73 91 81 A1 6E 01`), ""},
		{"deeply nested", deep, "nested too deeply"},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			var p wire.LsoPage
			if err := p.DecodeMsgpack(tt.bytes); err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("have %v, want an error with %q", err, tt.text)
			}
		})
	}
}

func TestPageJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title string
		page  wire.LsoPage
		want  string
	}{
		{"example", wire.LsoPage{UUID: "bXk2Wp9Lq", ContinuationToken: "a/obj2", Entries: []wire.LsoEntry{{Name: "a/obj1", Checksum: "9c2f5d4a77aa10be", Size: 1024, Flags: 64}}},
			`{"uuid":"bXk2Wp9Lq","continuation_token":"a/obj2","entries":[{"name":"a/obj1","checksum":"9c2f5d4a77aa10be","size":"1024","flags":64}],"flags":0}`},
		{"no entry", wire.LsoPage{UUID: "u", Entries: []wire.LsoEntry{}}, `{"uuid":"u","continuation_token":"","entries":null,"flags":0}`},
		{"all fields", wire.LsoPage{Flags: 1, Entries: []wire.LsoEntry{{Name: "n", Checksum: "c", Atime: "a", Version: "1", Location: "t", Custom: "m", Size: 1, Copies: 2, Flags: 64}}},
			`{"uuid":"","continuation_token":"","entries":[{"name":"n","checksum":"c","atime":"a","version":"1","location":"t","custom-md":"m","size":"1","copies":2,"flags":64}],"flags":1}`},
		{"name only", wire.LsoPage{Entries: []wire.LsoEntry{{Name: "d/", Flags: 256}}}, `{"uuid":"","continuation_token":"","entries":[{"name":"d/","flags":256}],"flags":0}`},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			have, err := json.Marshal(&tt.page)
			if err != nil || string(have) != tt.want {
				t.Fatalf("have %s %v\nwant %s", have, err, tt.want)
			}
			var back wire.LsoPage
			if err := json.Unmarshal(have, &back); err != nil || len(back.Entries) != len(tt.page.Entries) {
				t.Fatalf("%+v %v", back, err)
			}
		})
	}
}

func TestEntryOrder(t *testing.T) {
	t.Parallel()
	entries := []wire.LsoEntry{{Name: "a/b"}, {Name: "b", Flags: wire.EntryPresent | wire.EntryReplica}, {Name: "a-b"}, {Name: "b", Flags: wire.EntryPresent}, {Name: "a\xff"}, {Name: "a"}}
	slices.SortFunc(entries, func(x, y wire.LsoEntry) int { return x.Compare(&y) })
	var have []string
	for _, e := range entries {
		have = append(have, fmt.Sprintf("%q/%d", e.Name, e.Status()))
	}
	if want := `["a"/0 "a-b"/0 "a/b"/0 "a\xff"/0 "b"/0 "b"/3]`; fmt.Sprint(have) != want {
		t.Fatalf("have %v", have)
	}
	dir := wire.LsoEntry{Name: "d/", Flags: wire.EntryIsDir}
	if !dir.IsDir() || dir.IsPresent() || !entries[0].IsPresent() && entries[4].IsDir() {
		t.Fatal("kinds of entries are mixed up")
	}
}

// FuzzDecodePage checks that what decodes survives an encoding.
func FuzzDecodePage(f *testing.F) {
	f.Add(unhex(f, example))
	f.Add(unhex(f, `80`))
	f.Add(unhex(f, `82 A1 7A 82 A1 61 91 01 A1 62 C0 A7 45 6E 74 72 69 65 73 92 C0 82 A1 6E A1 61 A2 7A 7A 92 C3 C2`))
	f.Add(unhex(f, `81 A7 45 6E 74 72 69 65 73 DD 00 0F FF FF`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var page, again wire.LsoPage
		if page.DecodeMsgpack(data) != nil {
			return
		}
		if err := again.DecodeMsgpack(page.AppendMsgpack(nil)); err != nil {
			t.Fatal(err)
		}
		if len(page.Entries) != len(again.Entries) || len(page.Entries) > 0 && !reflect.DeepEqual(page, again) {
			t.Fatalf("%+v became %+v", page, again)
		}
		reference := page.AppendMsgpack(nil)
		if _, err := msgp.Skip(reference); err != nil {
			t.Fatalf("a foreign reader refuses it: %v", err)
		}
	})
}

func thousand() wire.LsoPage {
	page := wire.LsoPage{UUID: "bXk2Wp9Lq", ContinuationToken: "train/images/img-000000000999.jpeg"}
	for i := range 1000 {
		page.Entries = append(page.Entries, wire.LsoEntry{Name: fmt.Sprintf("train/images/img-%012d.jpeg", i), Checksum: "9c2f5d4a77aa10be",
			Atime: "22 Nov 26 15:04 UTC", Size: int64(i) * math.MaxUint16, Flags: wire.EntryPresent})
	}
	return page
}

func BenchmarkEncodeMsgpack1000(b *testing.B) {
	page := thousand()
	buffer := page.AppendMsgpack(nil)
	b.SetBytes(int64(len(buffer)))
	b.ReportAllocs()
	for b.Loop() {
		buffer = page.AppendMsgpack(buffer[:0])
	}
}

func BenchmarkDecodeMsgpack1000(b *testing.B) {
	page := thousand()
	buffer := page.AppendMsgpack(nil)
	b.SetBytes(int64(len(buffer)))
	b.ReportAllocs()
	for b.Loop() {
		if err := page.DecodeMsgpack(buffer); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeJSON1000(b *testing.B) {
	page := thousand()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(&page); err != nil {
			b.Fatal(err)
		}
	}
}
