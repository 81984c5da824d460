package template

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
)

// first returns at most n names of a template.
func first(t *Template, n int) []string {
	var names []string
	for name := range t.Names() {
		if len(names) == n {
			break
		}
		names = append(names, name)
	}
	return names
}

func TestRanges(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		template string
		count    int64
		first    string // names, with commas
	}{
		{"a{1..3}", 3, "a1,a2,a3"},
		{"a{08..11}b", 4, "a08b,a09b,a10b,a11b"},
		{"{0..010}", 11, "0,1,2"},
		{"{001..100}", 100, "001,002"},
		{"{1..0100}", 100, "1,2"},
		{"shard-{0001..0010..2}.tar", 5, "shard-0001.tar,shard-0003.tar,shard-0005.tar,shard-0007.tar,shard-0009.tar"},
		{"{0..1}-{8..10}/x", 6, "0-8/x,0-9/x,0-10/x,1-8/x,1-9/x,1-10/x"},
		{"{0..1}{0..1}{0..1}", 8, "000,001,010,011,100,101,110,111"},
		{"a{5..5}", 1, "a5"},
		{"a{5..9..100}", 1, "a5"},
		{"a{0..999999999999999999}", 1_000_000_000_000_000_000, "a0,a1"},
		{"{0..999999999999999999}{0..999999999999999999}", math.MaxInt64, "00,01"},
		{"shard-@00100.tar", 101, "shard-00000.tar,shard-00001.tar"},
		{"@2-@1", 6, "0-0,0-1,1-0,1-1,2-0,2-1"},
		{"x@0", 1, "x0"},
		{"shard-%06d.tar", math.MaxInt64, "shard-000000.tar,shard-000001.tar"},
		{"%d", math.MaxInt64, "0,1,2"},
	} {
		t.Run(tc.template, func(t *testing.T) {
			t.Parallel()
			parsed, err := Parse(tc.template)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(tc.first, ",")
			if got := first(parsed, len(want)); parsed.Form != Range || !slices.Equal(got, want) {
				t.Errorf("form %d, names %v, want %v", parsed.Form, got, want)
			}
			if parsed.Count() != tc.count || parsed.Bounded() == strings.Contains(tc.template, "%") {
				t.Errorf("%d names, bounded: %v", parsed.Count(), parsed.Bounded())
			}
			if tc.count < 1000 {
				if all := first(parsed, 1000); int64(len(all)) != tc.count {
					t.Errorf("%d names", len(all))
				}
			}
		})
	}
}

func TestPrefixes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Template{
		"": {}, "*": {}, "a": {Form: Prefix, Prefix: "a"}, "a/b*": {Form: Prefix, Prefix: "a/b"}, "a/": {Form: Prefix, Prefix: "a/"},
		"a%%b": {Form: Prefix, Prefix: "a%%b"}, "~x/%2F": {Form: Prefix, Prefix: "~x/%2F"},
	} {
		got, err := Parse(text)
		if err != nil || got.Form != want.Form || got.Prefix != want.Prefix || len(got.ranges) > 0 {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// TestMalformed: every mistake is a 400 that says what it is.
func TestMalformed(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		"a{1..2":                    `a "{" has no "}" after it`,
		"a1..2}":                    `a "}" has no "{" before it`,
		"a{1..2}}":                  `a "}" has no "{" before it`,
		"a}1..2{":                   `a "}" has no "{" before it`,
		"a{{1..2}}":                 "braces within braces",
		"a{1..2}{":                  `a "{" has no "}" after it`,
		"a{}":                       "is not {from..to}",
		"a{1}":                      "is not {from..to}",
		"a{1,2}":                    "is not {from..to}",
		"a{1..2..3..4}":             "is not {from..to}",
		"a{a..z}":                   `"a" is not a number`,
		"a{1..}":                    `"" is not a number`,
		"a{..2}":                    `"" is not a number`,
		"a{-1..2}":                  `"-1" is not a number`,
		"a{2..1}":                   "begins behind its end",
		"a{1..2..0}":                "the step must be at least 1",
		"a{1..2..-1}":               `"-1" is not a number`,
		"a{0..9999999999999999999}": "more than 18 digits",
		"a@":                        `an "@" is not followed by a number`,
		"user@host":                 `an "@" is not followed by a number`,
		"a@1@":                      `an "@" is not followed by a number`,
		"a%":                        `a "%" is not followed by`,
		"a%s":                       `a "%" is not followed by`,
		"a%6d":                      `a "%" is not followed by`,
		"a%00d":                     `a "%" is not followed by`,
		"a%0999d":                   `a "%" is not followed by`,
		"../{1..2}":                 `a component ".."`,
		"a/./b{1..2}":               `a component "."`,
		"../a":                      "invalid prefix",
		strings.Repeat("a", naming.MaxObjectName) + "{1..2}": "names are longer than",
		strings.Repeat("a", 10000):                           "longer than",
	} {
		_, err := Parse(text)
		if apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), why) {
			t.Errorf("%.60q: %v, want 400 with %q", text, err, why)
		}
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name           string
		from           wire.ListRange
		listed, byName bool
		prefix, names  string
		text           string
	}{
		{"nothing", wire.ListRange{}, false, false, "", "", "all objects"},
		{"star", wire.ListRange{Template: "*"}, false, false, "", "", "all objects"},
		{"prefix", wire.ListRange{Template: "a/*"}, false, false, "a/", "", "prefix a/"},
		{"range", wire.ListRange{Template: "a{1..2}"}, false, true, "", "a1,a2", "range of 2 names"},
		{"list", wire.ListRange{Names: []string{"b", "a", "b"}}, true, true, "", "b,a,b", "list of 3 names"},
		{"both", wire.ListRange{Names: []string{"b"}, Template: "a{1.."}, true, true, "", "b", "list of 1 name"},
		{"escaped", wire.ListRange{Names: []string{"~x/a%2F"}}, true, true, "", "a/", "list of 1 name"},
		{"names that nothing can have", wire.ListRange{Template: "a{1..2}/"}, false, true, "", "", "range of 2 names"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, err := Select(&tc.from)
			if err != nil {
				t.Fatal(err)
			}
			names := strings.Join(slices.Collect(s.Names()), ",")
			if s.Listed() != tc.listed || s.ByName() != tc.byName || s.Prefix() != tc.prefix || names != tc.names || s.String() != tc.text {
				t.Errorf("%v %v %q %q %q", s.Listed(), s.ByName(), s.Prefix(), names, s)
			}
		})
	}
	for _, bad := range []wire.ListRange{
		{Names: []string{"a", ""}}, {Names: []string{"a/"}}, {Names: []string{"../a"}}, {Names: []string{"~/a"}}, {Names: []string{"a/./b"}},
		{Template: "a%04d"}, {Template: "a{1..2"},
	} {
		if _, err := Select(&bad); apierr.StatusOf(err) != 400 {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "*", "a{1..2..3}b", "a{1..2", "@09", "%06d", "a{0..1}{2..3}", "~x/%2F", "a%%b{"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text)
		if err != nil {
			if apierr.StatusOf(err) != 400 {
				t.Fatal(err)
			}
			return
		}
		seen := map[string]bool{}
		for name := range parsed.Names() {
			if seen[name] && len(parsed.ranges) == 1 {
				t.Fatalf("%q twice", name)
			}
			seen[name] = true
			if !strings.HasPrefix(name, parsed.Prefix) || parsed.Bounded() && len(name) > naming.MaxObjectName {
				t.Fatalf("%q", name)
			}
			if len(seen) > 200 {
				break
			}
		}
		if n := parsed.Count(); parsed.Form == Range && n < 1 || parsed.Form != Range && n != 0 {
			t.Fatalf("%d names", n)
		}
	})
}
