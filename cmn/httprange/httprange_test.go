package httprange_test

import (
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/httprange"
	"github.com/aistore-go/aistore/cmn/wire"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const (
		malformed     = ""
		unsatisfiable = wire.CodeRangeNotSatisfiable
		several       = wire.CodeUnsupported
		fine          = "fine"
	)
	tests := []struct {
		title, header string
		size          int64
		start, length int64
		code          string
		contentRange  string
	}{
		{"first byte", "bytes=0-0", 10, 0, 1, fine, "bytes 0-0/10"},
		{"middle", "bytes=2-5", 10, 2, 4, fine, "bytes 2-5/10"},
		{"open end", "bytes=4-", 10, 4, 6, fine, "bytes 4-9/10"},
		{"all by open end", "bytes=0-", 10, 0, 10, fine, "bytes 0-9/10"},
		{"all by full range", "bytes=0-9", 10, 0, 10, fine, "bytes 0-9/10"},
		{"end at the size", "bytes=3-10", 10, 3, 7, fine, "bytes 3-9/10"},
		{"end far behind", "bytes=3-99999999999999999999999", 10, 3, 7, fine, "bytes 3-9/10"},
		{"last byte", "bytes=9-9", 10, 9, 1, fine, "bytes 9-9/10"},
		{"suffix", "bytes=-3", 10, 7, 3, fine, "bytes 7-9/10"},
		{"suffix of the size", "bytes=-10", 10, 0, 10, fine, "bytes 0-9/10"},
		{"suffix longer than the object", "bytes=-11", 10, 0, 10, fine, "bytes 0-9/10"},
		{"suffix beyond all numbers", "bytes=-99999999999999999999999", 10, 0, 10, fine, "bytes 0-9/10"},
		{"leading zeros", "bytes=002-0005", 10, 2, 4, fine, "bytes 2-5/10"},
		{"unit in capitals", "Bytes=0-1", 10, 0, 2, fine, "bytes 0-1/10"},
		{"blanks", "bytes= 0 - 1 ", 10, 0, 2, fine, "bytes 0-1/10"},
		{"empty elements", "bytes=,0-1,", 10, 0, 2, fine, "bytes 0-1/10"},

		{"starts at the size", "bytes=10-", 10, 0, 0, unsatisfiable, "bytes */10"},
		{"starts behind the size", "bytes=11-12", 10, 0, 0, unsatisfiable, "bytes */10"},
		{"starts beyond all numbers", "bytes=99999999999999999999999-", 10, 0, 0, unsatisfiable, "bytes */10"},
		{"empty suffix", "bytes=-0", 10, 0, 0, unsatisfiable, "bytes */10"},
		{"empty object", "bytes=0-0", 0, 0, 0, unsatisfiable, "bytes */0"},
		{"empty object, open end", "bytes=0-", 0, 0, 0, unsatisfiable, "bytes */0"},
		{"empty object, suffix", "bytes=-1", 0, 0, 0, unsatisfiable, "bytes */0"},

		{"two ranges", "bytes=1-2,4-6", 10, 0, 0, several, ""},
		{"two ranges with a blank", "bytes=1-2, 4-6", 10, 0, 0, several, ""},
		{"range and garbage", "bytes=1-2,x", 10, 0, 0, several, ""},

		{"end before start", "bytes=1-0", 10, 0, 0, malformed, ""},
		{"end before start, behind the size", "bytes=20-15", 10, 0, 0, malformed, ""},
		{"no dash", "bytes=5", 10, 0, 0, malformed, ""},
		{"other unit", "potatoes=0-1", 10, 0, 0, malformed, ""},
		{"unit alone", "bytes", 10, 0, 0, malformed, ""},
		{"nothing behind the unit", "bytes=", 10, 0, 0, malformed, ""},
		{"blank behind the unit", "bytes= ", 10, 0, 0, malformed, ""},
		{"comma alone", "bytes=,", 10, 0, 0, malformed, ""},
		{"dash alone", "bytes=-", 10, 0, 0, malformed, ""},
		{"negative end", "bytes=0--1", 10, 0, 0, malformed, ""},
		{"negative start", "bytes=-1-0", 10, 0, 0, malformed, ""},
		{"negative suffix", "bytes=--1", 10, 0, 0, malformed, ""},
		{"plus sign", "bytes=+1-2", 10, 0, 0, malformed, ""},
		{"letters", "bytes=a-b", 10, 0, 0, malformed, ""},
		{"hexadecimal", "bytes=0x1-2", 10, 0, 0, malformed, ""},
		{"three numbers", "bytes=1-2-3", 10, 0, 0, malformed, ""},
		{"blank inside a number", "bytes=1 2-15", 10, 0, 0, malformed, ""},
		{"no unit", "0-1", 10, 0, 0, malformed, ""},
		{"blank before the unit", " bytes=0-1", 10, 0, 0, malformed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			start, length, ok, err := httprange.Parse(tt.header, tt.size)
			if tt.code == fine {
				if err != nil || !ok || start != tt.start || length != tt.length {
					t.Fatalf("have %d, %d, %v, %v; want %d, %d", start, length, ok, err, tt.start, tt.length)
				}
				if have := httprange.FormatContentRange(start, length, tt.size); have != tt.contentRange {
					t.Fatalf("have %q, want %q", have, tt.contentRange)
				}
				return
			}
			if err == nil || ok || apierr.StatusOf(err) != 416 || apierr.CodeOf(err) != tt.code {
				t.Fatalf("have %d, %d, %v, %v; want 416 %q", start, length, ok, err, tt.code)
			}
			value, has := httprange.UnsatisfiedContentRange(err, tt.size)
			if value != tt.contentRange || has != (tt.contentRange != "") {
				t.Fatalf("Content-Range: have %q, want %q", value, tt.contentRange)
			}
		})
	}
}

func TestNoRange(t *testing.T) {
	t.Parallel()
	if start, length, ok, err := httprange.Parse("", 10); start != 0 || length != 0 || ok || err != nil {
		t.Fatalf("have %d, %d, %v, %v", start, length, ok, err)
	}
}

func TestErrorIsShort(t *testing.T) {
	t.Parallel()
	if _, _, _, err := httprange.Parse("bytes="+strings.Repeat("9", 1<<20)+"x-", 10); len(err.Error()) > 400 {
		t.Fatal("the error repeats too much")
	}
}

// FuzzParse checks that a range is never ignored, never outside the object and
// never empty.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "bytes=0-1", "bytes=-5", "bytes=5-", "bytes=1-2,4-6", "bytes=--1", "potatoes=0-1", "bytes="} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		start, length, ok, err := httprange.Parse(header, size)
		switch {
		case header == "":
			if ok || err != nil {
				t.Fatal("no header, no range")
			}
		case err != nil:
			if ok || apierr.StatusOf(err) != 416 {
				t.Fatalf("%q: %v, status %d", header, err, apierr.StatusOf(err))
			}
		case !ok || start < 0 || length < 1 || start > size-length:
			t.Fatalf("%q of %d bytes: %d, %d, %v", header, size, start, length, ok)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := httprange.Parse("bytes=1048576-2097151", 1<<30); err != nil {
			b.Fatal(err)
		}
	}
}
