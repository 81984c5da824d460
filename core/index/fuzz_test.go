package index

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzName: a key is that of one name, and what is none is not taken for one.
func FuzzName(f *testing.F) {
	for _, seed := range []string{
		"", "12345678", "12345678a\x00\x01", "12345678a\x00\xffb\x00\x01", "12345678\x00\x00", "12345678a\x00\x01version", "12345678a\x00", "12345678a\x00\x02", "12345678\x00\x01",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		name, current, ok := appendName([]byte("before"), key)
		if !bytes.HasPrefix(name, []byte("before")) {
			t.Fatalf("%q", name)
		}
		if !ok {
			return
		}
		name = name[len("before"):]
		again := appendKey(nil, 0, string(name))
		if want := append(key[:bidSize:bidSize], again[bidSize:]...); !bytes.HasPrefix(key, want) || current != (len(key) == len(want)) || keyLength(name) != len(want) {
			t.Fatalf("%q is the key of %q, current %v, whose key is %q", key, name, current, want)
		}
	})
}

// FuzzState: a state is believed only if it is whole, and says what it said.
func FuzzState(f *testing.F) {
	s := state{Format: stateFormat, State: clean, BootID: "boot", Generation: 7}
	sum, err := s.sum()
	if err != nil {
		f.Fatal(err)
	}
	s.Checksum = sum
	text, err := json.Marshal(&s)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{text, text[:len(text)-1], []byte("{}"), nil, []byte("null"), bytes.Replace(text, []byte("7"), []byte("8"), 1), bytes.Replace(text, []byte(clean), []byte("odd"), 1)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := parseState(data)
		if s == nil {
			return
		}
		if sum, err := s.sum(); err != nil || sum != s.Checksum || s.Format != stateFormat || s.State != running && s.State != clean {
			t.Fatalf("%+v", s)
		}
		text, err := json.Marshal(s)
		if again := parseState(text); err != nil || again == nil || *again != *s {
			t.Fatalf("%+v, again %+v, %v", s, again, err)
		}
	})
}
