package commands

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// property is a leaf of a structure by its dotted name.
type property struct {
	Name, Value string
}

// flatten lists the leaves of a value as its JSON has them, by name. A list
// is one value: "[a b]".
func flatten(value any) ([]property, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	var rows []property
	walkLeaves("", tree, func(name string, leaf any) { rows = append(rows, property{name, leafText(leaf)}) })
	slices.SortFunc(rows, func(x, y property) int { return strings.Compare(x.Name, y.Name) })
	return rows, nil
}

func walkLeaves(name string, value any, visit func(string, any)) {
	section, ok := value.(map[string]any)
	if !ok {
		visit(name, value)
		return
	}
	for key, below := range section {
		if name != "" {
			key = name + "." + key
		}
		walkLeaves(key, below, visit)
	}
}

func leafText(leaf any) string {
	switch v := leaf.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = leafText(v[i])
		}
		return "[" + strings.Join(parts, " ") + "]"
	case map[string]any: // inside a list
		data, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(data)
	}
	return fmt.Sprint(leaf)
}

// under keeps the rows whose name is the given one or lies below it.
func under(rows []property, name string) []property {
	if name == "" {
		return rows
	}
	var kept []property
	for _, row := range rows {
		if row.Name == name || strings.HasPrefix(row.Name, name+".") {
			kept = append(kept, row)
		}
	}
	return kept
}

// startingWith keeps the rows whose name begins with a prefix.
func startingWith(rows []property, prefix string) []property {
	var kept []property
	for _, row := range rows {
		if strings.HasPrefix(row.Name, prefix) {
			kept = append(kept, row)
		}
	}
	return kept
}
