package trust

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// clock is a clock for tests.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

func keyring(tb testing.TB, id string, clk *clock, keys ...Key) *Keyring {
	tb.Helper()
	k := New(Options{NodeID: id, Identity: identities(tb, 1)[0], Clock: clk.Now})
	if len(keys) > 0 {
		k.ring.Set(keys, clk.Now())
	}
	return k
}

func testKey(id uint32) Key {
	return Key{ID: id, Made: int64(id), Secret: [KeySize]byte{byte(id), 1, 2}}
}

func aCall() *Call {
	return &Call{Method: "POST", Host: "10.0.0.1:9081", URI: "/v1/metasync/push?x=1", Body: BufferedBody([]byte("hello"))}
}

// deliver signs a call at one node and verifies it at another.
func deliver(from, to *Keyring) error {
	call := aCall()
	s := from.Sign(call, false)
	_, err := to.Verify(received(call), s, nil, true)
	return err
}

// received is the call as its receiver sees it.
func received(c *Call) *Call {
	seen := *c
	seen.Body = Body{}
	return &seen
}

func TestCallIsVerified(t *testing.T) {
	t.Parallel()
	clk := newClock()
	a, b := keyring(t, "node-a", clk, testKey(1)), keyring(t, "node-b", clk, testKey(1))
	for _, byIdentity := range []bool{false, true} {
		call := aCall()
		s := a.Sign(call, byIdentity)
		got := received(call)
		who, err := b.Verify(got, s, a.Public(), true)
		if err != nil || who.ID != "node-a" || !who.Member || byIdentity != (len(who.Key) > 0) {
			t.Fatalf("by identity %v: %+v %v", byIdentity, who, err)
		}
		if got.Body != call.Body {
			t.Errorf("body: %+v, want %+v", got.Body, call.Body)
		}
	}
	// a stranger's own signature is right, and it is no member
	call := aCall()
	s := a.Sign(call, true)
	for name, key := range map[string][]byte{"unknown": nil, "impostor": b.Public()} {
		if who, err := b.Verify(received(call), s, key, false); err != nil || who.Member || !bytes.Equal(who.Key, a.Public()) {
			t.Errorf("%s: %+v %v", name, who, err)
		}
	}
}

func TestEveryPartOfACallIsCovered(t *testing.T) {
	t.Parallel()
	clk := newClock()
	a, b := keyring(t, "node-a", clk, testKey(1)), keyring(t, "node-b", clk, testKey(1))
	for _, byIdentity := range []bool{false, true} {
		call := aCall()
		s := a.Sign(call, byIdentity)
		for name, change := range map[string]func(*Call, *Signature){
			"method":    func(c *Call, _ *Signature) { c.Method = "PUT" },
			"host":      func(c *Call, _ *Signature) { c.Host = "10.0.0.2:9081" },
			"path":      func(c *Call, _ *Signature) { c.URI = "/v1/metasync/pull?x=1" },
			"query":     func(c *Call, _ *Signature) { c.URI = "/v1/metasync/push?x=2" },
			"caller":    func(c *Call, _ *Signature) { c.Caller = "node-c" },
			"passes on": func(c *Call, _ *Signature) { c.Passes = true },
			"boundary":  func(c *Call, _ *Signature) { c.Host, c.URI = c.Host+"/", c.URI[1:] },
			"nonce":     func(_ *Call, s *Signature) { s.Nonce = "A" + s.Nonce[1:len(s.Nonce)-1] + "A" },
			"no nonce":  func(_ *Call, s *Signature) { s.Nonce = "" },
			"no code":   func(_ *Call, s *Signature) { s.Code = "" },
			"body": func(c *Call, s *Signature) {
				part := strings.Split(s.Code, ".")
				part[4] = "n"
				s.Code = strings.Join(part, ".")
			},
			"time": func(c *Call, s *Signature) {
				part := strings.Split(s.Code, ".")
				part[3] = part[3][:len(part[3])-1] + string("0123456789"[(part[3][len(part[3])-1]+1)%10])
				s.Code = strings.Join(part, ".")
			},
			"another code": func(c *Call, s *Signature) {
				at := strings.LastIndex(s.Code, ".") + 1
				flip := byte('A')
				if s.Code[at] == flip {
					flip = 'B'
				}
				s.Code = s.Code[:at] + string(flip) + s.Code[at+1:]
			},
		} {
			got, sig := received(call), s
			change(got, &sig)
			who, err := b.Verify(got, sig, a.Public(), false)
			if err == nil || apierr.StatusOf(err) != 403 || apierr.CodeOf(err) != CodeSignature {
				t.Errorf("by identity %v, %s changed: %+v %v", byIdentity, name, who, err)
			}
		}
	}
}

func TestWrongKeys(t *testing.T) {
	t.Parallel()
	clk := newClock()
	a := keyring(t, "node-a", clk, testKey(1))
	other := testKey(1)
	other.Secret[31] = 1
	for _, tc := range []struct {
		name string
		keys []Key
		code string
	}{
		{"same id, another key", []Key{other}, CodeSignature},
		{"another id", []Key{testKey(2)}, CodeUnknownKey},
		{"none", nil, CodeUnknownKey},
	} {
		call := aCall()
		s := a.Sign(call, false)
		if _, err := keyring(t, "node-b", clk, tc.keys...).Verify(received(call), s, a.Public(), false); apierr.CodeOf(err) != tc.code {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	// without a cluster key a node signs as itself
	call := aCall()
	s := keyring(t, "node-c", clk).Sign(call, false)
	if !strings.HasPrefix(s.Code, "1.e.") {
		t.Errorf("signature without keys: %s", s.Code)
	}
}

func TestClockSkew(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		off  time.Duration // of the receiver
		ok   bool
		want string
	}{
		{0, true, ""}, {59 * time.Second, true, ""}, {-59 * time.Second, true, ""},
		{61 * time.Second, false, "1m1s ago"}, {-61 * time.Second, false, "1m1s in the future"},
	} {
		there, here := newClock(), newClock()
		here.add(tc.off)
		a, b := keyring(t, "node-a", there, testKey(1)), keyring(t, "node-b", here, testKey(1))
		call := aCall()
		s := a.Sign(call, false)
		_, err := b.Verify(received(call), s, nil, true)
		switch {
		case tc.ok && err != nil:
			t.Errorf("%v: %v", tc.off, err)
		case !tc.ok && (apierr.CodeOf(err) != CodeClockSkew || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "clocks of the two nodes differ")):
			t.Errorf("%v: %v", tc.off, err)
		}
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	clk := newClock()
	a, b := keyring(t, "node-a", clk, testKey(1)), keyring(t, "node-b", clk, testKey(1))
	call := aCall()
	s := a.Sign(call, false)
	for i := range 3 { // reads may come again
		if _, err := b.Verify(received(call), s, nil, false); err != nil {
			t.Fatalf("read %d: %v", i, err)
		}
	}
	if _, err := b.Verify(received(call), s, nil, true); err != nil {
		t.Fatal(err)
	}
	for _, later := range []time.Duration{0, time.Second, 58 * time.Second} {
		clk.add(later)
		if _, err := b.Verify(received(call), s, nil, true); apierr.CodeOf(err) != CodeReplay {
			t.Errorf("after %v: %v", later, err)
		}
	}
	clk.add(2 * time.Second)
	if _, err := b.Verify(received(call), s, nil, true); apierr.CodeOf(err) != CodeClockSkew {
		t.Errorf("after the window: %v", err)
	}
	// a wrong signature does not use a nonce up
	call = aCall()
	s = a.Sign(call, false)
	bad := received(call)
	bad.Method = "PUT"
	if _, err := b.Verify(bad, s, nil, true); err == nil {
		t.Fatal("accepted")
	}
	if _, err := b.Verify(received(call), s, nil, true); err != nil {
		t.Error(err)
	}
}

// TestReplayFromTheFuture: a call from a clock that is ahead is good for
// longer, and is remembered for longer.
func TestReplayFromTheFuture(t *testing.T) {
	t.Parallel()
	there, here := newClock(), newClock()
	there.add(59 * time.Second)
	a, b := keyring(t, "node-a", there, testKey(1)), keyring(t, "node-b", here, testKey(1))
	call := aCall()
	s := a.Sign(call, false)
	if _, err := b.Verify(received(call), s, nil, true); err != nil {
		t.Fatal(err)
	}
	for range 118 {
		here.add(time.Second)
		there.add(time.Second)
		if err := deliver(a, b); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Verify(received(call), s, nil, true); apierr.CodeOf(err) != CodeReplay {
			t.Fatalf("after %v: %v", here.Now(), err)
		}
	}
}

func TestNoncesAreBounded(t *testing.T) {
	t.Parallel()
	var n nonces
	nonce := func(i int) (b [NonceSize]byte) {
		copy(b[:], fmt.Sprintf("%016d", i))
		return b
	}
	const start = int64(1_000_000_000)
	count := 2*maxNonces + 10
	for i := range count {
		one := nonce(i)
		if at := start + int64(i/100); !n.take(&one, at, at) {
			t.Fatalf("call %d is refused", i)
		}
	}
	if size := len(n.young) + len(n.old); size > 2*maxNonces {
		t.Errorf("%d nonces are kept", size)
	}
	for i := range count { // what was forgotten is refused all the same
		one := nonce(i)
		if n.take(&one, start+int64(i/100), start+int64(count/100)) {
			t.Fatalf("call %d is taken twice", i)
		}
	}
}

func TestRingSettles(t *testing.T) {
	t.Parallel()
	clk := newClock()
	var r Ring
	current := func() uint32 {
		id, _ := r.Current(clk.Now())
		return id
	}
	if _, ok := r.Current(clk.Now()); ok || !r.Empty() {
		t.Error("a new ring has a key")
	}
	r.Set([]Key{testKey(1)}, clk.Now())
	if current() != 1 {
		t.Error("the first key does not sign at once")
	}
	r.Set([]Key{testKey(1), testKey(2)}, clk.Now())
	if current() != 1 || !r.Has(2) {
		t.Errorf("key %d signs before the others can have it", current())
	}
	r.Set([]Key{testKey(1), testKey(2)}, clk.Now().Add(time.Hour)) // the same again starts nothing anew
	clk.add(SettleTime)
	if current() != 2 {
		t.Errorf("key %d signs after a rotation", current())
	}
	r.Set([]Key{testKey(2), testKey(3), testKey(4)}, clk.Now())
	if r.Has(1) || current() != 3 {
		t.Errorf("after another rotation: key %d, former one held: %v", current(), r.Has(1))
	}
	if text := fmt.Sprintf("%v %+v %#v", testKey(9), testKey(9), testKey(9)); strings.Contains(text, "0x9") || strings.Contains(text, "[9 ") {
		t.Errorf("a key is printed: %s", text)
	}
}

// TestRotationUnderWay: while nodes change keys at different times, every
// request is accepted.
func TestRotationUnderWay(t *testing.T) {
	t.Parallel()
	clk := newClock()
	a, b := keyring(t, "node-a", clk, testKey(1)), keyring(t, "node-b", clk, testKey(1))
	const workers = 4
	var rounds [workers]atomic.Int64
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := errors.Join(deliver(a, b), deliver(b, a)); err != nil {
					t.Error(err)
					return
				}
				rounds[i].Add(1)
			}
		})
	}
	defer wg.Wait()
	defer close(done)
	everybodyCalls := func() { // with what is in the rings now
		for i := range rounds {
			for from, deadline := rounds[i].Load(), time.Now().Add(10*time.Second); rounds[i].Load() < from+2 && !t.Failed(); runtime.Gosched() {
				if time.Now().After(deadline) {
					t.Fatal("the calls have stopped")
				}
			}
		}
	}
	keys := []Key{testKey(1)}
	for id := uint32(2); id < 12; id++ {
		keys = append(keys, testKey(id))
		keys = keys[max(0, len(keys)-3):]
		a.ring.Set(keys, clk.Now())
		everybodyCalls()
		b.ring.Set(keys, clk.Now())
		everybodyCalls()
		clk.add(SettleTime)
		everybodyCalls()
	}
}

func TestInstall(t *testing.T) {
	t.Parallel()
	clk := newClock()
	primary, node := keyring(t, "primary1", clk), keyring(t, "node-b", clk)
	seal := func(k Key) SealedKey {
		t.Helper()
		s, err := primary.SealFor("cluster01", "node-b", node.Public(), k)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one, two := primary.MakeKey(clk.Now()), primary.MakeKey(clk.Now().Add(time.Hour))
	if missing := node.Install("cluster01", []SealedKey{seal(one)}); len(missing) != 0 || node.Ring().Keys()[0] != one {
		t.Fatalf("missing %v", missing)
	}
	// one that is held needs no box; one without a box is missing
	if missing := node.Install("cluster01", []SealedKey{{ID: one.ID, Made: one.Made}, {ID: two.ID, Made: two.Made}}); len(missing) != 1 || missing[0] != two.ID {
		t.Errorf("missing %v", missing)
	}
	if missing := node.Install("cluster01", []SealedKey{{ID: one.ID, Made: one.Made}, seal(two)}); len(missing) != 0 || len(node.Ring().Keys()) != 2 {
		t.Errorf("missing %v", missing)
	}
	if missing := node.Install("cluster02", []SealedKey{seal(primary.MakeKey(clk.Now()))}); len(missing) != 1 {
		t.Error("a box of another cluster opens")
	}
}

func FuzzSignature(f *testing.F) {
	clk := newClock()
	a := keyring(f, "node-a", clk, testKey(1))
	for _, byIdentity := range []bool{false, true} {
		for _, body := range []Body{BufferedBody(nil), BufferedBody([]byte("x")), StreamedBody(5), StreamedBody(-1)} {
			call := aCall()
			call.Body = body
			f.Add(a.Sign(call, byIdentity).Code)
		}
	}
	f.Add("1.h.1.1.n.")
	f.Add("1.h.....")
	f.Add("1.e.")
	b := keyring(f, "node-b", clk, testKey(1))
	f.Fuzz(func(t *testing.T, text string) {
		var s signature
		if s.parse(text) {
			again := strictURL.AppendEncode(s.appendHead(nil), s.code)
			var second signature
			if !second.parse(string(again)) || second.body != s.body || second.sentMS != s.sentMS || !bytes.Equal(second.code, s.code) {
				t.Fatalf("%q is read as %q", text, again)
			}
		}
		call := received(aCall())
		call.Caller = "node-a"
		call.Method = "DELETE" // never signed here
		if who, err := b.Verify(call, Signature{Code: text, Nonce: strings.Repeat("A", 22)}, a.Public(), true); err == nil {
			t.Fatalf("accepted: %+v", who)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	k := keyring(b, "node-a", newClock(), testKey(1))
	call := aCall()
	b.ReportAllocs()
	for b.Loop() {
		k.Sign(call, false)
	}
}

func BenchmarkVerify(b *testing.B) {
	k := keyring(b, "node-a", newClock(), testKey(1))
	call := aCall()
	s := k.Sign(call, false)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Verify(call, s, nil, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNonces(b *testing.B) {
	var n nonces
	var nonce [NonceSize]byte
	i := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		i++
		binary.BigEndian.PutUint64(nonce[:], uint64(i))
		n.take(&nonce, i/100, i/100)
	}
}

func BenchmarkSignByIdentity(b *testing.B) {
	k := keyring(b, "node-a", newClock())
	call := aCall()
	for b.Loop() {
		k.Sign(call, true)
	}
}

func BenchmarkVerifyByIdentity(b *testing.B) {
	k := keyring(b, "node-a", newClock())
	call := aCall()
	s := k.Sign(call, true)
	for b.Loop() {
		if _, err := k.Verify(call, s, nil, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	k := keyring(b, "node-a", newClock())
	key := k.MakeKey(time.Now())
	for b.Loop() {
		if _, err := k.SealFor("cluster01", "node-a", k.Public(), key); err != nil {
			b.Fatal(err)
		}
	}
}
