package naming_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
)

func TestNativeForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, native string }{
		{"a", "a"},
		{"a/b c%?#\"\\", "a/b c%?#\"\\"},
		{"a//b", "a//b"},
		{"/x", "/x"},
		{"~x", "~x"},
		{"a/~/b", "a/~/b"},
		{"\xff\xfe", "\xff\xfe"},
		{"dir/", "~x/dir%2F"},
		{"dir//", "~x/dir/%2F"},
		{"/", "~x/%2F"},
		{".", "~x/%2E"},
		{"..", "~x/%2E%2E"},
		{"../x", "~x/%2E%2E/x"},
		{"a/./b", "~x/a/%2E/b"},
		{"../", "~x/%2E%2E%2F"},
		{"~/x", "~x/%7E/x"},
		{"~x/", "~x/%7Ex%2F"},
		{"~x/a", "~x/%7Ex/a"},
		{"a\nb%", "~x/a%0Ab%25"},
		{"\x00", "~x/%00"},
		{"del\x7f", "~x/del%7F"},
		{"\xff\x01", "~x/\xff%01"},
	} {
		if got := naming.Native(tt.name); got != tt.native {
			t.Errorf("Native(%q) = %q, want %q", tt.name, got, tt.native)
		}
		if got, err := naming.True(tt.native); err != nil || got != tt.name {
			t.Errorf("True(%q) = %q, %v, want %q", tt.native, got, err, tt.name)
		}
	}
}

func TestNotCanonicalIsRefused(t *testing.T) {
	t.Parallel()
	for _, native := range []string{
		"~x/", "~x/a", "~x/a%20b%0A", "~x/%0a", "~x/a%", "~x/a%0", "~x/%zz", "~x/dir/", "~x/a%2Fb%01", "~x/.", "~x/~%01", "~x/%41%01", "~x/%7e/x",
		"~x/" + strings.Repeat("%01", 4097), "dir/", ".", "a/..", "~/x", "a\x00", "",
	} {
		_, err := naming.True(native)
		wantError(t, err, wire.CodeInvalidPath, "invalid object name \"")
	}
	for _, prefix := range []string{"~x/%", "~x/%2", "~x/%zz", "~/", ".", "a/..", "\x01"} {
		_, err := naming.TruePrefix(prefix)
		wantError(t, err, "", "invalid prefix \"")
	}
	for _, name := range []string{"", strings.Repeat("x", 4097)} {
		wantError(t, naming.ValidateTrue(name), wire.CodeInvalidPath, "invalid object name \"")
	}
	if err := naming.ValidateTrue(strings.Repeat("\x00", 4096)); err != nil {
		t.Error(err)
	}
}

// hostile draws names from the bytes that matter.
func hostile() *rapid.Generator[string] {
	piece := rapid.SampledFrom([]string{"a", "b", "/", "//", ".", "..", "~", "~/", "~x", "~x/", "%", "%2F", "%2f", "\x00", "\n", "\x7f", "\xff", "é", " ", "\\"})
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(piece, 1, 8).Draw(t, "pieces"), "")
	})
}

// TestNativeIsABijection: different names have different native forms, and a
// native form is either refused or that of one name.
func TestNativeIsABijection(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := hostile().Draw(t, "a"), hostile().Draw(t, "b")
		checkNames(t, a)
		if (naming.Native(a) == naming.Native(b)) != (a == b) {
			t.Fatalf("%q and %q: %q", a, b, naming.Native(a))
		}
		if name, err := naming.True(b); err == nil && naming.Native(name) != b {
			t.Fatalf("True(%q) = %q, of which the native form is %q", b, name, naming.Native(name))
		}
		if naming.NativeDir("/") != "~x//" {
			t.Fatalf(`the directory "/" is %q, and so the top level`, naming.NativeDir("/"))
		}
		// A native prefix selects the names that begin with what it stands for.
		dir := a + "/"
		if got, err := naming.TruePrefix(naming.NativeDir(dir)); err != nil || got != dir {
			t.Fatalf("directory %q: %q, %q, %v", dir, naming.NativeDir(dir), got, err)
		}
	})
}

// checkNames is what holds for every true name.
func checkNames(t interface{ Fatalf(string, ...any) }, name string) {
	native := naming.Native(name)
	if back, err := naming.True(native); err != nil || back != name {
		t.Fatalf("True(Native(%q) = %q) = %q, %v", name, native, back, err)
	}
	if legal := naming.ValidateObject(name) == nil && !strings.HasPrefix(name, "~x/"); legal != (native == name) {
		t.Fatalf("%q: legal %v, native %q", name, legal, native)
	}
	if native != name && (len(native) <= 4096 && naming.ValidateObject(native) != nil || !strings.HasPrefix(native, "~x/")) {
		t.Fatalf("native form %.100q of %.100q", native, name)
	}
	if prefix, err := naming.TruePrefix(native); err != nil || prefix != name {
		t.Fatalf("prefix %q: %q, %v", native, prefix, err)
	}
	token := naming.Token(name)
	text, err := json.Marshal(token)
	var read string
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if back, e := naming.TrueToken(read); err != nil || e != nil || back != name {
		t.Fatalf("token %q of %q: %q, %v, %v", token, name, back, err, e)
	}
	if back, err := naming.TrueToken(native); err != nil || back != name {
		t.Fatalf("native form %q as a token: %q, %v", native, back, err)
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"a", "a/", ".", "..", "~/x", "~x/", "~x/%2E", "a\x00%", "\xff", "~x/%7Ex/a", strings.Repeat("\x01", 4096)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if naming.ValidateTrue(s) == nil {
			checkNames(t, s)
		}
		if name, err := naming.True(s); err == nil && (naming.Native(name) != s || naming.ValidateTrue(name) != nil) {
			t.Fatalf("True(%q) = %q", s, name)
		}
		if prefix, err := naming.TruePrefix(s); err == nil && len(prefix) > 4096 {
			t.Fatalf("TruePrefix(%q) has %d bytes", s, len(prefix))
		}
		_, _ = naming.TrueToken(s)
	})
}

func BenchmarkNative(b *testing.B) {
	name := "train/images/batch-0001/img-000000123456.jpeg"
	b.ReportAllocs()
	for b.Loop() {
		if len(naming.Native(name)) != len(name) {
			b.Fatal("escaped")
		}
	}
}
