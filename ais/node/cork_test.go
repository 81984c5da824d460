package node

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/meta"
)

// segmentsIn is how many TCP segments with content have come on a connection:
// on loopback one for each call of the sender, up to 64 KiB.
func segmentsIn(t *testing.T, conn net.Conn) uint32 {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var segments uint32
	err = raw.Control(func(fd uintptr) {
		info, infoErr := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if infoErr != nil {
			t.Error(infoErr)
			return
		}
		segments = info.Data_segs_in
	})
	if err != nil {
		t.Fatal(err)
	}
	return segments
}

func TestAnswersGoOutAtOnce(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleTarget, "target001", nil)
	join(t, newTestNode(t, meta.RoleProxy, "proxy0001", nil), n)
	content := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	file := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	withObjects(n, func(w http.ResponseWriter, r *http.Request) error {
		how, size, _ := strings.Cut(PathItems(r).Items[3], "/")
		length, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		if how != "chunked" {
			w.Header().Set("Content-Length", size)
		}
		switch how {
		case "whole", "chunked":
			_, err = w.Write(content[:length])
		case "parts":
			if _, err = w.Write(content[:length/2]); err == nil {
				_, err = w.Write(content[length/2 : length])
			}
		case "short":
			_, err = w.Write(content[:length-1])
		case "file":
			f, openErr := os.Open(file)
			if openErr != nil {
				return openErr
			}
			defer func() { _ = f.Close() }()
			_, err = io.CopyN(w, f, int64(length))
		}
		return err
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.Snode().Public.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for _, tc := range []struct {
		how    string
		length int
		calls  uint32 // 0: does not matter
	}{
		{"whole", 1, 1}, {"whole", corkFrom - 1, 1}, {"whole", corkFrom, 1}, {"whole", 4096, 1}, {"whole", 40 << 10, 1},
		{"whole", corkUpTo, 0}, {"whole", corkUpTo + 1, 0}, {"whole", len(content), 0},
		{"parts", 10000, 0}, {"chunked", 4096, 0}, {"chunked", 100000, 0},
		{"file", 4096, 0}, {"file", len(content), 0}, {"whole", 4096, 1},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			before := segmentsIn(t, conn)
			if _, err := fmt.Fprintf(conn, "%s /v1/objects/b/%s/%d HTTP/1.1\r\nHost: x\r\n\r\n", method, tc.how, tc.length); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("%s %+v: %v", method, tc, err)
			}
			got, err := io.ReadAll(res.Body)
			want := content[:tc.length]
			if method == "HEAD" {
				want = nil
			}
			if err != nil || !bytes.Equal(got, want) || res.StatusCode != 200 {
				t.Fatalf("%s %+v: %d, %d bytes, %v", method, tc, res.StatusCode, len(got), err)
			}
			if calls := segmentsIn(t, conn) - before; tc.calls != 0 && calls != tc.calls {
				t.Errorf("%s %+v: %d writes", method, tc, calls)
			}
		}
	}
	// an answer that is shorter than announced must not look whole
	res, err := client.Get(n.Snode().Public.URL + "/v1/objects/b/short/4096")
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	if err == nil {
		t.Error("a short answer looks whole")
	}
}
