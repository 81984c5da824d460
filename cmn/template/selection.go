package template

import (
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Selection is the objects that a message selects: a list, the names of
// ranges, or everything below a prefix. It is immutable.
type Selection struct {
	list   []string // true names; nil: by template
	ranges *Template
	prefix string // of true names
	shown  string // the prefix in native form
}

// Select parses a selection. A list that is not empty wins over the template;
// neither means every object. Names in a list are kept as often as they are
// there. The error is a 400 that says what is wrong.
func Select(l *wire.ListRange) (*Selection, error) {
	if len(l.Names) > 0 {
		list := make([]string, len(l.Names))
		for i, native := range l.Names {
			name, err := naming.True(native)
			if err != nil {
				return nil, apierr.Wrap(err, apierr.StatusOf(err), apierr.CodeOf(err), "objnames[%d]: %v", i, err)
			}
			list[i] = name
		}
		return &Selection{list: list}, nil
	}
	t, err := Parse(l.Template)
	if err != nil {
		return nil, err
	}
	if t.Form == Range {
		if !t.Bounded() {
			return nil, apierr.BadRequest("invalid template %q: it has no end (expected obj-{0..9}, obj-@9 or a prefix to select objects)", l.Template)
		}
		return &Selection{ranges: t}, nil
	}
	return SelectPrefix(t.Prefix)
}

// SelectPrefix selects everything whose name begins with a native prefix; a
// "*" at its end is dropped. The error is a 400.
func SelectPrefix(native string) (*Selection, error) {
	native = strings.TrimSuffix(native, "*")
	prefix, err := naming.TruePrefix(native)
	return &Selection{prefix: prefix, shown: native}, err
}

// ByName tells that the selection names objects, in a list or by ranges; else
// it is everything that begins with Prefix.
func (s *Selection) ByName() bool { return s.list != nil || s.ranges != nil }

// Listed tells that the selection is a list: a name that is missing is an
// error, while a range leaves out what does not exist.
func (s *Selection) Listed() bool { return s.list != nil }

// Prefix is what true names begin with, unless ByName.
func (s *Selection) Prefix() string { return s.prefix }

// Names goes through the true names of a list or of ranges, in order.
func (s *Selection) Names() iter.Seq[string] {
	if s.ranges == nil {
		return slices.Values(s.list)
	}
	return func(yield func(string) bool) {
		for native := range s.ranges.Names() {
			name, err := naming.True(native)
			if err != nil {
				continue // nothing can have this name
			}
			if !yield(name) {
				return
			}
		}
	}
}

// String says what is selected, for people.
func (s *Selection) String() string {
	switch {
	case s.list != nil:
		return "list of " + plural(int64(len(s.list)))
	case s.ranges != nil:
		return "range of " + plural(s.ranges.Count())
	case s.shown != "":
		return "prefix " + s.shown
	}
	return "all objects"
}

func plural(n int64) string {
	switch n {
	case 1:
		return "1 name"
	case math.MaxInt64:
		return "uncounted names"
	}
	return strconv.FormatInt(n, 10) + " names"
}
