package dotted

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// ErrSkip is returned by the check of Decode to leave a key out.
var ErrSkip = errors.New("skip this key")

// Decode reads a JSON object into a pointer to a struct; what the object does
// not mention stays, and so does what it sets to null. Before a key is read,
// check is called with its dotted name and whether the struct knows it; its
// error ends the decoding. Unknown keys that check lets pass are skipped.
// Names are compared exactly. Errors are 400 and name the key; keys are
// visited in ascending order, so the same input always gives the same error.
func Decode(data []byte, into any, check func(key string, known bool) error) error {
	return decode(data, reflect.ValueOf(into).Elem(), "", check)
}

func decode(data []byte, into reflect.Value, prefix string, check func(string, bool) error) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil || object == nil {
		return malformed(prefix, data, err)
	}
	list := fields(into)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		raw, key := object[name], join(prefix, name)
		i := slices.IndexFunc(list, func(f field) bool { return f.name == name })
		err := check(key, i >= 0)
		if err != nil && !errors.Is(err, ErrSkip) {
			return err
		}
		if err != nil || i < 0 || string(raw) == "null" {
			continue
		}
		if sub, ok := section(list[i].value); ok {
			if err := decode(raw, sub, key, check); err != nil {
				return err
			}
			continue
		}
		if err := decodeLeaf(raw, list[i]); err != nil {
			return apierr.Wrap(err, 400, "", "failed to unmarshal property %q", key)
		}
	}
	return nil
}

func decodeLeaf(raw []byte, f field) error {
	if f.quoted {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return apierr.BadRequest("expecting a JSON string")
		}
		raw = []byte(text)
	}
	fresh := reflect.New(f.value.Type())
	if err := json.Unmarshal(raw, fresh.Interface()); err != nil {
		return plain(err)
	}
	f.value.Set(fresh.Elem())
	return nil
}

// plain words a JSON type error without the names of Go types.
func plain(err error) error {
	var e *json.UnmarshalTypeError
	if errors.As(err, &e) {
		return apierr.BadRequest("a JSON %s does not fit (expecting %s)", e.Value, e.Type.Kind())
	}
	return err
}

func malformed(prefix string, data []byte, err error) error {
	what := "the JSON object"
	if prefix != "" {
		what = "property \"" + prefix + "\""
	}
	if err == nil || bytes.HasPrefix(bytes.TrimSpace(data), []byte("null")) {
		return apierr.BadRequest("failed to unmarshal %s: expecting a JSON object", what)
	}
	return apierr.Wrap(plain(err), 400, "", "failed to unmarshal %s", what)
}
