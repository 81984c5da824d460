package meta

import (
	"crypto/rand"
)

// Lengths of identifiers.
const (
	clusterUUIDLen = 9
	jobIDLen       = 9
	nodeIDLen      = 8
	testIDRandom   = 3
)

const (
	letters      = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alphanumeric = letters + "0123456789"
	idAlphabet   = alphanumeric + "_-"
)

// NewID returns a random identifier of n >= 2 characters that starts with a
// letter, ends alphanumeric and has letters, digits, "_" and "-" between.
func NewID(n int) string {
	id := make([]byte, max(n, 2))
	id[0] = pick(letters)
	for i := 1; i < len(id)-1; i++ {
		id[i] = pick(idAlphabet)
	}
	id[len(id)-1] = pick(alphanumeric)
	return string(id)
}

// NewClusterUUID returns the UUID of a new cluster.
func NewClusterUUID() string { return NewID(clusterUUIDLen) }

// NewLineage returns the id of a new history of a cluster.
func NewLineage() string { return NewID(clusterUUIDLen) }

// NewJobID returns the id of a job or of a listing.
func NewJobID() string { return NewID(jobIDLen) }

// NewNodeID returns a node id of 8 letters and digits.
func NewNodeID() string { return randomAlphanumeric(nodeIDLen) }

// NewTestNodeID returns a node id for a test environment, which shows the
// node's role and port: "vWcp8080", "aXbt8083".
func NewTestNodeID(role, port string) string {
	mark := "t"
	if role == RoleProxy {
		mark = "p"
	}
	return randomAlphanumeric(max(testIDRandom, nodeIDLen-1-len(port))) + mark + port
}

func randomAlphanumeric(n int) string {
	id := make([]byte, n)
	for i := range id {
		id[i] = pick(alphanumeric)
	}
	return string(id)
}

// pick returns a random byte of a set of at most 64, each equally likely.
func pick(set string) byte {
	var b [1]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if i := int(b[0] & 63); i < len(set) {
			return set[i]
		}
	}
}
