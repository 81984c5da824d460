package uri

import (
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, provider string
		want           URI
		fails          string
	}{
		{text: "ais://b", want: URI{Bucket: wire.Bck{Provider: "ais", Name: "b"}}},
		{text: "ais://b/", want: URI{Bucket: wire.Bck{Provider: "ais", Name: "b"}, Slash: true}},
		{text: "ais://b/o", want: URI{Bucket: wire.Bck{Provider: "ais", Name: "b"}, Object: "o"}},
		{text: "ais://b/dir/o x?#%", want: URI{Bucket: wire.Bck{Provider: "ais", Name: "b"}, Object: "dir/o x?#%"}},
		{text: "ais://b//o", want: URI{Bucket: wire.Bck{Provider: "ais", Name: "b"}, Object: "/o"}},
		{text: "ais://b/a://c", want: URI{Bucket: wire.Bck{Provider: "ais", Name: "b"}, Object: "a://c"}},
		{text: "s3://b", want: URI{Bucket: wire.Bck{Provider: "aws", Name: "b"}}},
		{text: "az://b", want: URI{Bucket: wire.Bck{Provider: "azure", Name: "b"}}},
		{text: "ais://#ns/b/o", want: URI{Bucket: wire.Bck{Provider: "ais", Name: "b", Ns: wire.Ns{Name: "ns"}}, Object: "o"}},
		{text: "ais://@u1/b", want: URI{Bucket: wire.Bck{Provider: "ais", Name: "b", Ns: wire.Ns{UUID: "u1"}}}},
		{text: "ais://@u1#ns/b", want: URI{Bucket: wire.Bck{Provider: "ais", Name: "b", Ns: wire.Ns{UUID: "u1", Name: "ns"}}}},
		{text: "b/o", provider: "ais", want: URI{Bucket: wire.Bck{Provider: "ais", Name: "b"}, Object: "o"}},
		{text: "b", fails: "missing backend provider"},
		{text: "cloud://b", fails: `invalid backend provider "cloud"`},
		{text: "ht://b", fails: `invalid backend provider "ht"`},
		{text: "://b", fails: "invalid backend provider"},
		{text: "ais://", fails: "bucket name is missing"},
		{text: "ais://b*d", fails: "may only contain"},
		{text: "ais://a..b", fails: "dots"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(tt.text, tt.provider)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Fatalf("error %v, want one with %q", err, tt.fails)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Fatalf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func TestParseQuery(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]URI{
		"":          {},
		"s3":        {Bucket: wire.Bck{Provider: "aws"}},
		"s3:":       {Bucket: wire.Bck{Provider: "aws"}},
		"s3://":     {Bucket: wire.Bck{Provider: "aws"}},
		"ais":       {Bucket: wire.Bck{Provider: "ais"}},
		"ais://@":   {Bucket: wire.Bck{Provider: "ais", Ns: wire.Ns{UUID: "@"}}},
		"ais://@al": {Bucket: wire.Bck{Provider: "ais", Ns: wire.Ns{UUID: "al"}}},
		"ais://#ns": {Bucket: wire.Bck{Provider: "ais", Ns: wire.Ns{Name: "ns"}}},
		"ais://b/p": {Bucket: wire.Bck{Provider: "ais", Name: "b"}, Object: "p"},
	} {
		if got, err := ParseQuery(text, ""); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestParseBucketAndObject(t *testing.T) {
	t.Parallel()
	if _, err := ParseBucket("ais://b/o", ""); err == nil || !strings.Contains(err.Error(), "unexpected object name") {
		t.Errorf("ParseBucket of an object: %v", err)
	}
	if _, err := ParseObject("ais://b", ""); err == nil || !strings.Contains(err.Error(), "missing object name") {
		t.Errorf("ParseObject of a bucket: %v", err)
	}
}

// FuzzParse checks that a name that was accepted reads back as itself.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"ais://b/o", "s3://@u#n/b/x/y", "ais://#/b", "b", "", "ais:///x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := Parse(text, "")
		if err != nil {
			return
		}
		again, err := Parse(u.String(), "")
		if err != nil || again.Bucket != u.Bucket || again.Object != u.Object {
			t.Fatalf("%q: %+v reads back as %+v, %v", text, u, again, err)
		}
	})
}
