// Package template parses the templates by which clients name many objects at
// once, and names the objects that they stand for, one after the other.
//
// A template is a prefix, or text with ranges of numbers in one of three
// forms, tried in this order; the first whose sign is there decides:
//
//	""  "*"                   every object
//	shard-{0001..0010..2}.tar bash: from..to[..step], inclusive; several ranges
//	                          make every combination, the rightmost fastest
//	shard-@00100.tar          at: 0..100, as wide as the number is written
//	shard-%06d.tar            fmt: 0, 1, 2, ... without an end
//	shards/                   a prefix; a "*" at its end is dropped
//
// Numbers of a bash range are zero-padded to the length of the shorter of the
// texts of its ends. Names are in the native form (see package naming).
package template

import (
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
)

// Form says what a template stands for.
type Form int

const (
	// Everything is all objects of a bucket.
	Everything Form = iota
	// Prefix is all objects whose names begin with Template.Prefix.
	Prefix
	// Range is the names of Template.Names.
	Range
)

// maxDigits bounds a number of a range: what has more may not fit 63 bits.
const maxDigits = 18

// Template is a parsed template. It is immutable.
type Template struct {
	Form   Form
	Prefix string // before the first range; with Form Prefix the prefix in native form

	ranges []numbers
}

// numbers is one range, with the text that follows it.
type numbers struct {
	from, to, step int64
	width          int // zero-padded to so many digits
	suffix         string
}

// Parse parses a template. The error is a 400 that says what is wrong with it.
func Parse(text string) (*Template, error) {
	if text == "" || text == "*" {
		return &Template{}, nil
	}
	if len(text) > 2*naming.MaxObjectName {
		return nil, apierr.BadRequest("invalid template %q...: longer than %d bytes", text[:32], 2*naming.MaxObjectName)
	}
	t := &Template{Form: Range}
	var why string
	switch {
	case strings.ContainsAny(text, "{}"):
		why = t.parseBash(text)
	case strings.Contains(text, "@"):
		why = t.parseAt(text)
	case strings.Count(text, "%") == 1 && !strings.HasPrefix(text, naming.EscapePrefix):
		why = t.parseFmt(text)
	default:
		t.Form, t.Prefix = Prefix, strings.TrimSuffix(text, "*")
		if _, err := naming.TruePrefix(t.Prefix); err != nil {
			return nil, err
		}
		return t, nil
	}
	if why == "" {
		why = t.check()
	}
	if why != "" {
		return nil, apierr.BadRequest("invalid template %q: %s (expected a list such as obj-{0..9}, obj-@9 or obj-%%06d, or a prefix)", text, why)
	}
	return t, nil
}

// parseBash parses "a{1..10}b{0..9..3}c".
func (t *Template) parseBash(text string) (why string) {
	for {
		literal, rest, found := strings.Cut(text, "{")
		if strings.Contains(literal, "}") {
			return `a "}" has no "{" before it`
		}
		t.literal(literal)
		if !found {
			return ""
		}
		inside, after, closed := strings.Cut(rest, "}")
		switch {
		case !closed:
			return `a "{" has no "}" after it`
		case strings.Contains(inside, "{"):
			return "braces within braces"
		}
		r, why := bashRange(inside)
		if why != "" {
			return why
		}
		t.ranges = append(t.ranges, r)
		text = after
	}
}

// literal takes the text before the first range, or behind the last one.
func (t *Template) literal(text string) {
	if n := len(t.ranges); n > 0 {
		t.ranges[n-1].suffix = text
	} else {
		t.Prefix = text
	}
}

// bashRange parses "from..to" and "from..to..step".
func bashRange(inside string) (r numbers, why string) {
	parts := strings.Split(inside, "..")
	if len(parts) != 2 && len(parts) != 3 {
		return r, `"{` + clip(inside) + `}" is not {from..to} or {from..to..step}`
	}
	var values [3]int64
	values[2] = 1
	for i, part := range parts {
		if values[i], why = number(part); why != "" {
			return r, "{" + clip(inside) + "}: " + why
		}
	}
	r = numbers{from: values[0], to: values[1], step: values[2], width: min(len(parts[0]), len(parts[1]))}
	switch {
	case r.from > r.to:
		return r, "{" + clip(inside) + "}: the range begins behind its end"
	case r.step < 1:
		return r, "{" + clip(inside) + "}: the step must be at least 1"
	}
	return r, ""
}

// parseAt parses "a@100b@09c".
func (t *Template) parseAt(text string) (why string) {
	literal, rest, _ := strings.Cut(text, "@")
	t.literal(literal)
	for {
		digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
		if digits == "" {
			return `an "@" is not followed by a number`
		}
		to, why := number(digits)
		if why != "" {
			return why
		}
		t.ranges = append(t.ranges, numbers{to: to, step: 1, width: len(digits)})
		var found bool
		literal, rest, found = strings.Cut(rest[len(digits):], "@")
		t.literal(literal)
		if !found {
			return ""
		}
	}
}

// parseFmt parses "a%06db".
func (t *Template) parseFmt(text string) (why string) {
	literal, rest, _ := strings.Cut(text, "%")
	width, after, found := strings.Cut(rest, "d")
	r := numbers{to: math.MaxInt64, step: 1, width: 1}
	if width != "" {
		n, why := number(width)
		if why != "" || width[0] != '0' || n < 1 || n > maxDigits || len(width) > 3 {
			found = false
		}
		r.width = int(n)
	}
	if !found {
		return `a "%" is not followed by "d" or "0<width>d"`
	}
	t.literal(literal)
	t.ranges = append(t.ranges, r)
	t.literal(after)
	return ""
}

// number parses decimal digits.
func number(text string) (n int64, why string) {
	switch {
	case text == "" || strings.Trim(text, "0123456789") != "":
		return 0, `"` + clip(text) + `" is not a number`
	case len(strings.TrimLeft(text, "0")) > maxDigits:
		return 0, `"` + clip(text) + `" has more than ` + strconv.Itoa(maxDigits) + " digits"
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, `"` + clip(text) + `" is not a number`
	}
	return n, ""
}

func clip(text string) string { return text[:min(len(text), 40)] }

// check looks at the names as a whole.
func (t *Template) check() (why string) {
	for _, component := range strings.Split(t.Prefix, "/") {
		if component == "." || component == ".." {
			return `the text before the first range has a component "` + component + `"`
		}
	}
	length := len(t.Prefix)
	for _, r := range t.ranges {
		length += max(r.width, len(strconv.FormatInt(r.to, 10))) + len(r.suffix)
	}
	if t.Bounded() && length > naming.MaxObjectName {
		return "its names are longer than " + strconv.Itoa(naming.MaxObjectName) + " bytes"
	}
	return ""
}

// Bounded tells that a range has an end.
func (t *Template) Bounded() bool {
	for _, r := range t.ranges {
		if r.to == math.MaxInt64 {
			return false
		}
	}
	return true
}

// Count is how many names a range stands for; math.MaxInt64 also means more.
func (t *Template) Count() int64 {
	if len(t.ranges) == 0 {
		return 0
	}
	total := int64(1)
	for _, r := range t.ranges {
		n := (r.to-r.from)/r.step + 1
		if n <= 0 || total > math.MaxInt64/n {
			return math.MaxInt64
		}
		total *= n
	}
	return total
}

// Names goes through the names of a range, in order, in memory that does not
// depend on how many they are.
func (t *Template) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		if len(t.ranges) == 0 {
			return
		}
		at := make([]int64, len(t.ranges))
		for i, r := range t.ranges {
			at[i] = r.from
		}
		var name []byte
		for {
			name = append(name[:0], t.Prefix...)
			for i := range t.ranges {
				name = t.ranges[i].append(name, at[i])
			}
			if !yield(string(name)) || !t.advance(at) {
				return
			}
		}
	}
}

// advance moves to the next combination; false behind the last.
func (t *Template) advance(at []int64) bool {
	for i := len(at) - 1; i >= 0; i-- {
		r := &t.ranges[i]
		if at[i] <= r.to-r.step {
			at[i] += r.step
			return true
		}
		at[i] = r.from
	}
	return false
}

// append appends a number, padded, and what follows it.
func (r *numbers) append(dst []byte, n int64) []byte {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], n, 10)
	for i := len(text); i < r.width; i++ {
		dst = append(dst, '0')
	}
	return append(append(dst, text...), r.suffix...)
}
