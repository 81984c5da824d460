package node

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// jwt is a token that expires at a time; 0: never.
func jwt(subject string, exp int64) string {
	claims := fmt.Sprintf(`{"sub":%q,"exp":%d}`, subject, exp)
	if exp == 0 {
		claims = fmt.Sprintf(`{"sub":%q}`, subject)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestRevokedTokens(t *testing.T) {
	t.Parallel()
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	join(t, p1, p2)
	url := p2.Snode().Public.URL + "/v1/tokens"
	now := time.Now().Unix()
	soon, later, past := jwt("soon", now+1000), jwt("later", now+2000), jwt("past", now-10)
	revoke := func(status int, want string, tokens ...string) {
		t.Helper()
		body, err := json.Marshal(map[string]any{"tokens": tokens, "version": "0"})
		if err != nil {
			t.Fatal(err)
		}
		if a := do(t, "DELETE", url, string(body)); a.status != status || !strings.Contains(a.body, want) {
			t.Errorf("%d %s, want %d with %q", a.status, a.body, status, want)
		}
	}
	table := func() *meta.Table { return p1.View().Tokens }

	revoke(200, "", soon, past)
	if got := table(); got.Ver() != 1 || len(got.Entries) != 1 {
		t.Fatalf("after two, of which one has expired: %+v", got)
	}
	data, err := table().Encode()
	if err != nil || strings.Contains(string(data), soon) {
		t.Errorf("the token itself is kept: %s %v", data, err)
	}
	revoke(200, "", soon)
	if got := table().Ver(); got != 1 {
		t.Errorf("the same again makes version %d", got)
	}
	revoke(200, "", later, "opaque")
	if got := table(); got.Ver() != 2 || len(got.Entries) != 3 {
		t.Errorf("%+v", got)
	}

	// what has expired meanwhile is dropped with the next change
	old := *table()
	old.Entries = map[string]json.RawMessage{"gone": json.RawMessage(fmt.Sprintf(`{"exp":%d}`, now-1)), tokenKey(soon): json.RawMessage(fmt.Sprintf(`{"exp":%d}`, now+1000))}
	view := *p1.View()
	view.Tokens = &old
	p1.cp.view.Store(&view)
	revoke(200, "", later)
	if got := table(); len(got.Entries) != 2 || got.Entries["gone"] != nil {
		t.Errorf("%+v", got)
	}

	revoke(400, "0 tokens")
	revoke(400, "expecting 1 to 8192", "")
	revoke(400, "expecting 1 to 8192", strings.Repeat("x", 8193))
	revoke(400, "expecting 1 to 10000", make([]string, 10_001)...)
	for body, want := range map[string]int{``: 400, `[]`: 400, `{"tokens":1}`: 400, `{"tokens":["x"]`: 400} {
		if a := do(t, "DELETE", url, body); a.status != want {
			t.Errorf("%q: %d %s", body, a.status, a.body)
		}
	}
	if e := do(t, "POST", url, "", "Authorization: Bearer "+soon).errorBody(t); e.Status != 501 || !strings.Contains(e.Message, "not built yet") {
		t.Errorf("POST: %+v", e)
	}
	if a := do(t, "GET", url, ""); a.status != 405 || a.header.Get("Allow") != "DELETE, POST" {
		t.Errorf("GET: %d, Allow %q", a.status, a.header.Get("Allow"))
	}
}

func TestTokenExpiry(t *testing.T) {
	t.Parallel()
	part := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x"
	}
	for token, want := range map[string]int64{
		jwt("a", 1700000000): 1700000000, jwt("a", 0): 0, part(`{"exp":1700000000.5}`): 1700000000, part(`{"exp":"x"}`): 0,
		part(`{"exp":-1}`): 0, part(`{"exp":1e300}`): 0, part(`[]`): 0, "a.b": 0, "a.!.c": 0, "": 0, "....": 0,
	} {
		if got := tokenExpiry(token); got != want {
			t.Errorf("%q: %d, want %d", token, got, want)
		}
	}
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	proxy, target := newTestNode(t, meta.RoleProxy, "proxy0001", nil), newTestNode(t, meta.RoleTarget, "target001", nil)
	smap := join(t, proxy, target)
	caller := "Ais-Caller-Id: target001"
	url := proxy.Snode().IntraControl.URL + "/v1/notifs/"
	good := `{"uuid":"AbC123xyz","node_id":"target001","kind":"lru","err":"","message":"e30=","aborted":false}`
	for _, tc := range []struct {
		path, body string
		status     int
	}{
		{"finished", good, 200}, {"progress", good, 200}, {"finished", strings.Replace(good, `"e30="`, "null", 1), 200},
		{"started", good, 400}, {"", good, 400}, {"finished/x", good, 400}, {"finished", `{`, 400}, {"finished", ``, 400},
		{"finished", `{"uuid":"x"}`, 400}, {"finished", `{"uuid":"AbC123xyz","message":"%%"}`, 400},
		{"finished", `{"uuid":"` + strings.Repeat("x", 2<<20) + `"}`, 413},
	} {
		if a := do(t, "POST", url+tc.path, tc.body, caller); a.status != tc.status {
			t.Errorf("%s %.80s: %d %s, want %d", tc.path, tc.body, a.status, a.body, tc.status)
		}
	}
	if a := do(t, "POST", url+"finished", good); a.status != 403 {
		t.Errorf("of a stranger: %d %s", a.status, a.body)
	}
	if a := do(t, "POST", proxy.Snode().Public.URL+"/v1/notifs/finished", good); a.status != 400 {
		t.Errorf("on the public network: %d %s", a.status, a.body)
	}

	ic := proxy.Snode().IntraControl.URL + "/v1/ic"
	if a := do(t, "GET", ic+"?what=ic_bundle", "", caller); a.status != 400 || !strings.Contains(a.body, "not a member") {
		t.Errorf("not a member: %d %s", a.status, a.body)
	}
	member := smap.Clone()
	self := *proxy.Snode()
	self.Flags |= meta.FlagIC
	member.Pmap[self.ID], member.Primary = &self, &self
	publish(member.Freeze(), proxy, target)
	if a := do(t, "GET", ic+"?what=ic_bundle", "", caller); a.status != 200 || !strings.HasSuffix(a.body, `"ownership_table":{"running":[],"finished":[]}}`+"\n") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, "GET", ic, "", caller); a.status != 400 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, "POST", ic, `{}`, caller); a.status != 501 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
