package naming_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
)

// wantError checks status 400, the type code and the beginning of the message;
// an empty text means no error.
func wantError(t *testing.T, err error, code, text string) {
	t.Helper()
	if text == "" {
		if err != nil {
			t.Fatalf("unexpected error: %v", err)
		}
		return
	}
	var e *apierr.Error
	if !errors.As(err, &e) {
		t.Fatalf("have %v (%T), want an *apierr.Error", err, err)
	}
	if e.Status != 400 || e.Code != code || !strings.HasPrefix(e.Message, text) {
		t.Fatalf("have %d %q %q, want 400 %q %q...", e.Status, e.Code, e.Message, code, text)
	}
}

func TestValidateBucketName(t *testing.T) {
	t.Parallel()
	const invalid = "bucket name is invalid: may only contain letters, numbers, dashes (-), underscores (_), and dots (.)"
	tests := []struct{ title, name, text string }{
		{"one letter", "a", ""},
		{"all kinds", "Ab-1_2.c", ""},
		{"trailing dot", "abc.", ""},
		{"longest", strings.Repeat("x", 64), ""},
		{"inventory", ".sys-inventory", ""},
		{"shard index", ".sys-shardidx", ""},
		{"empty", "", "bucket name is missing"},
		{"too long", strings.Repeat("x", 65), "bucket name is too long: 65 > 64(max length)"},
		{"star", "*", invalid},
		{"blank", " ", invalid},
		{"blanks inside", "bucket and name", invalid},
		{"slash", "bucket/name", invalid},
		{"hash", "#name", invalid},
		{"dollar", "$name", invalid},
		{"tilde", "~name", invalid},
		{"letter beyond ASCII", "b\u00fccket", invalid},
		{"NUL", "a\x00b", invalid},
		{"two dots", "a..b", invalid},
		{"parent", "..", invalid},
		{"dot", ".", `reserved bucket name "."`},
		{"leading dot", ".x", `reserved bucket name ".x" (unknown system bucket)`},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			wantError(t, naming.ValidateBucketName(tt.name), "", tt.text)
			wantError(t, naming.ValidateBucket(wire.Bck{Name: tt.name, Provider: wire.ProviderAIS}), "", tt.text)
		})
	}
}

func TestValidateBucketParts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title string
		b     wire.Bck
		code  string
		text  string
	}{
		{"cloud", wire.Bck{Name: "b", Provider: "aws"}, "", ""},
		{"namespace", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{Name: "ns1"}}, "", ""},
		{"remote", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{UUID: "alias_1-x"}}, "", ""},
		{"alias of a provider", wire.Bck{Name: "b", Provider: "s3"}, wire.CodeInvalidProvider, "invalid backend provider"},
		{"no provider", wire.Bck{Name: "b"}, wire.CodeInvalidProvider, "invalid backend provider"},
		{"unknown provider", wire.Bck{Name: "b", Provider: "ht"}, wire.CodeInvalidProvider, `invalid backend provider "ht"`},
		{"namespace with slash", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{Name: "a/b"}}, "", "namespace name is invalid"},
		{"namespace with dots", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{Name: ".."}}, "", "namespace name is invalid"},
		{"long namespace", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{Name: strings.Repeat("n", 65)}}, "", "namespace name is too long: 65 > 64"},
		{"long UUID", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{UUID: strings.Repeat("n", 33)}}, "", "namespace UUID is too long: 33 > 32"},
		{"UUID with dash at its end", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{UUID: "abc-"}}, "", "namespace UUID is invalid"},
		{"UUID with underscore first", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{UUID: "_abc"}}, "", "namespace UUID is invalid"},
		{"UUID with dot", wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{UUID: "a.c"}}, "", "namespace UUID is invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			wantError(t, naming.ValidateBucket(tt.b), tt.code, tt.text)
		})
	}
}

func TestValidateObject(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title, name string
		put, head   bool // whether it is a legal name
	}{
		{"plain", "o1", true, true},
		{"nested", "a/b/c", true, true},
		{"three dots", "...", true, true},
		{"dots inside", "a..b/..c/d..", true, true},
		{"tilde", "~x", true, true},
		{"tilde later", "a/~/b", true, true},
		{"hidden", ".hidden/.x", true, true},
		{"signs", `a b%?#"'\+&=<>`, true, true},
		{"beyond ASCII", "\u00e9\u4e16\U0001f600", true, true},
		{"invalid UTF-8", "a\xff\xfe", true, true},
		{"C1 control", "a\u0085b", true, true},
		{"double slash", "x//y", true, true},
		{"leading slash", "/x", true, true},
		{"longest", strings.Repeat("x", 4096), true, true},
		{"trailing slash", "abc/", false, true},
		{"slash alone", "/", false, true},
		{"empty", "", false, false},
		{"too long", strings.Repeat("x", 4097), false, false},
		{"dot", ".", false, false},
		{"parent", "..", false, false},
		{"dot first", "./a", false, false},
		{"parent first", "../a", false, false},
		{"parent inside", "a/../b", false, false},
		{"parent last", "a/..", false, false},
		{"dot last", "a/.", false, false},
		{"dot before a slash", "a/./", false, false},
		{"home", "~/a", false, false},
		{"NUL", "a\x00b", false, false},
		{"newline", "a\nb", false, false},
		{"escape", "\x1b[2J", false, false},
		{"delete", "a\x7f", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			text := func(legal bool) string {
				if legal {
					return ""
				}
				return "invalid object name \""
			}
			wantError(t, naming.ValidateObject(tt.name), wire.CodeInvalidPath, text(tt.put))
			wantError(t, naming.ValidateObjectHead(tt.name), wire.CodeInvalidPath, text(tt.head))
		})
	}
}

func TestObjectNameErrorIsShort(t *testing.T) {
	t.Parallel()
	err := naming.ValidateObject(strings.Repeat("x", 1<<20))
	if n := len(err.Error()); n > 500 {
		t.Fatalf("the message has %d bytes", n)
	}
}

func TestValidatePrefix(t *testing.T) {
	t.Parallel()
	for _, legal := range []string{"", "a", "a/", "/", "a/.b", "img-test", "~x"} {
		if err := naming.ValidatePrefix(legal); err != nil {
			t.Errorf("%q: %v", legal, err)
		}
	}
	for _, bad := range []string{".", "..", "../a", "a/./b", "a/..", "~/", "~/x", "a\x00", strings.Repeat("p", 4097)} {
		wantError(t, naming.ValidatePrefix(bad), "", "invalid prefix \"")
	}
}

func TestValidateIDs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title, id  string
		uuid, node bool
	}{
		{"eight", "abcp8080", false, true},
		{"nine", "Q1wErTy7U", true, true},
		{"dash and underscore inside", "a-b_c-d_e", true, true},
		{"prefixed", "tco-Q1wErTy7U", true, true},
		{"longest", strings.Repeat("a", 32), true, true},
		{"too long", strings.Repeat("a", 33), false, false},
		{"empty", "", false, false},
		{"dash first", "-23456789", false, false},
		{"underscore last", "12345678_", false, false},
		{"dot", "1234.6789", false, false},
		{"slash", "../../../etc", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			if err := naming.ValidateUUID(tt.id); (err == nil) != tt.uuid || err != nil && apierr.StatusOf(err) != 400 {
				t.Errorf("UUID: %v", err)
			}
			if err := naming.ValidateNodeID(tt.id); (err == nil) != tt.node || err != nil && apierr.StatusOf(err) != 400 {
				t.Errorf("node ID: %v", err)
			}
		})
	}
}

func TestSystemBuckets(t *testing.T) {
	t.Parallel()
	if !naming.IsSystemBucket(wire.Bck{Name: naming.SystemInventory, Provider: wire.ProviderAIS}) {
		t.Error("the inventory bucket is a system bucket")
	}
	if naming.IsSystemBucket(wire.Bck{Name: naming.SystemInventory, Provider: wire.ProviderAWS}) {
		t.Error("a cloud bucket is no system bucket")
	}
}

// FuzzValidateObject checks the rules against a second, plain statement of them.
func FuzzValidateObject(f *testing.F) {
	for _, s := range []string{"", "a", "a/b", "../x", "a/./b", "~/x", "a\x00", "x/", "//", "...", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		legal := name != "" && len(name) <= 4096 && !strings.HasPrefix(name, "~/") && !strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f })
		for _, component := range strings.Split(name, "/") {
			legal = legal && component != "." && component != ".."
		}
		if err := naming.ValidateObjectHead(name); (err == nil) != legal {
			t.Fatalf("HEAD %q: %v, legal %v", name, err, legal)
		}
		if err := naming.ValidateObject(name); (err == nil) != (legal && !strings.HasSuffix(name, "/")) {
			t.Fatalf("%q: %v", name, err)
		}
	})
}

// FuzzValidateBucket checks that a legal name is harmless as one path component.
func FuzzValidateBucket(f *testing.F) {
	for _, s := range []string{"", "a", "..", ".x", "a..b", "a/b", ".sys-inventory", "a."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if naming.ValidateBucketName(name) != nil {
			return
		}
		if name == "" || len(name) > 64 || strings.ContainsAny(name, "/\x00 @#%") || strings.Contains(name, "..") || name == "." {
			t.Fatalf("%q is legal", name)
		}
	})
}

func BenchmarkValidateObject(b *testing.B) {
	name := "train/images/batch-0001/img-000000123456.jpeg"
	b.ReportAllocs()
	for b.Loop() {
		if err := naming.ValidateObject(name); err != nil {
			b.Fatal(err)
		}
	}
}
