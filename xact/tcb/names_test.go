package tcb

import (
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

func TestNamesOfCopies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		prepend    string
		ext        map[string]string
		name, want string
	}{
		{"", nil, "a/b.jpg", "a/b.jpg"},
		{"abc", nil, "b.jpg", "abcb.jpg"},
		{"abc/", nil, "b.jpg", "abc/b.jpg"},
		{"", map[string]string{"jpg": "png"}, "a/b.jpg", "a/b.png"},
		{"x-", map[string]string{".jpg": ".png"}, "b.jpg", "x-b.png"},
		{"", map[string]string{"jpg": "png"}, "a.jpg/b", "a.jpg/b"},
		{"", map[string]string{"jpg": "png"}, "b.tar.jpg", "b.tar.png"},
		{"", map[string]string{"jpg": "png"}, "jpg", "jpg"},
		{"", map[string]string{"jpg": "png", "png": "jpg"}, "b.png", "b.jpg"},
		{"", map[string]string{"jpg": "tar.gz"}, "b.jpg", "b.tar.gz"},
	} {
		names, err := NewNames(&wire.CopyBucketMsg{Prepend: tc.prepend, Ext: tc.ext})
		if err != nil {
			t.Fatal(err)
		}
		if got := names.Of(tc.name); got != tc.want {
			t.Errorf("%q with %q and %v: %q, want %q", tc.name, tc.prepend, tc.ext, got, tc.want)
		}
	}
	for _, bad := range []wire.CopyBucketMsg{{Prepend: "../x"}, {Ext: map[string]string{"": "x"}}, {Ext: map[string]string{"x": ""}}, {Ext: map[string]string{"x": "a/b"}}} {
		if _, err := NewNames(&bad); apierr.StatusOf(err) != 400 {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestOverlap: in one bucket, copies must not be selected themselves.
func TestOverlap(t *testing.T) {
	t.Parallel()
	b, c := wire.Bck{Name: "b", Provider: "ais"}, wire.Bck{Name: "c", Provider: "ais"}
	for _, tc := range []struct {
		name string
		to   wire.Bck
		msg  wire.CopyBucketMsg
		list *wire.ListRange
		want string // "": allowed
	}{
		{"another bucket", c, wire.CopyBucketMsg{}, nil, ""},
		{"the same", b, wire.CopyBucketMsg{}, nil, "onto itself"},
		{"the same, dry", b, wire.CopyBucketMsg{DryRun: true}, nil, ""},
		{"objects under their names", b, wire.CopyBucketMsg{}, &wire.ListRange{Names: []string{"x"}}, "onto itself"},
		{"objects under other names", b, wire.CopyBucketMsg{Prepend: "p/"}, &wire.ListRange{Names: []string{"x"}}, ""},
		{"range under other names", b, wire.CopyBucketMsg{Prepend: "a"}, &wire.ListRange{Template: "a{1..9}"}, ""},
		{"all under other names", b, wire.CopyBucketMsg{Prepend: "p/"}, &wire.ListRange{}, "overlap"},
		{"prefix to the prefix", b, wire.CopyBucketMsg{Prepend: "a"}, &wire.ListRange{Template: "aa"}, "overlap"},
		{"prefix below itself", b, wire.CopyBucketMsg{Prepend: "a/", Prefix: "a/"}, &wire.ListRange{}, "overlap"},
		{"prefix elsewhere", b, wire.CopyBucketMsg{Prepend: "z/"}, &wire.ListRange{Template: "a/"}, ""},
		{"sync with names that change", c, wire.CopyBucketMsg{Synchronize: true, Ext: map[string]string{"a": "b"}}, nil, "ext"},
	} {
		err := Check(b, tc.to, &tc.msg, tc.list)
		if tc.want == "" && err != nil || tc.want != "" && (apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}
