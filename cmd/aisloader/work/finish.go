package work

import (
	"context"
	"fmt"
	"io"

	"github.com/aistore-go/aistore/cmn/wire"
)

// CheckMultipart counts the chunked objects of the bucket and warns if they
// are not those that the run uploaded. Objects of earlier runs count, too: the
// warning is then expected.
func (l *Load) CheckMultipart(ctx context.Context, uploaded int64, out io.Writer) error {
	found := int64(0)
	for entry, err := range l.session.Client.Objects(ctx, l.p.Bucket, wire.LsoMsg{Props: "chunked"}) {
		if err != nil {
			return err
		}
		if entry.Flags&wire.EntryIsChunked != 0 {
			found++
		}
	}
	if found != uploaded {
		fmt.Fprintf(out, "Warning: Expected %d chunked objects but found %d\n", uploaded, found)
	}
	return nil
}
