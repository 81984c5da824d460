package dotted

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Set gives the leaf with a dotted name a value from text. The name is
// compared in lower case. Booleans are "true", "t", "1", "y", "yes", "on",
// their opposites, and "" for false, in any case. Errors are 400; an unknown
// name, or that of a whole section, is `unknown property "x"`.
func Set(into any, key, text string) error {
	key = strings.ToLower(key)
	f, err := find(reflect.ValueOf(into).Elem(), key, key)
	if err != nil {
		return err
	}
	leaf := f.value
	if leaf.Kind() == reflect.Map {
		return apierr.BadRequest("property %q cannot be given as text", key)
	}
	if leaf.Kind() == reflect.Pointer {
		if leaf.IsNil() {
			leaf.Set(reflect.New(leaf.Type().Elem()))
		}
		leaf = leaf.Elem()
	}
	if err := setText(leaf, text); err != nil {
		return apierr.Wrap(err, 400, "", "invalid %s", key)
	}
	return nil
}

// Unknown is the error of a key that does not exist.
func Unknown(key string) error { return apierr.BadRequest("unknown property %q", key) }

// ReadOnly is the error of a key that cannot be set.
func ReadOnly(key string) error { return apierr.BadRequest("property %q is readonly", key) }

// SetJSON gives the leaf with a dotted name, compared in lower case, a value
// from JSON; null leaves it as it is. Errors are those of Decode.
func SetJSON(into any, key string, raw json.RawMessage) error {
	f, err := find(reflect.ValueOf(into).Elem(), strings.ToLower(key), key)
	if err != nil || string(raw) == "null" {
		return err
	}
	if err := decodeLeaf(raw, f); err != nil {
		return apierr.Wrap(err, 400, "", "failed to unmarshal property %q", key)
	}
	return nil
}

func find(s reflect.Value, rest, key string) (field, error) {
	name, below, deeper := strings.Cut(rest, ".")
	for _, f := range fields(s) {
		if strings.ToLower(f.name) != name {
			continue
		}
		if f.value.Kind() == reflect.Map {
			if deeper {
				return f, apierr.BadRequest("property %q cannot be given as text", key)
			}
			return f, nil
		}
		sub, isSection := section(f.value)
		if isSection != deeper {
			break
		}
		if deeper {
			return find(sub, below, key)
		}
		return f, nil
	}
	return field{}, Unknown(key)
}

func setText(leaf reflect.Value, text string) error {
	if leaf.Addr().Type().Implements(textUnmarshaler) {
		return leaf.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	}
	switch leaf.Kind() {
	case reflect.String:
		leaf.SetString(text)
	case reflect.Bool:
		b, err := parseBool(text)
		if err != nil {
			return err
		}
		leaf.SetBool(b)
	case reflect.Int, reflect.Int64, reflect.Int32:
		n, err := strconv.ParseInt(text, 10, leaf.Type().Bits())
		if err != nil {
			return apierr.BadRequest("%q is not a decimal number", text)
		}
		leaf.SetInt(n)
	case reflect.Uint, reflect.Uint64, reflect.Uint32:
		n, err := strconv.ParseUint(text, 10, leaf.Type().Bits())
		if err != nil {
			return apierr.BadRequest("%q is not an unsigned decimal number", text)
		}
		leaf.SetUint(n)
	case reflect.Slice:
		leaf.Set(reflect.ValueOf(parseList(text)))
	default:
		return apierr.BadRequest("it cannot be given as text")
	}
	return nil
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "t", "1", "y", "yes", "on":
		return true, nil
	case "false", "f", "0", "n", "no", "off", "":
		return false, nil
	}
	return false, apierr.BadRequest("%q is not a boolean (expecting true or false)", text)
}

// parseList reads "a b" or "[a b]"; "none" is the empty list.
func parseList(text string) []string {
	text = strings.TrimSpace(text)
	if text == "none" {
		return nil
	}
	return strings.Fields(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
}
