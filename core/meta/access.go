package meta

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Access is a set of permissions. In JSON it is a string with the unsigned
// decimal value of the mask; a JSON number is refused.
type Access uint64

// Permissions.
const (
	AccessGet Access = 1 << iota
	AccessHeadObject
	AccessPut
	AccessAppend
	AccessDeleteObject
	AccessMoveObject
	AccessPromote
	AccessUpdateObject
	AccessHeadBucket
	AccessListObjects
	AccessPatch
	AccessSetBucketACL
	AccessListBuckets
	AccessShowCluster
	AccessCreateBucket
	AccessDestroyBucket
	AccessMoveBucket
	AccessAdmin
)

// Sets of permissions on a bucket.
const (
	AccessNone      Access = 0
	AccessReadOnly         = AccessGet | AccessHeadObject | AccessHeadBucket | AccessListObjects
	AccessReadWrite        = AccessReadOnly | AccessPut | AccessAppend | AccessDeleteObject | AccessMoveObject
	AccessAll       Access = 1<<64 - 1

	// accessAlways is granted on every bucket whatever its mask says, so that
	// a bucket can always be read and its mask be changed back.
	accessAlways = AccessReadOnly | AccessPatch | AccessSetBucketACL
)

var accessNames = [...]string{
	"GET", "HEAD-OBJECT", "PUT", "APPEND", "DELETE-OBJECT", "MOVE-OBJECT", "PROMOTE", "UPDATE-OBJECT",
	"HEAD-BUCKET", "LIST-OBJECTS", "PATCH", "SET-BUCKET-ACL", "LIST-BUCKETS", "SHOW-CLUSTER",
	"CREATE-BUCKET", "DESTROY-BUCKET", "MOVE-BUCKET", "ADMIN",
}

// Has tells that all permissions of want are set.
func (a Access) Has(want Access) bool { return a&want == want }

// Allows is Has for a bucket without client authentication: what reads, PATCH
// and SET-BUCKET-ACL need is always allowed.
func (a Access) Allows(want Access) bool { return (a | accessAlways).Has(want) }

// Names returns the names of the permissions that are set, by ascending bit.
func (a Access) Names() []string {
	var set []string
	for i, name := range accessNames {
		if a&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	return set
}

// Describe is the list of names as it stands in messages: "GET,PUT".
func (a Access) Describe() string { return strings.Join(a.Names(), ",") }

// String is the decimal form.
func (a Access) String() string { return strconv.FormatUint(uint64(a), 10) }

// ParseAccess reads the decimal form, one of the aliases "ro", "rw" and "su",
// or names separated by commas. The error is a 400.
func ParseAccess(text string) (Access, error) {
	switch text {
	case "":
		return AccessNone, nil
	case "ro":
		return AccessReadOnly, nil
	case "rw":
		return AccessReadWrite, nil
	case "su":
		return AccessAll, nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return Access(n), nil
	}
	var set Access
next:
	for word := range strings.SplitSeq(text, ",") {
		for i, name := range accessNames {
			if strings.EqualFold(strings.TrimSpace(word), name) {
				set |= 1 << i
				continue next
			}
		}
		return 0, apierr.BadRequest("invalid access %q (expecting an unsigned decimal number, ro, rw, su, or names of %s)",
			clipText(text), strings.Join(accessNames[:], ","))
	}
	return set, nil
}

// MarshalJSON writes the decimal form as a JSON string.
func (a Access) MarshalJSON() ([]byte, error) { return []byte(`"` + a.String() + `"`), nil }

// UnmarshalJSON reads a JSON string with the decimal form.
func (a *Access) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return apierr.BadRequest(`invalid access %s (expecting a JSON string such as "831")`, clipText(string(data)))
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return apierr.BadRequest("invalid access %q (expecting an unsigned decimal number)", clipText(text))
	}
	*a = Access(n)
	return nil
}

// UnmarshalText reads the same text as ParseAccess.
func (a *Access) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAccess(string(text))
	return err
}

// clipText shortens a text from outside for a message.
func clipText(text string) string {
	if len(text) > 64 {
		return text[:64] + "..."
	}
	return text
}
