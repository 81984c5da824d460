package core

import (
	"context"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
)

// CustomETag is the key of custom metadata that holds the ETag under which a
// backend, or a protocol with rules of its own, knows the object.
const CustomETag = "ETag"

// ETag is the entity tag of an object without quotes: the one in its custom
// metadata; else its MD5 if it has one of the whole content and is one file;
// else one made of checksum and write time. It is "" without a checksum.
func (a *Attrs) ETag() string {
	if tag, ok := a.CustomValue(CustomETag); ok && tag != "" {
		return strings.Trim(tag, `"`)
	}
	switch {
	case a.Checksum.IsNone():
		return ""
	case a.Checksum.Type == cksum.MD5 && a.Chunks == 0:
		return a.Checksum.Value
	}
	return "v1-" + a.Checksum.Value + "-" + strconv.FormatInt(a.Mtime, 36)
}

// Conditions are what must hold of a name at the moment when a write takes
// effect, as the headers of HTTP (RFC 9110, section 13.1) say it: "*", or a list
// of entity tags, quoted or not. Empty ones ask for nothing. A write that they
// forbid is a 412 and changes nothing.
type Conditions struct {
	IfMatch     string // the object is one of these; "*": there is one
	IfNoneMatch string // the object is none of these; "*": there is none
}

// any tells that something is asked for.
func (c *Conditions) any() bool { return c.IfMatch != "" || c.IfNoneMatch != "" }

// IfAbsent lets a write take effect only if there is no object.
func IfAbsent() Conditions { return Conditions{IfNoneMatch: "*"} }

// checkConditions compares the conditions of a write with what its name holds,
// here or at an earlier owner. A damaged object is there, and matches no tag.
func (w *write) checkConditions(now *existing) error {
	c, o := &w.opts.Conditions, &w.object
	if !c.any() {
		return nil
	}
	newest := now.newest()
	there := newest != nil && !newest.kind.IsDeleted() || now.damaged != ""
	tag := ""
	switch {
	case w.earlier.newerThan(newest):
		if there = !w.earlier.Kind.IsDeleted(); there {
			tag = w.earlier.Attrs.ETag()
		}
	case there && newest != nil:
		attrs := newest.attrs(o.mp)
		tag = attrs.ETag()
	}
	switch {
	case c.IfMatch != "" && !there:
		return unmet(o, "If-Match", "the object does not exist")
	case c.IfMatch != "" && !matchesTag(c.IfMatch, tag, true):
		return unmet(o, "If-Match", "the object is another one")
	case c.IfNoneMatch != "" && there && matchesTag(c.IfNoneMatch, tag, false):
		return unmet(o, "If-None-Match", "the object exists")
	}
	return nil
}

func unmet(o *object, condition, why string) error {
	return apierr.New(apierr.StatusPreconditionFailed, "", "%s: condition %s is not met: %s", o.Cname(), condition, why)
}

// matchesTag tells whether a list of entity tags holds one. Strong comparison
// takes weak tags for none.
func matchesTag(list, tag string, strong bool) bool {
	if strings.TrimSpace(list) == "*" {
		return true
	}
	if tag == "" {
		return false
	}
	for list != "" {
		var item string
		item, list = cutTag(list)
		if weak := strings.HasPrefix(item, "W/"); weak {
			if strong {
				continue
			}
			item = item[2:]
		}
		if strings.Trim(item, `"`) == tag {
			return true
		}
	}
	return false
}

// cutTag splits the first item off a list; a comma inside quotes is part of it.
func cutTag(list string) (item, rest string) {
	quoted := false
	for i := range len(list) {
		switch list[i] {
		case '"':
			quoted = !quoted
		case ',':
			if !quoted {
				return strings.TrimSpace(list[:i]), list[i+1:]
			}
		}
	}
	return strings.TrimSpace(list), ""
}

// precheck refuses a write whose conditions are not met before its body is
// read; what counts is the check at the commit.
func (w *write) precheck(ctx context.Context) error {
	if !w.opts.Conditions.any() {
		return nil
	}
	if err := w.s.lock(ctx, &w.object, false); err != nil {
		return err
	}
	now, err := w.s.current(&w.object)
	w.s.unlock(&w.object, false)
	if err != nil {
		return err
	}
	return w.checkConditions(&now)
}
