// Package dotted reads and sets the fields of configuration structs by their
// dotted JSON names ("mirror.copies"). It knows the names only from the json
// tags, so a struct is the one place where a key is defined.
package dotted

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// field is one field of a struct under its JSON name.
type field struct {
	name   string
	value  reflect.Value
	quoted bool // the tag's option "string"
}

// fields lists the fields of a struct by JSON name, embedded structs inlined.
func fields(v reflect.Value) []field {
	var list []field
	for i := range v.NumField() {
		meta := v.Type().Field(i)
		name, options, _ := strings.Cut(meta.Tag.Get("json"), ",")
		switch {
		case meta.Anonymous && name == "" && meta.Type.Kind() == reflect.Struct:
			list = append(list, fields(v.Field(i))...)
		case name != "" && name != "-" && meta.IsExported():
			list = append(list, field{name: name, value: v.Field(i), quoted: slices.Contains(strings.Split(options, ","), "string")})
		}
	}
	return list
}

// section returns the struct that a field holds or points to, allocating it;
// ok is false if the field is a leaf: its own JSON form, or no struct.
func section(v reflect.Value) (s reflect.Value, ok bool) {
	t := v.Type()
	pointer := t.Kind() == reflect.Pointer
	if pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(jsonUnmarshaler) {
		return v, false
	}
	if pointer {
		if v.IsNil() {
			v.Set(reflect.New(t))
		}
		v = v.Elem()
	}
	return v, true
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// Keys returns the dotted names of all leaves of a pointer to a struct, in
// the order of its fields.
func Keys(v any) []string {
	var keys []string
	var walk func(s reflect.Value, prefix string)
	walk = func(s reflect.Value, prefix string) {
		for _, f := range fields(s) {
			zero := reflect.New(f.value.Type()).Elem()
			if sub, ok := section(zero); ok {
				walk(sub, join(prefix, f.name))
			} else {
				keys = append(keys, join(prefix, f.name))
			}
		}
	}
	walk(reflect.ValueOf(v).Elem(), "")
	return keys
}

// Merge copies every field of src that is set (a pointer that is not nil) to
// the field of dst with the same JSON name; sections are merged field by
// field. Both are pointers to structs; dst must have every field of src.
func Merge(dst, src any) {
	merge(reflect.ValueOf(dst).Elem(), reflect.ValueOf(src).Elem())
}

func merge(dst, src reflect.Value) {
	to := fields(dst)
	for _, from := range fields(src) {
		if from.value.Kind() != reflect.Pointer || from.value.IsNil() {
			continue
		}
		i := slices.IndexFunc(to, func(f field) bool { return f.name == from.name })
		if i < 0 {
			continue // a request-only field, such as "force"
		}
		value := from.value.Elem()
		if to[i].value.Type() == value.Type() {
			to[i].value.Set(value)
		} else {
			merge(to[i].value, value)
		}
	}
}
