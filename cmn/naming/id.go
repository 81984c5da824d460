package naming

import "github.com/aistore-go/aistore/cmn/apierr"

// Limits of identifiers, in bytes.
const (
	MinUUID   = 9
	MaxUUID   = 32
	MinNodeID = 8
	MaxNodeID = 32
)

const idAlphabet = "may only contain letters, numbers, dashes (-), and underscores (_), and not begin or end with a dash or underscore"

// ValidateUUID checks the id of a cluster, a job or a listing.
func ValidateUUID(uuid string) error {
	switch {
	case len(uuid) < MinUUID:
		return apierr.BadRequest("UUID %q is too short: %d < %d(min length)", uuid, len(uuid), MinUUID)
	case len(uuid) > MaxUUID:
		return apierr.BadRequest("UUID is too long: %d > %d(max length)", len(uuid), MaxUUID)
	case !isID(uuid):
		return apierr.BadRequest("UUID %q is invalid: %s", uuid, idAlphabet)
	}
	return nil
}

// ValidateNodeID checks the id of a node.
func ValidateNodeID(id string) error {
	switch {
	case id == "":
		return apierr.BadRequest("node ID is missing")
	case len(id) < MinNodeID:
		return apierr.BadRequest("node ID %q is too short: %d < %d(min length)", id, len(id), MinNodeID)
	case len(id) > MaxNodeID:
		return apierr.BadRequest("node ID is too long: %d > %d(max length)", len(id), MaxNodeID)
	case !isID(id):
		return apierr.BadRequest("node ID %q is invalid: %s", id, idAlphabet)
	}
	return nil
}

// isID tells a non-empty string of letters, digits, dashes and underscores
// that begins and ends with a letter or digit.
func isID(s string) bool {
	if s == "" || !isAlphanumeric(s[0]) || !isAlphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
