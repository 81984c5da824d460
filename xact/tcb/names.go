package tcb

import (
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Names says which name a copy gets: the extension is replaced, then something
// is put before it.
type Names struct {
	prepend string
	ext     map[string]string
}

// NewNames reads the part of a message that is about names.
func NewNames(msg *wire.CopyBucketMsg) (*Names, error) {
	prepend, err := naming.TruePrefix(msg.Prepend)
	if err != nil {
		return nil, apierr.BadRequest(`invalid "prepend": %v`, err)
	}
	n := &Names{prepend: prepend}
	for from, to := range msg.Ext {
		from, to = strings.TrimLeft(from, "."), strings.TrimLeft(to, ".")
		if from == "" || to == "" || strings.ContainsAny(from+to, "/") {
			return nil, apierr.BadRequest(`invalid "ext": %q to %q (expected extensions such as "jpg": "png")`, from, to)
		}
		if n.ext == nil {
			n.ext = map[string]string{}
		}
		n.ext[from] = to
	}
	return n, nil
}

// Of returns the true name of the copy of an object.
func (n *Names) Of(name string) string {
	if dot := strings.LastIndexByte(name, '.'); dot > strings.LastIndexByte(name, '/') && n.ext != nil {
		if to, ok := n.ext[name[dot+1:]]; ok {
			name = name[:dot+1] + to
		}
	}
	return n.prepend + name
}

// Same tells that copies have the names of their sources.
func (n *Names) Same() bool { return n.prepend == "" && len(n.ext) == 0 }

// within tells that, in one bucket, copies of names with a prefix have that
// prefix as well: they would be copied again, and again.
func (n *Names) within(prefix string) bool {
	return n.prepend != "" && strings.HasPrefix(n.prepend+prefix, prefix)
}
