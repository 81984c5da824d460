package core

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/cksum"
)

func fullRecord() record {
	return record{
		kind: KindObject, place: PlaceEscaped, size: 1 << 40, bid: 1<<63 | 5,
		stamp: Stamp{Epoch: 3, Clock: 1 << 60, Node: ^uint64(0)}, revision: Stamp{Epoch: 4, Clock: 1<<60 + 1, Node: 7}, mtime: 1700000000000000001, atime: -1,
		version: "77", checksum: cksum.Value{Type: cksum.SHA512, Value: strings.Repeat("ab", 64)},
		custom: []KV{{"a", ""}, {"k", "v=1,2"}, {"ключ", strings.Repeat("x", 300)}}, name: "a//b",
		copies: []string{"0123456789abcdef", "fedcba9876543210"},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	t.Parallel()
	small := record{kind: KindObject}
	for name, rec := range map[string]record{"full": fullRecord(), "empty": small} {
		frame, ok := rec.appendInline([]byte("before"))
		if !ok {
			t.Fatalf("%s: does not fit", name)
		}
		frame = frame[len("before"):]
		form, content, err := openFrame(frame)
		if err != nil || form != formInline {
			t.Fatalf("%s: form %d, %v", name, form, err)
		}
		var got record
		if err := got.decodeBody(content); err != nil || !reflect.DeepEqual(got, rec) {
			t.Fatalf("%s: %v\n got %+v\nwant %+v", name, err, got, rec)
		}
		stamp, bid, place, ok := peek(content)
		if !ok || stamp != rec.stamp || bid != rec.bid || place != rec.place {
			t.Fatalf("%s: peek: %v %d %d %v", name, stamp, bid, place, ok)
		}
	}
}

// The bytes of a record are what disks hold: they must not change.
func TestRecordBytes(t *testing.T) {
	t.Parallel()
	rec := record{
		kind: KindObject, size: 5, bid: 300, stamp: Stamp{Epoch: 1, Clock: 2, Node: 3}, mtime: 1, atime: 2,
		version: "1", checksum: cksum.Value{Type: "md5", Value: "00ff"}, custom: []KV{{"k", "v"}},
	}
	frame, ok := rec.appendInline(nil)
	want := "414c4f4d" + "01" + "00" + "4000" + // magic, version, form, length
		"020101" + "040105" + // kind, size
		"0618" + "0100000000000000" + "0200000000000000" + "0300000000000000" +
		"0802ac02" + "0d0131" + "0e08" + "036d6435" + "30306666" + // bucket id, version, checksum
		"0f0102" + "110104" + "1203016b76" // times, custom
	body := len(want)/2 - 8
	want = strings.Replace(want, "4000", fmt.Sprintf("%02x00", body), 1)
	if !ok || fmt.Sprintf("%x", frame[:len(frame)-8]) != want {
		t.Fatalf("\n got %x\nwant %s", frame[:len(frame)-8], want)
	}
}

func TestRecordEveryDamagedByteIsSeen(t *testing.T) {
	t.Parallel()
	rec := fullRecord()
	frame, _ := rec.appendInline(nil)
	for i := range frame {
		for _, bit := range []byte{1, 0x80} {
			bad := bytes.Clone(frame)
			bad[i] ^= bit
			if _, _, err := openFrame(bad); !errors.Is(err, errRecordDamaged) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
	for n := range frame {
		if _, _, err := openFrame(frame[:n]); !errors.Is(err, errRecordDamaged) {
			t.Fatalf("first %d bytes: %v", n, err)
		}
	}
}

func TestRecordUnknownFields(t *testing.T) {
	t.Parallel()
	rec := record{kind: KindObject, version: "1"}
	body := rec.appendBody(nil)
	for _, c := range []struct {
		tag byte
		ok  bool
	}{{21, true}, {22, false}, {101, true}, {11, false /* out of order */}} {
		var got record
		err := got.decodeBody(append(bytes.Clone(body), c.tag, 2, 'h', 'i'))
		if (err == nil) != c.ok {
			t.Errorf("unknown field %d: %v", c.tag, err)
		}
	}
}

func TestSidecarReference(t *testing.T) {
	t.Parallel()
	rec := fullRecord()
	file, err := rec.appendSidecar(nil)
	if err != nil {
		t.Fatal(err)
	}
	ref := sidecarRef{stamp: rec.stamp, length: uint32(len(file)), sum: sumBytes(file)}
	form, content, err := openFrame(ref.append(nil))
	if err != nil || form != formSidecar {
		t.Fatalf("form %d, %v", form, err)
	}
	if got, err := decodeReference(content); err != nil || got != ref {
		t.Fatalf("%+v, %v", got, err)
	}
	body, err := openSidecar(file, ref)
	if err != nil {
		t.Fatal(err)
	}
	var got record
	if err := got.decodeBody(body); err != nil || !reflect.DeepEqual(got, rec) {
		t.Fatalf("%v %+v", err, got)
	}
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 4
		if _, err := openSidecar(bad, ref); !errors.Is(err, errRecordDamaged) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	full := fullRecord()
	frame, _ := full.appendInline(nil)
	f.Add(frame)
	f.Add(frame[8 : len(frame)-8])
	f.Add(sidecarRef{length: 7}.append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		if form, content, err := openFrame(data); err == nil && form == formSidecar {
			if _, err := decodeReference(content); err != nil && !errors.Is(err, errRecordDamaged) {
				t.Fatal(err)
			}
		}
		var rec record
		if err := rec.decodeBody(data); err != nil {
			if !errors.Is(err, errRecordDamaged) {
				t.Fatal(err)
			}
			return
		}
		// What was accepted survives a round trip.
		var again record
		if err := again.decodeBody(rec.appendBody(nil)); err != nil {
			t.Fatalf("%+v: %v", rec, err)
		}
		if rec.checksum.IsNone() {
			again.checksum, rec.checksum = cksum.Value{}, cksum.Value{}
		}
		again.flags = rec.flags
		if fmt.Sprintf("%+v", again.custom) != fmt.Sprintf("%+v", rec.custom) || again.stamp != rec.stamp || again.size != rec.size {
			t.Fatalf("\n got %+v\nwant %+v", again, rec)
		}
	})
}

// FuzzVersionsName: the file that says whose versions a directory holds is read
// as it was written, and nothing else is taken for one.
func FuzzVersionsName(f *testing.F) {
	for _, name := range []string{"", "a", "dir/x", "\x00\xff", strings.Repeat("n", 4096)} {
		file := encodeVersionsName(name)
		f.Add(file)
		f.Add(file[:len(file)-1])
		f.Add(append(file, 0))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		name, err := decodeVersionsName(file)
		if err != nil {
			if !errors.Is(err, errRecordDamaged) {
				t.Fatal(err)
			}
			return
		}
		if again := encodeVersionsName(name); !bytes.Equal(again, file) {
			t.Fatalf("%q is the file of %q, whose file is %q", file, name, again)
		}
	})
}
