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
	if len(parts) < 4 || parts[3] == "" {
		return wire.Bck{}, "", apierr.BadRequest("parse-uname %q: missing object name in %q", shorten(uname), b.String())
	}
	if object, err = True(parts[3]); err != nil {
		return wire.Bck{}, "", err
	}
	return b, object, nil
}
