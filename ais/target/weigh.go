package target

import (
	"errors"
	"net/http"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
)

// weighMountpaths has names placed on the mountpaths of this target in proportion to capacities, or
// takes that back, and has the objects moved whose place changes. The answer is the capacities
// by path; it is empty where mountpaths get equal shares.
func (t *Target) weighMountpaths(w http.ResponseWriter, r *http.Request, msg *node.ActMsg) error {
	var value wire.WeighMsg
	if err := node.DecodeValue(msg.Value, &value, "the value of action "+msg.Action); err != nil {
		return err
	}
	capacities := value.Capacities
	var err error
	switch {
	case value.By != "" && len(capacities) > 0:
		return apierr.BadRequest(`invalid value: "by" and "capacities" exclude each other`)
	case value.By == wire.WeighByCapacity:
		capacities, err = t.fs.Sizes()
	case value.By == wire.WeighByNothing:
		capacities = nil
	case value.By != "" || len(capacities) == 0:
		return apierr.BadRequest(`invalid value: expecting "by":%q, "by":%q, or "capacities" with a number for each mountpath, have "by":%q`,
			wire.WeighByCapacity, wire.WeighByNothing, value.By)
	}
	if err != nil {
		return err
	}
	err = t.store.ChangeMountpaths(func(fs.Prepare) error { return t.fs.Weigh(capacities) })
	if errors.Is(err, fs.ErrAlready) {
		err = nil
	}
	if err = t.afterMountpathChange(err, true); err != nil {
		return err
	}
	answer := t.fs.Available().Capacities()
	if answer == nil {
		answer = map[string]uint64{}
	}
	return node.WriteJSON(w, r, answer)
}
