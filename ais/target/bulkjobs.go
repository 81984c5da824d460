package target

import (
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/listing"
	"github.com/aistore-go/aistore/xact/rechunk"
)

// bulkJobs are the jobs that show listings, and that store objects in other chunks.
func bulkJobs(objects clusterObjects) []xact.Registration {
	return []xact.Registration{listing.Registration(), rechunk.Registration(objects)}
}
