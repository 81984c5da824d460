package target

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
)

// mountpathRequest is one operation on a mountpath.
type mountpathRequest struct {
	action string
	path   string
	label  string
	// now: what lies on a mountpath that leaves is not moved first.
	now   bool
	force bool
}

// registerMountpaths answers PUT, POST and DELETE /v1/daemon/mountpaths: the
// action decides, whatever the method; and GET /v1/daemon/mountpaths/index.
func (t *Target) registerMountpaths() {
	methods := []string{http.MethodDelete, http.MethodGet, http.MethodPost, http.MethodPut}
	t.node.HandleDaemonItem(wire.ItemMountpaths, methods, node.Clients, t.mountpaths)
	t.node.HandleDaemonAction(wire.ActWeighMountpaths, node.Clients, t.weighMountpaths)
}

func (t *Target) mountpaths(w http.ResponseWriter, r *http.Request, items []string) error {
	if r.Method == http.MethodGet && len(items) == 1 && items[0] == itemIndex {
		return node.WriteJSON(w, r, t.indexes())
	}
	if len(items) > 0 || r.Method == http.MethodGet {
		return apierr.BadRequest("invalid request URI: '%s %s'", r.Method, r.RequestURI)
	}
	req, err := readMountpathRequest(r)
	if err != nil {
		return err
	}
	err = t.changeMountpath(req)
	if errors.Is(err, fs.ErrAlready) {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err != nil {
		t.logger.Warn("mountpath operation refused", "action", req.action, "mountpath", req.path, "err", err)
		return err
	}
	w.Header()[wire.HeaderContentLength] = zeroLength
	w.WriteHeader(http.StatusOK)
	return nil
}

func readMountpathRequest(r *http.Request) (*mountpathRequest, error) {
	msg, err := node.ReadActMsg(r, maxActionBody)
	if err != nil {
		return nil, err
	}
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	req := &mountpathRequest{
		action: msg.Action, label: q.Get(wire.QueryMountpathLabel),
		now: q.Bool(wire.QueryDontResilver), force: q.Bool(wire.QueryForceRemoval),
	}
	if err := json.Unmarshal(msg.Value, &req.path); err != nil || req.path == "" {
		return nil, apierr.BadRequest("failed to unmarshal the value of action %.64q: expected the path of a mountpath, got %.64s", msg.Action, msg.Value)
	}
	return req, nil
}

func (t *Target) changeMountpath(req *mountpathRequest) error {
	switch req.action {
	case wire.ActMountpathAttach:
		err := t.store.ChangeMountpaths(func(prepare fs.Prepare) error { return t.fs.Attach(req.path, req.label, prepare) })
		return t.afterMountpathChange(err, !req.now)
	case wire.ActMountpathEnable:
		return t.afterMountpathChange(t.enableMountpath(req.path), !req.now)
	case wire.ActMountpathDisable:
		return t.removeMountpath(req, fs.Disable)
	case wire.ActMountpathDetach:
		return t.removeMountpath(req, fs.Detach)
	case wire.ActMountpathRescan:
		return t.fs.Rescan(req.path)
	case wire.ActMountpathCheck:
		return t.checkMountpath(req.path)
	case wire.ActMountpathReindex:
		return t.store.ReindexMountpath(req.path)
	}
	return apierr.BadRequest("invalid action %.64q", req.action)
}

func (t *Target) enableMountpath(path string) error {
	return t.store.ChangeMountpaths(func(prepare fs.Prepare) error { return t.fs.Enable(path, prepare) })
}

// removeMountpath disables or detaches a mountpath. What lies on it is moved to the
// others first, unless the operator does not want that, or resilvering is turned
// off: then it leaves with its objects.
func (t *Target) removeMountpath(req *mountpathRequest, how fs.Removal) error {
	switch {
	case req.now && t.resilvering(req.path):
		return apierr.New(http.StatusBadRequest, wire.CodeInvalidMountpath,
			"%s: mountpath %q: objects are being moved between mountpaths, %s cannot be had meanwhile", t.node.Name(), req.path, wire.QueryDontResilver)
	case req.now, t.fs.Find(req.path) == nil: // or disabled, lost, unknown: nothing to move
		return t.fs.Remove(req.path, how, req.force)
	case !t.node.Config().Resilver.Enabled:
		return t.fs.Remove(req.path, how, req.force)
	}
	return t.moveOff(req, how)
}

// resilvering tells that objects are, or are to be, moved off another
// mountpath.
func (t *Target) resilvering(path string) bool {
	for _, mp := range t.fs.Available().Leaving {
		if mp != t.fs.Find(path) {
			return true
		}
	}
	return false
}

// checkMountpath begins a health check in the background.
func (t *Target) checkMountpath(path string) error {
	conf := t.node.Config().FSHC
	_, err := t.fs.Check(path, fs.CheckOptions{TestFiles: conf.TestFiles, ErrorLimit: conf.ErrorLimit}, func(r fs.CheckResult) {
		if r.Fault != "" {
			t.logger.Error("health check: the disk cannot be relied on", "mountpath", r.Mountpath, "finding", r.Fault, "took", r.Took)
			return
		}
		t.logger.Info("health check: healthy", "mountpath", r.Mountpath, "errors", r.Errors, "first", r.First, "took", r.Took.Round(time.Millisecond))
	})
	return err
}
