package target_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
)

// mountpath does a mountpath operation through the gateway.
func mountpath(t *testing.T, c *aistest.Cluster, status int, action, path, query string) wire.ErrorBody {
	t.Helper()
	body := fmt.Sprintf(`{"action":%q,"value":%q}`, action, path)
	res, text := expect(t, status, follower, http.MethodPost, c.Proxies[0].URL()+"/v1/reverse/daemon/mountpaths"+query,
		strings.NewReader(body), "Ais-Node-Id: "+c.Targets[0].ID())
	if status < 400 {
		return wire.ErrorBody{}
	}
	return message(t, res, text)
}

// While objects are to be moved off one mountpath, another cannot leave without
// its own; the one that waits can, and can stay.
func TestNoRemovalBesideAMove(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Mountpaths: 3})
	target := c.Targets[0]
	if err := target.Disks.BeginRemoval(target.Paths[0], fs.Detach); err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"disable-mp", "detach-mp"} {
		if e := mountpath(t, c, 400, action, target.Paths[1], "?dntres=true"); e.TypeCode != wire.CodeInvalidMountpath || !strings.Contains(e.Message, "moved") {
			t.Errorf("%s: %+v", action, e)
		}
	}
	if lists := target.Disks.Lists(); len(lists.WaitingDD) != 1 || len(lists.Available) != 2 {
		t.Errorf("%+v", lists)
	}
	mountpath(t, c, 200, "attach-mp", target.Paths[0], "") // ends the wait
	if lists := target.Disks.Lists(); len(lists.Available) != 3 {
		t.Errorf("%+v", lists)
	}
	if err := target.Disks.BeginRemoval(target.Paths[0], fs.Detach); err != nil {
		t.Fatal(err)
	}
	mountpath(t, c, 200, "disable-mp", target.Paths[0], "?dntres=true")
	mountpath(t, c, 204, "disable-mp", target.Paths[0], "?dntres=true")
	mountpath(t, c, 200, "enable-mp", target.Paths[0], "")
}

// A download that has begun ends, although its mountpath is taken out.
func TestReadOverARemoval(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{}`)
	target, content := c.Targets[0], strings.Repeat("0123456789abcdef", 1<<19)
	expect(t, 200, follower, "PUT", object(c.Proxies[0], "big"), strings.NewReader(content))
	res, err := follower.Get(object(c.Proxies[0], "big"))
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 1000)
	if _, err := io.ReadFull(res.Body, head); err != nil {
		t.Fatal(err)
	}
	for _, path := range target.Paths {
		mountpath(t, c, 200, "disable-mp", path, "?dntres=true&force=true")
	}
	rest, err := io.ReadAll(res.Body)
	if err != nil || string(head)+string(rest) != content {
		t.Errorf("%d of %d bytes: %v", len(head)+len(rest), len(content), err)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		expect(t, 503, follower, method, object(c.Proxies[0], "big"), nil)
	}
	for _, path := range target.Paths {
		mountpath(t, c, 200, "enable-mp", path, "")
	}
	if _, text := expect(t, 200, follower, "GET", object(c.Proxies[0], "big"), nil); text != content {
		t.Errorf("%d bytes", len(text))
	}
}
