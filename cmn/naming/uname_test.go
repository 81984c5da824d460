package naming_test

import (
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
)

func TestParseUname(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title, uname string
		bck          wire.Bck
		object       string
		code, text   string
	}{
		{"global namespace", "ais/@#/b/o", wire.Bck{Name: "b", Provider: "ais"}, "o", "", ""},
		{"slashes belong to the object", "ais/@#/b/d//e/f", wire.Bck{Name: "b", Provider: "ais"}, "d//e/f", "", ""},
		{"local namespace", "ais/@#ns/b/o", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{Name: "ns"}}, "o", "", ""},
		{"remote cluster", "ais/@uuid1#ns/b/o", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{UUID: "uuid1", Name: "ns"}}, "o", "", ""},
		{"cloud, by its alias", "s3/@#/b/o", wire.Bck{Name: "b", Provider: "aws"}, "o", "", ""},
		{"no provider", "/@#/b/o", wire.Bck{Name: "b", Provider: "ais"}, "o", "", ""},
		{"an escaped name", "ais/@#/b/~x/a%2F", wire.Bck{Name: "b", Provider: "ais"}, "a/", "", ""},
		{"a name alone", "o", wire.Bck{}, "", "", `parse-uname "o": bucket name is missing`},
		{"nothing", "", wire.Bck{}, "", "", `parse-uname "": bucket name is missing`},
		{"no bucket", "ais/@#//o", wire.Bck{}, "", "", `parse-uname "ais/@#//o": bucket name is missing`},
		{"bucket only", "ais/@#/b/", wire.Bck{}, "", "", `parse-uname "ais/@#/b/": missing object name in "ais://b"`},
		{"no slash after the bucket", "ais/@#/b", wire.Bck{}, "", "", `parse-uname "ais/@#/b": missing object name in "ais://b"`},
		{"provider", "ftp/@#/b/o", wire.Bck{}, "", wire.CodeInvalidProvider, `invalid backend provider "ftp"`},
		{"bucket name", "ais/@#/b$/o", wire.Bck{}, "", "", "bucket name is invalid"},
		{"namespace name", "ais/@#n$/b/o", wire.Bck{}, "", "", "namespace name is invalid"},
		{"no namespace", "ais/b/d/o", wire.Bck{}, "", "", `parse-uname "ais/b/d/o": invalid namespace "b"`},
		{"object name", "ais/@#/b/a/../c", wire.Bck{}, "", wire.CodeInvalidPath, `invalid object name "a/../c"`},
		{"object name with a slash at its end", "ais/@#/b/a/", wire.Bck{}, "", wire.CodeInvalidPath, `invalid object name "a/"`},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			b, object, err := naming.ParseUname(tt.uname)
			wantError(t, err, tt.code, tt.text)
			if b != tt.bck || object != tt.object {
				t.Errorf("%+v %q", b, object)
			}
		})
	}
}

// FuzzUname: what is accepted is a legal name whose unique name reads back as
// the same, and canonical names come back as they were.
func FuzzUname(f *testing.F) {
	for _, seed := range []string{"ais/@#/b/o", "aws/@#/data/train/0001.tar", "ais/@u-1#n/b/x//y", "/@#/b/o", "a/b/c/d", "///", "ais/@#/b/\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uname string) {
		b, object, err := naming.ParseUname(uname)
		if err != nil {
			return
		}
		if naming.ValidateBucket(b) != nil || naming.ValidateTrue(object) != nil {
			t.Fatalf("%q gives %+v %q", uname, b, object)
		}
		native := naming.Native(object)
		again, name, err := naming.ParseUname(b.Uname(native))
		if err != nil || again != b || name != object {
			t.Fatalf("%q reads back as %+v %q: %v", b.Uname(native), again, name, err)
		}
		if !strings.HasSuffix(uname, "/"+b.Name+"/"+native) {
			t.Fatalf("%q gives the name %q", uname, object)
		}
	})
}

func TestParseBucket(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"b": "ais://b", "ais://b": "ais://b", "b/": "ais://b", "s3://b-1": "s3://b-1", "aws://b": "s3://b", "ais://#ns/b": "ais://#ns/b",
		"@uuid1#ns/b": "ais://@uuid1#ns/b", "ais://.sys-inventory": "ais://.sys-inventory",
		"": "bucket name is missing", "ais://": "bucket name is missing", "://b": "invalid backend provider", "ftp://b": "invalid backend provider",
		"ais://b/o": "bucket name is invalid", "ns/b": "bucket name is invalid", "b c": "bucket name is invalid", "ais://#n$/b": "namespace name is invalid",
	} {
		b, err := naming.ParseBucket(text)
		if got := b.String(); err == nil && got != want || err != nil && (apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
}

// FuzzParseBucket: what is accepted is valid and is read again as the same.
func FuzzParseBucket(f *testing.F) {
	for _, seed := range []string{"b", "ais://#ns/b", "s3://@u#/x", "://", "@/#//", "gs://b/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := naming.ParseBucket(text)
		if err != nil {
			if apierr.StatusOf(err) != 400 {
				t.Fatal(err)
			}
			return
		}
		again, err := naming.ParseBucket(b.String())
		if naming.ValidateBucket(b) != nil || err != nil || again != b {
			t.Fatalf("%q is %+v, which is %+v again: %v", text, b, again, err)
		}
	})
}

func TestParseBucketUname(t *testing.T) {
	t.Parallel()
	for uname, want := range map[string]string{
		"ais/@#/b/": "ais://b", "ais/@#/b": "ais://b", "/@#/b": "ais://b", "s3/@#n/b/": "s3://#n/b", "ais/@u#n/b/": "ais://@u#n/b",
	} {
		if b, err := naming.ParseBucketUname(uname); err != nil || b.String() != want {
			t.Errorf("%q: %v, %v", uname, b, err)
		}
	}
	for uname, text := range map[string]string{
		"": "bucket name is missing", "b": "bucket name is missing", "ais/@#/": "bucket name is missing", "ais/b/": "bucket name is missing",
		"ais/@#/b/o": "not of the object", "ais/#/b/": "invalid namespace", "x/@#/b/": "provider", "ais/@#/b*/": "bucket name is invalid",
	} {
		_, err := naming.ParseBucketUname(uname)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", uname, err)
		}
	}
}
