package fs

import "testing"

func TestDoubtsEnd(t *testing.T) {
	t.Parallel()
	var fsys Filesystem
	d := &fsys.doubts
	if mark := d.mark(); mark != 0 {
		t.Fatalf("mark %d without doubts", mark)
	}
	d.add("/a", "/b")
	mark := d.mark()
	d.add("/b")
	d.settle(map[string]struct{}{"/a": {}, "/b": {}}, mark)
	if fsys.Doubtful("/a") || !fsys.Doubtful("/b") {
		t.Error("the flush of a directory settles it, unless a doubt came after it began")
	}
	mark = d.mark()
	d.add("/c")
	d.settleAll(mark)
	if !fsys.Doubtful("/b") || !fsys.Doubtful("/c") {
		t.Error("a doubt that came after the flush began is gone")
	}
	for i := range maxDoubtfulDirs + 1 {
		d.add("/many/" + string(rune('a'+i%26)) + string(rune(i)))
	}
	if !fsys.Doubtful("/any") {
		t.Error("too many to be kept: all are doubtful")
	}
	d.settleAll(d.mark())
	if fsys.Doubtful("/any") || fsys.Doubtful("/b") {
		t.Error("a flush of everything leaves doubts")
	}
}
