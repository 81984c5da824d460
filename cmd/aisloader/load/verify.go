package load

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/aistore-go/aistore/cmn/cksum"
)

// verifier compares a body with the checksum of its answer. An answer without
// one has nothing to be compared with.
type verifier struct {
	active bool
	kind   string
	hash   hash.Hash
	sum    []byte
	text   []byte
}

// begin starts a body whose answer names a type of checksum.
func (v *verifier) begin(kind []byte) (err error) {
	v.active = len(kind) > 0 && string(kind) != cksum.None
	if !v.active {
		return nil
	}
	if v.hash == nil || v.kind != string(kind) {
		v.kind = string(kind)
		if v.hash, err = cksum.New(v.kind); err != nil {
			v.active = false
		}
		return err
	}
	v.hash.Reset()
	return nil
}

func (v *verifier) end() { v.active = false }

func (v *verifier) write(data []byte) {
	if v.active {
		v.hash.Write(data)
	}
}

// compare ends a body. value is what the answer says; no type and no value is
// no difference.
func (v *verifier) compare(value []byte) error {
	if !v.active {
		if len(value) > 0 {
			return fmt.Errorf("the answer has a checksum (%s) and no type of it", value)
		}
		return nil
	}
	v.active = false
	v.sum = v.hash.Sum(v.sum[:0])
	v.text = hex.AppendEncode(v.text[:0], v.sum)
	if !bytes.Equal(v.text, value) {
		return fmt.Errorf("checksum mismatch: the answer says %s[%s], its body has %s", v.kind, value, v.text)
	}
	return nil
}
