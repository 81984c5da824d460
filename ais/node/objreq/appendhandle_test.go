package objreq

import (
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/core/meta"
)

func TestAppendHandle(t *testing.T) {
	t.Parallel()
	h := AppendHandle{NodeID: "target01", Work: "append.1a.2.3", Checksum: "xxhash2", State: []byte{0, 255, 254, 62, 63}}
	text := h.String()
	if text != "target01|append.1a.2.3|xxhash2|AP/+Pj8=" {
		t.Errorf("%s", text)
	}
	got, err := ParseAppendHandle(text)
	if err != nil || got.String() != text {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []string{
		"", "x", "a|b|c", text + "|", "|" + text, strings.Replace(text, "xxhash2", "crc", 1), strings.Replace(text, "target01", "t", 1),
		strings.Replace(text, "append.", "../", 1), strings.TrimSuffix(text, "="), text + strings.Repeat("A", 512), "target01||xxhash2|AA==", "target01|w|xxhash2|",
	} {
		if _, err := ParseAppendHandle(bad); apierr.StatusOf(err) != 400 || !strings.HasPrefix(err.Error(), `invalid APPEND handle: "`) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAppendOwner(t *testing.T) {
	t.Parallel()
	smap := (&meta.Smap{Version: 3, Tmap: map[string]*meta.Snode{"target01": targetAt("10.0.0.1")}}).Freeze()
	for raw, want := range map[string]string{
		"append_type=append":                                            "",
		"append_handle=target01%7Cw%7Cmd5%7CAAAA":                       "", // no append
		"append_type=append&append_handle=target01%7Cw%7Cmd5%7CAAAA":    "target01",
		"append_type=flush&append_handle=target01%7Cw%7Cmd5%7CAAAA":     "target01",
		"append_type=flush&append_handle=target02%7Cw%7Cmd5%7CAAAA":     "400 errNodeNotFound",
		"append_type=flush&append_handle=target01":                      "400 ",
		"append_type=flush&append_handle=target01&object_to=x&a=b":      "", // a copy
		"append_type=append&append_handle=target01&uploadId=x&a=b%20+c": "",
	} {
		q, err := query.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		node, err := AppendOwner(smap, &q)
		got := ""
		switch {
		case err != nil:
			got = "400 " + apierr.CodeOf(err)
		case node != nil:
			got = node.ID
		}
		if got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

// FuzzAppendHandle: what is accepted is written as it was read, and names one
// file in one directory.
func FuzzAppendHandle(f *testing.F) {
	for _, seed := range []string{"target01|append.1.2.3|xxhash2|AP/+Pj8=", "|||", "target01|w|none|AA==", "t|x|y|z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseAppendHandle(text)
		if err != nil {
			if apierr.StatusOf(err) != 400 {
				t.Fatal(err)
			}
			return
		}
		if h.String() != text || h.NodeID == "" || h.Work == "" || strings.ContainsAny(h.Work, "/|\x00") || len(h.State) == 0 {
			t.Fatalf("%q is %+v", text, h)
		}
	})
}
