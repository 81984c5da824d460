package naming

import (
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// ParseUname reads the unique name of an object as clients write it,
// "<provider>/@<uuid>#<namespace>/<bucket>/<object>", the object in its native
// form; it returns the true name. Aliases of providers are accepted, and no
// provider is "ais".
// Errors have status 400: "bucket name is missing" for what has too few parts,
// and what ValidateBucket and True say.
func ParseUname(uname string) (b wire.Bck, object string, err error) {
	if b, object, err = splitUname(uname); err != nil {
		return wire.Bck{}, "", err
	}
	if object == "" {
		return wire.Bck{}, "", apierr.BadRequest("parse-uname %q: missing object name in %q", shorten(uname), b.String())
	}
	if object, err = True(object); err != nil {
		return wire.Bck{}, "", err
	}
	return b, object, nil
}

// ParseBucketUname reads the unique name of a bucket,
// "<provider>/@<uuid>#<namespace>/<bucket>/"; the last slash may be missing.
// Errors are those of ParseUname, and a 400 if an object follows.
func ParseBucketUname(uname string) (wire.Bck, error) {
	b, object, err := splitUname(uname)
	if err != nil {
		return wire.Bck{}, err
	}
	if object != "" {
		return wire.Bck{}, apierr.BadRequest("parse-uname %q: expecting the name of a bucket, not of the object %q", shorten(uname), shorten(object))
	}
	return b, nil
}

// splitUname takes a unique name apart; the object is as it was written.
func splitUname(uname string) (b wire.Bck, object string, err error) {
	parts := strings.SplitN(uname, "/", 4)
	if len(parts) < 3 || parts[2] == "" {
		return b, "", apierr.BadRequest("parse-uname %q: bucket name is missing, expecting provider/@uuid#namespace/bucket/object", shorten(uname))
	}
	b = wire.Bck{Name: parts[2], Ns: wire.ParseNs(parts[1])}
	if b.Provider, err = Provider(parts[0]); err != nil {
		return wire.Bck{}, "", err
	}
	if !strings.HasPrefix(parts[1], "@") {
		return wire.Bck{}, "", apierr.BadRequest("parse-uname %q: invalid namespace %q, expecting \"@uuid#name\", or \"@#\" for the global one",
			shorten(uname), shorten(parts[1]))
	}
	if err := ValidateBucket(b); err != nil {
		return wire.Bck{}, "", err
	}
	if len(parts) == 4 {
		object = parts[3]
	}
	return b, object, nil
}
