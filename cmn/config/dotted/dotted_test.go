package dotted_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config/dotted"
	"github.com/aistore-go/aistore/cmn/unit"
)

type base struct {
	Burst int `json:"burst"`
}

type inner struct {
	base
	Size unit.Size `json:"size"`
	On   bool      `json:"on"`
}

type doc struct {
	Inner   inner             `json:"inner"`
	Opt     *inner            `json:"opt,omitempty"`
	Version int64             `json:"version,string"`
	Words   []string          `json:"words"`
	Name    string            `json:"Name"`
	Ratio   uint64            `json:"ratio"`
	Map     map[string]string `json:"map"`
	hidden  int               //nolint:unused // must not be seen
}

func accept(string, bool) error { return nil }

func TestKeys(t *testing.T) {
	t.Parallel()
	want := []string{"inner.burst", "inner.size", "inner.on", "opt.burst", "opt.size", "opt.on", "version", "words", "Name", "ratio", "map"}
	if got := dotted.Keys(new(doc)); !slices.Equal(got, want) {
		t.Errorf("Keys = %v", got)
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	d := doc{Name: "kept", Inner: inner{On: true, Size: 7}}
	err := dotted.Decode([]byte(`{"inner":{"burst":3,"size":"2KiB"},"version":"12","opt":{"on":true},"Name":null,"odd":{"x":1}}`), &d, accept)
	if err != nil {
		t.Fatal(err)
	}
	if d.Inner != (inner{base: base{3}, Size: 2048, On: true}) || d.Version != 12 || d.Opt == nil || !d.Opt.On || d.Name != "kept" {
		t.Errorf("%+v %+v", d, d.Opt)
	}
}

func TestDecodeErrorsNameTheKey(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                          "failed to unmarshal the JSON object",
		`null`:                      "failed to unmarshal the JSON object",
		`[]`:                        "failed to unmarshal the JSON object",
		`{"inner":5}`:               `failed to unmarshal property "inner"`,
		`{"inner":{"size":5}}`:      `failed to unmarshal property "inner.size"`,
		`{"inner":{"on":"yes"}}`:    `failed to unmarshal property "inner.on"`,
		`{"inner":{"burst":"3"}}`:   `failed to unmarshal property "inner.burst": a JSON string does not fit (expecting int)`,
		`{"inner":{"burst":1e99}}`:  `failed to unmarshal property "inner.burst"`,
		`{"version":12}`:            `failed to unmarshal property "version": expecting a JSON string`,
		`{"words":"a b"}`:           `failed to unmarshal property "words"`,
		`{"inner":{"burst":1}} {}`:  "failed to unmarshal the JSON object",
		`{"zzz":1,"bad":2,"all":3}`: `unknown property "all"`,
		`{"inner":{"odd":1}}`:       `unknown property "inner.odd"`,
	} {
		err := dotted.Decode([]byte(text), new(doc), func(key string, known bool) error {
			if !known {
				return dotted.Unknown(key)
			}
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), want) || apierr.StatusOf(err) != 400 {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	var d doc
	for _, kv := range [][2]string{{"inner.burst", "-3"}, {"INNER.Size", "1mb"}, {"opt.on", "YES"}, {"words", "[a b]"}, {"name", "x"}, {"ratio", "7"}, {"version", "5"}} {
		if err := dotted.Set(&d, kv[0], kv[1]); err != nil {
			t.Errorf("%s: %v", kv[0], err)
		}
	}
	if d.Inner.Burst != -3 || d.Inner.Size != unit.MiB || !d.Opt.On || !slices.Equal(d.Words, []string{"a", "b"}) || d.Name != "x" || d.Ratio != 7 || d.Version != 5 {
		t.Errorf("%+v", d)
	}
	if err := dotted.Set(&d, "words", "none"); err != nil || len(d.Words) != 0 {
		t.Errorf("%v, %v", d.Words, err)
	}
	for key, want := range map[string]string{
		"inner.Copiez": `unknown property "inner.copiez"`, "inner": `unknown property "inner"`, "": `unknown property ""`,
		"name.x": `unknown property "name.x"`, "inner.": `unknown property "inner."`, "map.x": "cannot be given as text", "hidden": "unknown property",
	} {
		if err := dotted.Set(&d, key, "1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Set(%q): %v, want %q", key, err, want)
		}
	}
	for key, bad := range map[string]string{"inner.burst": "x", "inner.on": "maybe", "inner.size": "1y", "ratio": "-1"} {
		if err := dotted.Set(&d, key, bad); err == nil || !strings.HasPrefix(err.Error(), "invalid "+key) {
			t.Errorf("Set(%q, %q): %v", key, bad, err)
		}
	}
}

func TestSetJSON(t *testing.T) {
	t.Parallel()
	d := doc{Map: map[string]string{"old": "x"}, Name: "kept"}
	for key, raw := range map[string]string{"inner.Burst": `3`, "opt.size": `"2KiB"`, "map": `{"a":"b"}`, "version": `"7"`, "name": `null`, "words": `["a"]`} {
		if err := dotted.SetJSON(&d, key, []byte(raw)); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if d.Inner.Burst != 3 || d.Opt.Size != 2048 || len(d.Map) != 1 || d.Map["a"] != "b" || d.Version != 7 || d.Name != "kept" || len(d.Words) != 1 {
		t.Errorf("%+v", d)
	}
	for key, want := range map[string]string{"inner.none": `unknown property "inner.none"`, "inner": `unknown property "inner"`,
		"inner.on": `failed to unmarshal property "inner.on"`, "map.a": "cannot be given as text"} {
		if err := dotted.SetJSON(&d, key, []byte(`"x"`)); apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", key, err, want)
		}
	}
}
