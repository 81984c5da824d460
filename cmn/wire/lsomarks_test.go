package wire_test

import (
	"bytes"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
)

// FuzzSetMarks: marks are as many as entries, and are written as they were read.
func FuzzSetMarks(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add(bytes.Repeat([]byte{1}, 25), uint8(1))
	f.Add(bytes.Repeat([]byte{0}, 50), uint8(2))
	f.Add(bytes.Repeat([]byte{2}, 26), uint8(1))
	f.Add([]byte{1}, uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, entries uint8) {
		page := wire.LsoPage{Entries: make([]wire.LsoEntry, entries)}
		if err := page.SetMarks(data); err != nil {
			for i := range page.Entries {
				if page.Entries[i].Mark != nil {
					t.Fatal("marked in spite of an error")
				}
			}
			return
		}
		marks := page.AppendMarks(nil)
		again := wire.LsoPage{Entries: make([]wire.LsoEntry, entries)}
		if err := again.SetMarks(marks); err != nil || len(marks) != len(data) {
			t.Fatalf("%d bytes of %d, %v", len(marks), len(data), err)
		}
		for i := range page.Entries {
			if *again.Entries[i].Mark != *page.Entries[i].Mark {
				t.Fatalf("%+v, again %+v", page.Entries[i].Mark, again.Entries[i].Mark)
			}
		}
	})
}
