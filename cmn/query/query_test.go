package query_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

func parse(t *testing.T, raw string) query.Values {
	t.Helper()
	v, err := query.Parse(raw)
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return v
}

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title, raw string
		want       [][2]string
	}{
		{"empty", "", nil},
		{"one", "a=b", [][2]string{{"a", "b"}}},
		{"order and repetition", "b=1&a=2&b=3", [][2]string{{"b", "1"}, {"a", "2"}, {"b", "3"}}},
		{"no value", "a&b=", [][2]string{{"a", ""}, {"b", ""}}},
		{"empty items", "&&a=1&", [][2]string{{"a", "1"}}},
		{"form escapes", "archpath=x+y%2Fz%2B&k%65y=v", [][2]string{{"archpath", "x y/z+"}, {"key", "v"}}},
		{"equals sign in a value", "a=b=c", [][2]string{{"a", "b=c"}}},
		{"semicolon is text", "a=b;c=d", [][2]string{{"a", "b;c=d"}}},
		{"verbatim", "provider=%zz&etl_name=a+b&append_type=%41&uploads=%&partNumber=%1&presence=%&set-new-custom=%&tid=%",
			[][2]string{{"provider", "%zz"}, {"etl_name", "a+b"}, {"append_type", "%41"}, {"uploads", "%"}, {"partNumber", "%1"}, {"presence", "%"}, {"set-new-custom", "%"}, {"tid", "%"}}},
		{"of S3 signatures", "X-Amz-Date=%zz&AWSAccessKeyId=%&Expires=%&Signature=a%2Fb&x-id=%&dont_head_remote_bck=true",
			[][2]string{{"X-Amz-Date", "%zz"}, {"AWSAccessKeyId", "%"}, {"Expires", "%"}, {"Signature", "a%2Fb"}, {"x-id", "%"}, {"dont_head_remote_bck", "true"}}},
		{"more than fit inline", "a=1&b=2&c=3&d=4&e=5&f=6&g=7&h=8",
			[][2]string{{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}, {"e", "5"}, {"f", "6"}, {"g", "7"}, {"h", "8"}}},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			v := parse(t, tt.raw)
			var have [][2]string
			for key, value := range v.All() {
				have = append(have, [2]string{key, value})
			}
			if fmt.Sprint(have) != fmt.Sprint(tt.want) || v.Len() != len(tt.want) {
				t.Fatalf("have %q, want %q", have, tt.want)
			}
			for _, p := range tt.want {
				if !v.Has(p[0]) {
					t.Errorf("%q is missing", p[0])
				}
			}
		})
	}
}

func TestFirstValueWins(t *testing.T) {
	t.Parallel()
	v := parse(t, "a=1&a=2")
	if v.Get("a") != "1" || v.Get("b") != "" || v.Has("b") {
		t.Fatalf("have %q and %q", v.Get("a"), v.Get("b"))
	}
	v = parse(t, "1&2&3&4&5&6&7=x&8=y")
	if v.Get("7") != "x" || v.Get("8") != "y" {
		t.Fatal("parameters behind the inline ones are lost")
	}
	for key := range v.All() { // an iteration may end early, in both parts
		if key == "1" {
			break
		}
	}
	for key := range v.All() {
		if key == "7" {
			break
		}
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	hundred := strings.Repeat("a=b&", 100)
	tests := []struct{ title, raw, text string }{
		{"bad escape", "archpath=%zz", `dpq: 'archpath=%zz', err: invalid URL escape "%zz"`},
		{"bad escape in the key", "a%z=1", `dpq: 'a%z=1', err: invalid URL escape "%z"`},
		{"cut escape", "x=%4", `dpq: 'x=%4', err: invalid URL escape "%4"`},
		{"too many", hundred + "c=d", "too many query parameters: more than 100"},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			_, err := query.Parse(tt.raw)
			if err == nil || err.Error() != tt.text || apierr.StatusOf(err) != 400 {
				t.Fatalf("have %v, want 400 %s", err, tt.text)
			}
		})
	}
	if v := parse(t, hundred); v.Len() != 100 {
		t.Fatal("a hundred parameters are legal")
	}
	if _, err := query.Parse("a=%" + strings.Repeat("z", 1<<20)); len(err.Error()) > 400 {
		t.Fatal("the error repeats too much")
	}
}

func TestParseBool(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"true", "1", "t", "T", "TRUE", "True", "y", "yes", "on"} {
		if !query.ParseBool(s) {
			t.Errorf("%q is true", s)
		}
	}
	for _, s := range []string{"", "false", "0", "f", "no", "off", "tRuE", "YES", "Y", "2", " true"} {
		if query.ParseBool(s) {
			t.Errorf("%q is false", s)
		}
	}
	v := parse(t, "force=True&sys=no")
	if !v.Bool("force") || v.Bool("sys") || v.Bool("absent") {
		t.Error("Bool is wrong")
	}
}

func TestBck(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title, raw string
		want       wire.Bck
	}{
		{"nothing", "", wire.Bck{Name: "b", Provider: "ais"}},
		{"empty provider", "provider=&namespace=", wire.Bck{Name: "b", Provider: "ais"}},
		{"alias", "provider=s3", wire.Bck{Name: "b", Provider: "aws"}},
		{"global namespace", "namespace=%40%23&provider=ais", wire.Bck{Name: "b", Provider: "ais"}},
		{"lone at sign", "namespace=@", wire.Bck{Name: "b", Provider: "ais"}},
		{"local namespace", "namespace=%40%23ns1", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{Name: "ns1"}}},
		{"without the at sign", "namespace=%23ns1", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{Name: "ns1"}}},
		{"bare word is a cluster", "namespace=ns1", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{UUID: "ns1"}}},
		{"both", "namespace=%40uuid%23ns1", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{UUID: "uuid", Name: "ns1"}}},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			v := parse(t, tt.raw)
			have, err := v.Bck("b")
			if err != nil || have != tt.want {
				t.Fatalf("have %+v %v, want %+v", have, err, tt.want)
			}
		})
	}
}

func TestBckErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ title, raw, name, code, text string }{
		{"provider", "provider=abc", "b", wire.CodeInvalidProvider, `invalid backend provider "abc"`},
		{"provider in capitals", "provider=AIS", "b", wire.CodeInvalidProvider, `invalid backend provider "AIS"`},
		{"name", "", "a*b", "", "bucket name is invalid: may only contain"},
		{"no name", "", "", "", "bucket name is missing"},
		{"namespace", "namespace=%40%23a%2Fb", "b", "", "namespace name is invalid"},
		{"all remote clusters", "namespace=%40%40%23", "b", "", "namespace UUID is invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			v := parse(t, tt.raw)
			b, err := v.Bck(tt.name)
			if apierr.StatusOf(err) != 400 || apierr.CodeOf(err) != tt.code || !strings.HasPrefix(err.Error(), tt.text) || b != (wire.Bck{}) {
				t.Fatalf("have %v %v", b, err)
			}
		})
	}
}

func TestBckQuery(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title, raw string
		want       wire.Bck
		bad        bool
	}{
		{"all", "", wire.Bck{}, false},
		{"alias", "provider=gs", wire.Bck{Provider: "gcp"}, false},
		{"any remote", "provider=ais&namespace=%40%40%23", wire.Bck{Provider: "ais", Ns: wire.Ns{UUID: "@"}}, false},
		{"local", "namespace=%23x", wire.Bck{Ns: wire.Ns{Name: "x"}}, false},
		{"bad provider", "provider=zz", wire.Bck{}, true},
		{"bad namespace", "namespace=a%2Fb", wire.Bck{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			v := parse(t, tt.raw)
			have, err := v.BckQuery()
			if (err != nil) != tt.bad || have != tt.want {
				t.Fatalf("have %+v %v", have, err)
			}
		})
	}
}

// FuzzParse compares with net/url wherever both accept and unescape alike.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a=b&c", "provider=%zz", "a=%zz", "a=+%20", "&=&", strings.Repeat("x&", 101), "namespace=%40%23ns1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		v, err := query.Parse(raw)
		if err != nil {
			if apierr.StatusOf(err) != 400 {
				t.Fatalf("status of %v", err)
			}
			return
		}
		count := 0
		for key := range v.All() {
			count++
			if !v.Has(key) {
				t.Fatalf("%q is not found", key)
			}
		}
		if count != v.Len() || count > query.MaxParams {
			t.Fatalf("%d parameters, Len %d", count, v.Len())
		}
		if b, err := v.Bck("b"); err == nil {
			again, err := query.Parse("provider=" + b.Provider + "&namespace=" + url.QueryEscape(b.Ns.Uname()))
			if err != nil {
				t.Fatal(err)
			}
			if same, err := again.Bck("b"); err != nil || same != b {
				t.Fatalf("%+v does not round-trip: %+v %v", b, same, err)
			}
		}
		if strings.Contains(raw, ";") {
			return
		}
		other, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		for _, key := range []string{"a", "archpath", "namespace"} {
			if v.Get(key) != other.Get(key) {
				t.Fatalf("%q of %q: have %q, net/url %q", key, raw, v.Get(key), other.Get(key))
			}
		}
	})
}

func BenchmarkParseAndBck(b *testing.B) {
	queries := map[string]string{
		"redirected": "provider=ais&namespace=&pid=abcp8080&utm=dfhsdjkfh2jkh&vpams=1a",
		"namespace":  "provider=ais&namespace=%40%23ns1&pid=abcp8080&utm=dfhsdjkfh2jkh",
	}
	for name, raw := range queries {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v, err := query.Parse(raw)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := v.Bck("bucket"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
