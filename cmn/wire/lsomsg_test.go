package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
)

// decodeLsoMsg reads a list message as gateways do: unknown keys are errors.
func decodeLsoMsg(value []byte) (*wire.LsoMsg, error) {
	m := &wire.LsoMsg{}
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("unexpected data after the list message")
	}
	return m, nil
}

func TestDecodeLsoMsg(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title, value string
		want         *wire.LsoMsg
		text         string // of the error
	}{
		{"empty", `{}`, &wire.LsoMsg{}, ""},
		{"sample", `{"uuid":"","props":"name,size,cached","prefix":"a/","continuation_token":"","target":"","flags":"0","pagesize":0}`,
			&wire.LsoMsg{Props: "name,size,cached", Prefix: "a/"}, ""},
		{"all", `{"uuid":"u","props":"name","prefix":"p","continuation_token":"t","start_after":"s","flags":"2049","pagesize":5,"target":"x","time_format":"f","hdr":{"k":["v"]}}`,
			&wire.LsoMsg{UUID: "u", Props: "name", Prefix: "p", ContinuationToken: "t", StartAfter: "s", Flags: wire.LsoNoRecursion | wire.LsoCached, PageSize: 5,
				Target: "x", TimeFormat: "f", Header: map[string][]string{"k": {"v"}}}, ""},
		{"nulls", `{"uuid":null,"props":null,"prefix":null,"continuation_token":null,"start_after":null,"flags":null,"pagesize":null,"target":null,"time_format":null,"hdr":null}`,
			&wire.LsoMsg{}, ""},
		{"keys in other case", `{"UUID":"u","PageSize":3}`, &wire.LsoMsg{UUID: "u", PageSize: 3}, ""},
		{"largest flags", `{"flags":"18446744073709551615"}`, &wire.LsoMsg{Flags: 1<<64 - 1}, ""},
		{"unknown key", `{"prefx":"a"}`, nil, `unknown field "prefx"`},
		{"flags as a number", `{"flags":1}`, nil, `"flags" must be a string`},
		{"flags empty", `{"flags":""}`, nil, `"flags" must be a string`},
		{"flags no number", `{"flags":"cached"}`, nil, `"flags" must be a string`},
		{"flags negative", `{"flags":"-1"}`, nil, `"flags" must be a string`},
		{"page size as a string", `{"pagesize":"5"}`, nil, "pagesize"},
		{"list", `[]`, nil, "cannot unmarshal array"},
		{"no JSON", `{`, nil, "EOF"},
		{"more than one value", `{} {}`, nil, "unexpected data"},
		{"empty body", ``, nil, "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			have, err := decodeLsoMsg([]byte(tt.value))
			if tt.text != "" {
				if err == nil || !strings.Contains(err.Error(), tt.text) {
					t.Fatalf("have %v, want an error with %q", err, tt.text)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(have, tt.want) {
				t.Fatalf("have %+v %v, want %+v", have, err, tt.want)
			}
		})
	}
}

func TestLsoMsgEncode(t *testing.T) {
	t.Parallel()
	have, err := json.Marshal(wire.LsoMsg{Prefix: "a/", Flags: wire.LsoNameOnly | wire.LsoNoRecursion})
	want := `{"uuid":"","props":"","prefix":"a/","continuation_token":"","target":"","flags":"2064","pagesize":0}`
	if err != nil || string(have) != want {
		t.Fatalf("have %s %v", have, err)
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title     string
		in        wire.LsoMsg
		props     string
		flags     wire.LsoFlags
		want      wire.LsoProps
		newPrefix string
	}{
		{"empty", wire.LsoMsg{}, "name,size,cached", wire.LsoNameSize, wire.LsoPropSize, ""},
		{"empty, cached", wire.LsoMsg{Flags: wire.LsoCached}, "name,size,checksum,atime", wire.LsoCached,
			wire.LsoPropSize | wire.LsoPropChecksum | wire.LsoPropAtime | wire.LsoPropEC, ""},
		{"name", wire.LsoMsg{Props: "name"}, "name", wire.LsoNameOnly, 0, ""},
		{"name and size", wire.LsoMsg{Props: "name,size"}, "name,size", wire.LsoNameSize, wire.LsoPropSize, ""},
		{"size and name stays", wire.LsoMsg{Props: "size,name"}, "size,name", 0, wire.LsoPropSize, ""},
		{"location", wire.LsoMsg{Props: "location"}, "location", 0, wire.LsoPropLocation, ""},
		{"blanks", wire.LsoMsg{Props: "version, copies"}, "version, copies", 0, wire.LsoPropVersion | wire.LsoPropCopies, ""},
		{"unknown names", wire.LsoMsg{Props: "color,custom"}, "color,custom", 0, wire.LsoPropCustom, ""},
		{"names only wins over props", wire.LsoMsg{Props: "name,size,atime", Flags: wire.LsoNameOnly}, "name,size,atime", wire.LsoNameOnly, 0, ""},
		{"names only wins over sizes", wire.LsoMsg{Flags: wire.LsoNameOnly}, "name,size,cached", wire.LsoNameOnly | wire.LsoNameSize, 0, ""},
		{"archives", wire.LsoMsg{Props: "name", Flags: wire.LsoArchDir}, "name", wire.LsoArchDir | wire.LsoCached | wire.LsoNameOnly, 0, ""},
		{"star", wire.LsoMsg{Props: "name", Prefix: "a/b*"}, "name", wire.LsoNameOnly, 0, "a/b"},
		{"one star only", wire.LsoMsg{Props: "name", Prefix: "a**"}, "name", wire.LsoNameOnly, 0, "a*"},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			m := tt.in
			m.Normalize()
			if m.Props != tt.props || m.Flags != tt.flags || m.Want() != tt.want || m.Prefix != tt.newPrefix {
				t.Fatalf("have %q %d %b %q, want %q %d %b %q", m.Props, m.Flags, m.Want(), m.Prefix, tt.props, tt.flags, tt.want, tt.newPrefix)
			}
			if strings.HasSuffix(m.Prefix, "*") {
				return // a second star would go the same way
			}
			again := m
			if again.Normalize(); !reflect.DeepEqual(again, m) {
				t.Fatalf("not idempotent: %+v, then %+v", m, again)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", wire.MaxLsoToken+1)
	tests := []struct {
		title  string
		in     wire.LsoMsg
		remote bool
		text   string
	}{
		{"plain", wire.LsoMsg{PageSize: 100000}, false, ""},
		{"negative page", wire.LsoMsg{PageSize: -1}, false, `"pagesize" -1`},
		{"long token", wire.LsoMsg{ContinuationToken: long}, false, `"continuation_token": too long`},
		{"long start", wire.LsoMsg{StartAfter: long}, false, `"start_after": too long`},
		{"long props", wire.LsoMsg{Props: long}, false, `"props": too long`},
		{"long format", wire.LsoMsg{TimeFormat: long}, false, `"time_format": too long`},
		{"not cached, local", wire.LsoMsg{Flags: wire.LsoNotCached}, false, "needs a remote bucket"},
		{"not cached, remote", wire.LsoMsg{Flags: wire.LsoNotCached}, true, ""},
		{"cached and not", wire.LsoMsg{Flags: wire.LsoNotCached | wire.LsoCached}, true, "exclude each other"},
		{"start, local", wire.LsoMsg{StartAfter: "a"}, false, ""},
		{"start, remote", wire.LsoMsg{StartAfter: "a"}, true, `"start_after"`},
		{"start, remote, cached", wire.LsoMsg{StartAfter: "a", Flags: wire.LsoCached}, true, ""},
		{"diff, local", wire.LsoMsg{Flags: wire.LsoDiff, Props: "name,custom"}, false, "remote versions"},
		{"diff without custom", wire.LsoMsg{Flags: wire.LsoDiff, Props: "name,version"}, true, `"custom"`},
		{"diff with cached", wire.LsoMsg{Flags: wire.LsoDiff | wire.LsoCached, Props: "custom"}, true, `"diff" excludes`},
		{"diff of names", wire.LsoMsg{Flags: wire.LsoDiff | wire.LsoNameOnly, Props: "custom"}, true, `"custom"`},
		{"diff", wire.LsoMsg{Flags: wire.LsoDiff, Props: "name,custom"}, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			tt.in.Normalize()
			err := tt.in.Validate(tt.remote)
			if tt.text == "" && err != nil || tt.text != "" && (err == nil || !strings.Contains(err.Error(), tt.text)) {
				t.Fatalf("have %v, want %q", err, tt.text)
			}
		})
	}
}

func FuzzDecodeLsoMsg(f *testing.F) {
	for _, s := range []string{`{}`, `null`, `{"flags":"1"}`, `{"flags":1}`, `{"hdr":{"a":["b"]}}`, `{"x":1}`, `{"pagesize":-1,"prefix":"a*"}`, `[`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		m, err := decodeLsoMsg(value)
		if err != nil {
			return
		}
		m.Normalize()
		_ = m.Validate(false) // must not panic
		encoded, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeLsoMsg(encoded)
		if err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		if again.Flags != m.Flags || again.PageSize != m.PageSize {
			t.Fatalf("%+v became %+v", m, again)
		}
	})
}
