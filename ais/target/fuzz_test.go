package target

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core"
)

// refused fails unless an error is the client's.
func refused(t *testing.T, err error) {
	t.Helper()
	if apierr.StatusOf(err) != 400 || err.Error() == "" {
		t.Fatalf("%d %v", apierr.StatusOf(err), err)
	}
}

// FuzzDecodeHead: what describes an object on its way from one target to another
// is read to its end and no further, and is written as it was read.
func FuzzDecodeHead(f *testing.F) {
	framed := func(text string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	}
	whole, err := encodeHead(&core.Origin{
		Size: 5, Checksum: cksum.Value{Type: cksum.XXHash2, Value: "0123456789abcdef"}, Version: "7\xff", Custom: []core.KV{{Key: "k", Value: "\x00v"}}, Mtime: 1, Atime: -2,
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{
		whole, whole[:len(whole)-1], nil, {0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, framed(""), framed("null"), framed("{}"), framed(`{"size":-1}`), framed(`{"sum_type":"crc"}`),
		framed(`{"custom":[["a"],["b","c","d"]]}`), framed(`{"version":"!"}`), framed(`{"size":1e3}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		body := bytes.NewReader(append(data, "content"...))
		from, err := decodeHead(body)
		if err != nil {
			refused(t, err)
			return
		}
		if from.Size < 0 || from.Checksum.Type != "" && cksum.Validate(from.Checksum.Type) != nil {
			t.Fatalf("%+v", from)
		}
		rest, err := io.ReadAll(body)
		if err != nil || !strings.HasSuffix("content", string(rest)) && !strings.HasSuffix(string(rest), "content") {
			t.Fatalf("%q is left, %v", rest, err)
		}
		again, err := encodeHead(&from)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeHead(bytes.NewReader(again)); err != nil || !reflect.DeepEqual(back, from) {
			t.Fatalf("%+v, again %+v, %v", from, back, err)
		}
	})
}

// FuzzCompletedParts: a list of parts has as many as JSON says, or is refused.
func FuzzCompletedParts(f *testing.F) {
	for _, seed := range []string{
		`[{"part-number":1,"etag":""}]`, `[]`, `null`, ``, `[{}]`, `[null]`, `"x"`, `[{"part-number":"1"}]`, `[{"part-number":1.0}]`, `[{"part-number":1e2}]`, `[{"PART-NUMBER":3}]`,
		`[{"part-number":9223372036854775808}]`, `{"part-number":1}`, `[1`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		parts, err := completedParts(value)
		if err != nil {
			refused(t, err)
			return
		}
		var items []json.RawMessage
		if len(value) > 0 && json.Unmarshal(value, &items) != nil || len(items) != len(parts) {
			t.Fatalf("%q: %d parts", value, len(parts))
		}
	})
}

// FuzzCustomOf: what is taken for custom metadata may be stored.
func FuzzCustomOf(f *testing.F) {
	for _, seed := range []string{
		`{"k":"v"}`, `{}`, `null`, ``, `{"":"x"}`, `{"k":null}`, `{"k":1}`, `{"k":"\u0000"}`, `{"k\u007f":""}`, `{"k":"\u300e"}`, `{"a":"1","a":"2"}`, `[]`, `{"k":"\xff"}`, `{"k":{"l":"v"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		custom, err := customOf(value)
		if err != nil {
			refused(t, err)
			return
		}
		if err := core.ValidateCustom(custom); err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		seen := map[string]bool{}
		for _, kv := range custom {
			if seen[kv.Key] {
				t.Fatalf("%q: key %q twice", value, kv.Key)
			}
			seen[kv.Key] = true
		}
	})
}

// FuzzHeadProps: a list is a set of known names, or refused with the first one
// that is not.
func FuzzHeadProps(f *testing.F) {
	for _, seed := range []string{"", ",", " , ", "name,size", "name, size ,,etag", "cached", "name,\x00", strings.Repeat("ec,", 100), "Name", "last-modified", "\u00a0size"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		props, err := parseHeadProps(list)
		if err != nil {
			refused(t, err)
			if !strings.Contains(err.Error(), "invalid property") {
				t.Fatal(err)
			}
			return
		}
		if (props == 0) != (list == "") {
			t.Fatalf("%q is %b", list, props)
		}
		var names []string
		for i, name := range headPropNames {
			if props&(1<<i) != 0 {
				names = append(names, name)
			}
		}
		if again, err := parseHeadProps(strings.Join(names, ",")); err != nil || again != props {
			t.Fatalf("%q is %b, and %b again: %v", list, props, again, err)
		}
	})
}
