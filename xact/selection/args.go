package selection

import (
	"bytes"
	"encoding/json"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

// DecodeArgs reads the arguments of a job; none is an error.
func DecodeArgs(spec *xact.Spec, args any) error {
	dec := json.NewDecoder(bytes.NewReader(spec.Args))
	dec.DisallowUnknownFields()
	if err := dec.Decode(args); err != nil {
		return apierr.BadRequest("failed to unmarshal the arguments of %s: %v", spec.Kind, err)
	}
	return nil
}

// Bucket returns the properties of a job's bucket as they are now, if it is
// the incarnation that the job was made for (0: any).
func Bucket(env *xact.Env, bck wire.Bck, bid uint64) (*meta.Bprops, error) {
	if bmd := env.View().BMD; bmd != nil {
		if props, ok := bmd.Get(bck); ok && (bid == 0 || props.BID == bid) {
			return props, nil
		}
	}
	return nil, apierr.BucketNotFound(bck)
}
