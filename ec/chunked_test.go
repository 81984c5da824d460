package ec

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// upload stores an object at its owner in parts.
func (c *testCluster) upload(name string, content []byte, parts int) core.Attrs {
	c.tb.Helper()
	ctx := context.Background()
	store, custom := c.owner(name).store, []core.KV{{Key: "k", Value: name}}
	id, err := store.CreateUpload(ctx, c.key(name), core.CreateOptions{Custom: custom})
	if err != nil {
		c.tb.Fatal(err)
	}
	var of []core.CompletePart
	for i := range parts {
		part := content[i*len(content)/parts : (i+1)*len(content)/parts]
		if _, err := store.PutPart(ctx, c.key(name), id, i+1, bytes.NewReader(part), core.PartOptions{Size: int64(len(part))}); err != nil {
			c.tb.Fatal(err)
		}
		of = append(of, core.CompletePart{Number: i + 1})
	}
	attrs, err := store.CompleteUpload(ctx, c.key(name), id, core.CompleteOptions{Listed: true, Parts: of, Put: core.PutOptions{Custom: custom}})
	if err != nil {
		c.tb.Fatal(err)
	}
	return attrs
}

// TestObjectsInChunks: objects that were uploaded in parts, or lie in chunks since they
// are large, are encoded; they are read, and are there again with all their attributes,
// whichever two targets lose their disks; rebuilt they lie as the bucket's settings have it.
func TestObjectsInChunks(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{true, false} {
		c := newCluster(t, 7, 2, 2, func(props *meta.Bprops) {
			if chunked {
				props.Chunks.MaxMonolithicSize, props.Chunks.ChunkSize = 100_000, 40_000
			}
		})
		var all []stored
		for i, size := range []int{700, 90_000, 300_001} {
			o := stored{name: fmt.Sprintf("upload/%d", i), content: randomContent(byte(i), size)}
			o.attrs = c.upload(o.name, o.content, 3)
			if o.attrs.Chunks < 3 {
				t.Fatalf("an upload of three parts: %+v", o.attrs)
			}
			all = append(all, o)
			o = stored{name: fmt.Sprintf("put/%d", i), content: randomContent(byte(10+i), size)}
			o.attrs = c.put(o.name, o.content)
			all = append(all, o)
		}
		c.settle()
		c.checkWhole(all)
		ids := slices.Sorted(slices.Values(c.order("")))
		for i, a := range ids {
			b := ids[(i+1+i%3)%len(ids)]
			c.wipe(a)
			c.wipe(b)
			for _, o := range all {
				owner := c.order(o.name)[0]
				c.mustGet(o.name, o.content, o.attrs)
				if owner != a && owner != b {
					continue
				}
				_, now, err := c.owner(o.name).get(o.name)
				if large := chunked && len(o.content) > 100_000; err != nil || (now.Chunks > 0) != large {
					t.Errorf("%s was rebuilt in %d chunks, %v", o.name, now.Chunks, err)
				}
			}
			c.settle()
			c.recoverAll()
			c.checkWhole(all)
		}
	}
}
