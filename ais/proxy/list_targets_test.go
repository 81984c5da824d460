package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// standIn is a target that answers as a test has it.
type standIn struct {
	id     string
	answer atomic.Pointer[func(http.ResponseWriter, *http.Request, *wire.LsoMsg)]
}

func (s *standIn) answers(do func(w http.ResponseWriter, r *http.Request, ask *wire.LsoMsg)) {
	s.answer.Store(&do)
}

// addStandIn makes it a target of the cluster. At first it has no names.
func addStandIn(t *testing.T, c *aistest.Cluster, id string) *standIn {
	t.Helper()
	s := &standIn{id: id}
	s.answers(func(w http.ResponseWriter, _ *http.Request, ask *wire.LsoMsg) { sendNames(w, ask) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var ask wire.LsoMsg
		if err != nil || r.URL.Path != "/v1/intra/list/b" || json.Unmarshal(body, &ask) != nil {
			t.Errorf("%s %s: %v %s", r.Method, r.URL, err, body)
		}
		(*s.answer.Load())(w, r, &ask)
	}))
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	net := meta.NetInfo{Host: at.Hostname(), Port: at.Port(), URL: server.URL}
	c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{meta.NewSnode(id, meta.RoleTarget, net, net, net)}})
	return s
}

// window is a page of names in msgpack.
func window(token string, names ...string) []byte {
	page := wire.LsoPage{ContinuationToken: token}
	for _, name := range names {
		page.Entries = append(page.Entries, wire.LsoEntry{Name: name, Flags: wire.EntryPresent})
	}
	return page.AppendMsgpack(nil)
}

func sendBytes(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", wire.ContentMsgpack)
	_, _ = w.Write(body) // the gateway may have left
}

// sendNames answers as a target does that has these names, which are in order.
func sendNames(w http.ResponseWriter, ask *wire.LsoMsg, names ...string) {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return name <= ask.ContinuationToken || !strings.HasPrefix(name, ask.Prefix)
	})
	token := ""
	if len(names) >= int(ask.PageSize) {
		names = names[:ask.PageSize]
		token = names[len(names)-1]
	}
	sendBytes(w, window(token, names...))
}

// breakOff sends a few bytes and closes the connection.
func breakOff(t *testing.T, w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_, err = io.WriteString(conn, text)
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Error(err)
	}
}

// refuses lists and expects a 503 that names the target and no name of any object.
func (s *standIn) refuses(t *testing.T, c *aistest.Cluster, value string, texts ...string) {
	t.Helper()
	res, body := expect(t, 503, strict, "GET", c.Proxies[0].URL()+"/v1/buckets/b", `{"action":"list","value":`+value+`}`)
	e := errorBody(t, res, body)
	for _, text := range append(texts, "cannot list ais://b", "t["+s.id+"]") {
		if !strings.Contains(e.Message, text) {
			t.Errorf("%q, want %q in it", e.Message, text)
		}
	}
	if res.Header.Get("Retry-After") == "" || len(body) > 2000 || strings.Contains(body, "sound/") {
		t.Errorf("%v %.2000s", res.Header, body)
	}
}

// TestListingOfATargetThatAnswersGarbage: whatever a target answers but the
// names that it was asked for, in order, the page is an error that names it.
func TestListingOfATargetThatAnswersGarbage(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{})
	createBucket(t, c, "b", `{"durability":"none"}`)
	s := addStandIn(t, c, "stand-in-1")
	c.Settle(t)
	other := addedNames(t, c)
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/msgpack\r\n"
	sound := window("", "p/1", "p/2")
	for _, tc := range []struct {
		what string
		do   func(w http.ResponseWriter, r *http.Request, ask *wire.LsoMsg)
		text string
	}{
		{"not msgpack", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { sendBytes(w, []byte("no page")) }, "msgpack"},
		{"nothing", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { sendBytes(w, nil) }, "msgpack"},
		{"half a page", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { sendBytes(w, sound[:len(sound)/2]) }, "msgpack"},
		{"more than a page", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			sendBytes(w, append(sound[:len(sound):len(sound)], 0))
		}, "1 bytes after its end"},
		{"HTML", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write(sound)
		}, `content type "text/html"`},
		{"no type", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			w.Header()["Content-Type"] = nil
			_, _ = w.Write(sound)
		}, `content type ""`},
		{"204", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { w.WriteHeader(204) }, "content type"},
		{"out of order", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { sendBytes(w, window("", "p/2", "p/1")) }, `"p/1" after "p/2"`},
		{"twice", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { sendBytes(w, window("", "p/2", "p/2")) }, `"p/2" after "p/2"`},
		{"before the token", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { sendBytes(w, window("", "p/")) }, `"p/" after "p/0"`},
		{"the token", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { sendBytes(w, window("", "p/0")) }, `"p/0" after "p/0"`},
		{"no name", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { sendBytes(w, window("", "")) }, `name "" after`},
		{"other prefix", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { sendBytes(w, window("", "p/1", "q")) }, `"q", which does not begin with "p/"`},
		{"more than asked for", func(w http.ResponseWriter, _ *http.Request, ask *wire.LsoMsg) {
			var names []string
			for i := range ask.PageSize + 1 {
				names = append(names, fmt.Sprintf("p/%09d", i+1e8))
			}
			sendBytes(w, window("", names...))
		}, "asked for were"},
		{"goes on after nothing", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { sendBytes(w, window("p/3")) }, `goes on after "p/3"`},
		{"goes on elsewhere", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { sendBytes(w, window("p/3", "p/1")) }, `goes on after "p/3"`},
		{"4,294,967,295 names", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			sendBytes(w, append([]byte{0x81, 0xa7}, "Entries\xdd\xff\xff\xff\xff"...))
		}, "too many entries"},
		{"a million names that are not there", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			sendBytes(w, append([]byte{0x81, 0xa7}, "Entries\xdd\x00\x10\x00\x00"...))
		}, "msgpack"},
		{"a name of 4 GB", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			sendBytes(w, append([]byte{0x81, 0xa7}, "Entries\x91\x81\xa1n\xdb\xff\xff\xff\xff"...))
		}, "msgpack"},
		{"a length of 8 EB", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			breakOff(t, w, head+"Content-Length: 9223372036854775807\r\n\r\n"+string(sound))
		}, "unexpected EOF"},
		{"negative length", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			breakOff(t, w, head+"Content-Length: -1\r\n\r\n"+string(sound))
		}, "Content-Length"},
		{"65 MiB", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			w.Header().Set("Content-Type", wire.ContentMsgpack)
			piece := make([]byte, 1<<20)
			for range 65 {
				if _, err := w.Write(piece); err != nil {
					return // the gateway has seen enough
				}
			}
		}, "longer than"},
		{"closes at once", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { breakOff(t, w, "") }, "EOF"},
		{"closes in the header", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { breakOff(t, w, head) }, "EOF"},
		{"closes in the body", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			breakOff(t, w, head+"Content-Length: "+strconv.Itoa(len(sound)+1)+"\r\n\r\n"+string(sound))
		}, "unexpected EOF"},
		{"closes in a chunk", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			breakOff(t, w, fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", head, len(sound), sound))
		}, "unexpected EOF"},
		{"another protocol", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { breakOff(t, w, "SSH-2.0-x\r\n\r\n") }, "malformed HTTP"},
		{"500", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			w.WriteHeader(500)
			_, _ = io.WriteString(w, `{"status":500,"message":"the disk is broken","method":"POST"}`)
		}, "the disk is broken"},
		{"502 of somebody else", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			w.WriteHeader(502)
			_, _ = io.WriteString(w, strings.Repeat("<html>", 1e5))
		}, "status 502"},
		{"503", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { w.WriteHeader(503) }, "Service Unavailable"},
		{"redirect", func(w http.ResponseWriter, r *http.Request, _ *wire.LsoMsg) { http.Redirect(w, r, "/elsewhere", 307) }, "status 307"},
		{"401", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { w.WriteHeader(401) }, "status 401"},
		{"403", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { w.WriteHeader(403) }, "status 403"},
		{"408", func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) { w.WriteHeader(408) }, "status 408"},
	} {
		s.answers(tc.do)
		t.Log(tc.what)
		s.refuses(t, c, `{"prefix":"p/","start_after":"p/0","pagesize":1000}`, tc.text)
	}

	// What is wrong with the request itself is told to the client.
	s.answers(func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
		w.WriteHeader(404)
		_, _ = io.WriteString(w, `{"status":404,"tcode":"ErrBckNotFound","message":"no such bucket here"}`)
	})
	_, body := expect(t, 404, strict, "GET", c.Proxies[0].URL()+"/v1/buckets/b", `{"action":"list","value":{}}`)
	if !strings.Contains(body, "no such bucket here") {
		t.Error(body)
	}

	// And a target that has come to its senses is listed.
	its := []string{"p/1", "p/2", "sound/5x"}
	s.answers(func(w http.ResponseWriter, _ *http.Request, ask *wire.LsoMsg) { sendNames(w, ask, its...) })
	want := append(slices.Clone(its), other...)
	slices.Sort(want)
	for _, size := range []int{0, 1, 2, 5} {
		var got []string
		for token := ""; ; {
			p := page(t, c.Proxies[0], "b", map[string]any{"pagesize": size, "continuation_token": token})
			got = append(got, names(p)...)
			if token = p.ContinuationToken; token == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %d: %q, want %q", size, got, want)
		}
	}
}

// addedNames stores objects at the real target of a cluster, whoever owns them
// otherwise, and returns their names.
func addedNames(t *testing.T, c *aistest.Cluster) (names []string) {
	t.Helper()
	for i := 0; len(names) < 10; i++ {
		name := fmt.Sprintf("sound/%02d", i)
		res, _ := send(t, strict, "PUT", c.Proxies[0].URL()+"/v1/objects/b/"+name, "x")
		if strings.HasPrefix(res.Header.Get("Location"), c.Targets[0].URL()) {
			expect(t, 200, follower, "PUT", c.Proxies[0].URL()+"/v1/objects/b/"+name, "x")
			names = append(names, name)
		}
	}
	return names
}

// TestListingOfATargetWithoutMarks: while objects may lie with former owners, a
// page without word of how new its names are is no page.
func TestListingOfATargetWithoutMarks(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{})
	createBucket(t, c, "b", `{"durability":"none"}`)
	s := addStandIn(t, c, "stand-in-1") // which the objects of its names have not come to yet
	sound := wire.LsoPage{Entries: []wire.LsoEntry{{Name: "a", Mark: &wire.LsoMark{Epoch: 1}}, {Name: "b", Mark: &wire.LsoMark{Epoch: 2, Tombstone: true}}}}
	body := sound.AppendMsgpack(nil)
	whole := sound.AppendMarks(bytes.Clone(body))
	answers := func(size string, body []byte) {
		s.answers(func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
			if size != "" {
				w.Header().Set(wire.HeaderListMarks, size)
			}
			sendBytes(w, body)
		})
	}
	for _, tc := range []struct {
		size string
		body []byte
	}{
		{"", whole}, {"", body}, {"0", body}, {"-1", whole}, {"x", whole}, {"50", body}, {"25", whole[:len(whole)-25]},
		{"49", whole[:len(whole)-1]}, {"99999999999999999999", whole}, {strconv.Itoa(len(whole)), whole}, {strconv.Itoa(len(whole) + 1), whole},
	} {
		answers(tc.size, tc.body)
		s.refuses(t, c, `{}`)
	}
	answers("50", whole)
	if got := names(page(t, c.Proxies[0], "b", map[string]any{})); !slices.Equal(got, []string{"a"}) {
		t.Errorf("%q", got)
	}
}

// TestListingOfASlowTarget: names that do not come within client.list_timeout
// make the page an error, also if some have come.
func TestListingOfASlowTarget(t *testing.T) {
	t.Parallel()
	for what, do := range map[string]func(http.ResponseWriter, *http.Request, *wire.LsoMsg){
		"nothing": func(_ http.ResponseWriter, r *http.Request, _ *wire.LsoMsg) { <-r.Context().Done() },
		"half a page": func(w http.ResponseWriter, r *http.Request, _ *wire.LsoMsg) {
			sendBytes(w, window("", "sound/1", "sound/2")[:20])
			_ = http.NewResponseController(w).Flush() // the gateway may have left
			<-r.Context().Done()
		},
		"the first names only": func(w http.ResponseWriter, r *http.Request, ask *wire.LsoMsg) {
			if ask.ContinuationToken == "" {
				sendBytes(w, window("sound/2", "sound/1", "sound/2"))
				return
			}
			<-r.Context().Done()
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := aistest.New(t, aistest.Options{Targets: -1, Config: func(conf *config.Cluster) { conf.Client.ListTimeout = unit.Duration(time.Second) }})
			s := addStandIn(t, c, "stand-in-1")
			createBucket(t, c, "b")
			c.Settle(t)
			s.answers(do)
			s.refuses(t, c, `{"pagesize":10}`, "no whole answer within client.list_timeout (1s)")
		})
	}
}

// TestListingThatNobodyWaitsFor: the calls to the targets end when the client
// leaves, and when another target fails.
func TestListingThatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: -1})
	slow, other := addStandIn(t, c, "stand-in-1"), addStandIn(t, c, "stand-in-2")
	createBucket(t, c, "b")
	c.Settle(t)
	asked, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	slow.answers(func(_ http.ResponseWriter, r *http.Request, _ *wire.LsoMsg) {
		asked <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, "GET", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"list","value":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan error, 1)
	go func() {
		res, err := strict.Do(req)
		if err == nil {
			err = fmt.Errorf("answer %s", res.Status)
			_ = res.Body.Close()
		}
		left <- err
	}()
	<-asked
	leave()
	<-ended
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}

	other.answers(func(w http.ResponseWriter, _ *http.Request, _ *wire.LsoMsg) {
		<-asked
		w.WriteHeader(500)
	})
	other.refuses(t, c, `{}`, "status 500")
	<-ended
}
