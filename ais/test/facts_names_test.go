package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// namesRoundTrip stores under hostile names, through redirects that the
// client follows, and finds the same names in attributes and listings.
func namesRoundTrip(t *testing.T, c *cluster) {
	p := c.nodes[1]
	createBucket(t, p, "names", "")
	var want []string
	for escaped, name := range map[string]string{
		"x%2Fy": "x/y", "x//y": "x//y", "/x": "/x", "a+b": "a+b", "a%2Bc": "a+c", "a%20b": "a b", "50%25": "50%", "%2541": "%41",
		"what%3Fx=1": "what?x=1", "a%23b": "a#b", "a&b=c": "a&b=c", "%D0%BF%D1%80": "пр", "...": "...", "a..b": "a..b", "~x": "~x", ".hidden": ".hidden",
		"q%22q'": `q"q'`, "back%5Cslash": `back\slash`, "%3Cb%3E": "<b>", "a;b": "a;b", "[x]": "[x]", "a:b@c": "a:b@c", "%7Bx%7D%7C%5E%60": "{x}|^`",
		"%FF%FE": "\xff\xfe",
	} {
		want = append(want, name)
		address := p.URL() + "/v1/objects/names/" + escaped
		a := single(t, http.StatusTemporaryRedirect, http.MethodPut, address, "")
		if got := location(t, a).Path; got != "/v1/objects/names/"+name {
			t.Errorf("%q is redirected to %q", name, got)
		}
		must(t, http.StatusOK, http.MethodPut, address, "content of "+name)
		if a := must(t, http.StatusOK, http.MethodGet, address, ""); a.body != "content of "+name {
			t.Errorf("%q holds %q", name, a.body)
		}
		if a := must(t, http.StatusOK, http.MethodHead, address, ""); a.header.Get("Ais-Name") != name {
			t.Errorf("%q is called %q", name, a.header.Get("Ais-Name"))
		}
	}
	slices.Sort(want)
	page := must(t, http.StatusOK, http.MethodGet, p.URL()+"/v1/buckets/names", `{"action":"list","value":{"props":"name"}}`,
		"Content-Type", jsonType, "Accept", "application/msgpack")
	at := 0
	for _, name := range want {
		next := strings.Index(page.body[at:], "\xa1n"+string([]byte{byte(0xa0 + len(name))})+name)
		if next < 0 {
			t.Errorf("%q is not listed, or out of order", name)
			continue
		}
		at += next
	}
	for _, name := range []string{"x%2Fy", "x//y", "/x"} {
		must(t, http.StatusOK, http.MethodDelete, p.URL()+"/v1/objects/names/"+name, "")
		must(t, http.StatusNotFound, http.MethodGet, p.URL()+"/v1/objects/names/"+name, "")
	}
}

// directAccess is what a client may do that places objects by itself.
func directAccess(t *testing.T, c *cluster) {
	createBucket(t, c.nodes[0], "direct", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "direct", "o"), "data")
	owner, other := c.owner("direct", "o"), c.notOwner("direct", "o")
	version := c.smap(c.nodes[0]).Version

	if a := single(t, http.StatusOK, http.MethodGet, objectURL(owner, "direct", "o"), ""); a.body != "data" {
		t.Errorf("read %q", a.body)
	}
	single(t, http.StatusOK, http.MethodHead, objectURL(owner, "direct", "o"), "")
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		a := single(t, http.StatusBadRequest, method, objectURL(owner, "direct", "o"), "")
		checkError(t, a, 400, method+"(obj) is expected to be redirected")
	}
	single(t, http.StatusOK, http.MethodPut, objectURL(owner, "direct", "o"), "newer", "Ais-Smap-Version", version)
	if a := must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[1], "direct", "o"), ""); a.body != "newer" {
		t.Errorf("read %q", a.body)
	}
	for method, status := range map[string]int{http.MethodGet: 301, http.MethodHead: 307, http.MethodPut: 307, http.MethodDelete: 307} {
		a := single(t, status, method, objectURL(other, "direct", "o"), "", "Ais-Smap-Version", version)
		if u := location(t, a); "http://"+u.Host != owner.URL() || u.Query().Get("pid") == "" {
			t.Errorf("%s at another target: Location %s", method, u)
		}
	}
	// Marked as redirected, it is not redirected again.
	a := single(t, http.StatusServiceUnavailable, http.MethodGet, objectURL(other, "direct", "o")+"?"+c.marker("direct", "o"), "")
	if a.header.Get("Retry-After") == "" {
		t.Errorf("%v", a.header)
	}
	if a := single(t, http.StatusOK, http.MethodGet, objectURL(owner, "direct", "o")+"?"+c.marker("direct", "o"), ""); a.body != "newer" {
		t.Errorf("read %q", a.body)
	}
	single(t, http.StatusBadRequest, http.MethodPut, objectURL(owner, "direct", "o"), "x", "Ais-Smap-Version", "many")
	single(t, http.StatusOK, http.MethodDelete, objectURL(owner, "direct", "o"), "", "Ais-Smap-Version", version)
}
