package core

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/cmn/naming"
)

func genUploadID() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return rapid.StringOfN(rapid.RuneFrom([]rune(uploadIDLetters)), uploadIDLength, uploadIDLength, -1).Draw(t, "id")
	})
}

func genManifest() *rapid.Generator[*manifest] {
	return rapid.Custom(func(t *rapid.T) *manifest {
		m := &manifest{
			upload: genUploadID().Draw(t, "upload"), bid: rapid.Uint64().Draw(t, "bid"),
			name: string(rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "name")), state: stateUpload,
		}
		if rapid.Bool().Draw(t, "completed") {
			m.state = stateCompleted
			number := 0
			for range rapid.IntRange(1, 50).Draw(t, "chunks") {
				number += rapid.IntRange(1, 100).Draw(t, "gap")
				m.add(chunk{number: number, size: rapid.Int64Range(0, 1<<40).Draw(t, "size"), crc: rapid.Uint32().Draw(t, "crc"), mp: rapid.StringN(0, 16, 16).Draw(t, "mp")})
			}
			return m
		}
		m.created = rapid.Int64().Draw(t, "created")
		for i := range rapid.IntRange(0, 3).Draw(t, "pairs") {
			m.custom = append(m.custom, KV{fmt.Sprint("k", i), rapid.String().Draw(t, "value")})
		}
		return m
	})
}

// TestManifestRoundTrip: what is encoded is decoded, and nothing that differs
// in one byte is.
func TestManifestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := genManifest().Draw(rt, "manifest")
		file := m.encode()
		got, err := decodeManifest(file)
		if err != nil || !reflect.DeepEqual(got, m) {
			rt.Fatalf("%+v became %+v, %v", m, got, err)
		}
		at := rapid.IntRange(0, len(file)-1).Draw(rt, "at")
		file[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
		if got, err := decodeManifest(file); err == nil {
			rt.Fatalf("byte %d changed, and decoded as %+v", at, got)
		}
		if _, err := decodeManifest(file[:rapid.IntRange(0, len(file)-1).Draw(rt, "cut")]); err == nil {
			rt.Fatal("a part of it decodes")
		}
	})
}

func TestPartRecordRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := partRecord{
			number: rapid.IntRange(1, maxChunkNumber).Draw(rt, "number"), size: rapid.Int64Range(0, 1<<50).Draw(rt, "size"),
			clock: rapid.Uint64().Draw(rt, "clock"), bid: rapid.Uint64().Draw(rt, "bid"), crc: rapid.Uint32().Draw(rt, "crc"),
			upload: genUploadID().Draw(rt, "upload"),
		}
		if rapid.Bool().Draw(rt, "md5") {
			p.md5 = string(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "sum"))
		}
		if rapid.Bool().Draw(rt, "in order") {
			p.wholeType, p.wholeState = "xxhash2", string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "state"))
		}
		frame := p.encode(nil)
		got, err := decodePart(frame)
		if err != nil || got != p || len(frame) > maxPartRecord {
			rt.Fatalf("%+v became %+v in %d bytes, %v", p, got, len(frame), err)
		}
		frame[rapid.IntRange(0, len(frame)-1).Draw(rt, "at")] ^= 0x10
		if _, err := decodePart(frame); err == nil {
			rt.Fatal("a changed byte is not noticed")
		}
	})
}

// FuzzManifest: no bytes make the parser fail otherwise than with an error, and
// what it accepts is what it would write.
func FuzzManifest(f *testing.F) {
	m := &manifest{state: stateCompleted, upload: "0123456789ab", bid: 1 << 63, name: "a/b.tar"}
	for n := 1; n < 4; n++ {
		m.add(chunk{number: n * 3, size: 1 << n, crc: uint32(n), mp: "00112233445566ff"})
	}
	f.Add(m.encode(), true)
	f.Add((&manifest{state: stateUpload, upload: "zzzzzzzzzzzz", name: "\x00", created: -1, custom: []KV{{"k", "v"}}}).encode(), true)
	f.Add((&partRecord{number: 7, size: 9, upload: "0123456789ab", md5: strings.Repeat("m", 16), wholeType: "md5", wholeState: "s"}).encode(nil), true)
	f.Fuzz(func(t *testing.T, data []byte, mend bool) {
		if mend && len(data) >= sidecarHead+frameSum { // get behind the checksum
			magic := manifestMagic
			if string(data[:4]) == partMagic {
				magic = partMagic
			}
			body := bytes.Clone(data[sidecarHead : len(data)-frameSum])
			data = appendFrame(nil, magic, func(dst []byte) []byte { return append(dst, body...) })
		}
		if m, err := decodeManifest(data); err == nil {
			again, err := decodeManifest(m.encode())
			if err != nil || !reflect.DeepEqual(m, again) {
				t.Fatalf("%+v became %+v, %v", m, again, err)
			}
		}
		if p, err := decodePart(data); err == nil {
			if again, err := decodePart(p.encode(nil)); err != nil || again != p {
				t.Fatalf("%+v became %+v, %v", p, again, err)
			}
		}
	})
}

// TestChunkNames: a name tells id and number if it is one of ours, and nothing
// if it is not.
func TestChunkNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		id, n := genUploadID().Draw(rt, "id"), rapid.IntRange(1, maxChunkNumber).Draw(rt, "number")
		if gotID, gotN, ok := parseChunkName(chunkName(id, n)); !ok || gotID != id || gotN != n {
			rt.Fatalf("%s.%d became %s.%d, %v", id, n, gotID, gotN, ok)
		}
		if gotID, done, ok := parseManifestName(id + manifestSuffix); !ok || !done || gotID != id {
			rt.Fatal("a manifest's name is not known")
		}
		if gotID, done, ok := parseManifestName(id); !ok || done || gotID != id {
			rt.Fatal("an upload's name is not known")
		}
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9a-z]{10,13}(\.[0-9]{0,6}|\.done|\.)?`)).Draw(rt, "text")
		if id, n, ok := parseChunkName(text); ok && chunkName(id, n) != text {
			rt.Fatalf("%q was taken for chunk %d of %q", text, n, id)
		}
		if id, done, ok := parseManifestName(text); ok && text != id && (!done || text != id+manifestSuffix) {
			rt.Fatalf("%q was taken for a manifest of %q", text, id)
		}
	})
}

// TestUploadsOfHardNames: uploads of names that look like anything, file names
// of uploads among them, do not meet, and a restart finds all of them.
func TestUploadsOfHardNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, rigOptions{mountpaths: 2, root: memoryDir(t)})
		defer r.close()
		var names []string
		ids := map[string]string{}
		gen := rapid.OneOf(
			rapid.SampledFrom(hardNames),
			rapid.StringMatching(`[a-z0-9.%! ]{1,40}(\.[0-9]{1,5}|\.done|\.tar)?`),
			rapid.Just(strings.Repeat("x.1%", 64)[:255]),
		)
		for i := range 6 {
			name := gen.Draw(rt, "name")
			if i > 2 { // like the files of another upload
				of := ids[names[rapid.IntRange(0, len(names)-1).Draw(rt, "of")]]
				name = rapid.SampledFrom([]string{of, of + ".done", of + ".00001", name + "." + of + ".0002", name + "." + of}).Draw(rt, "file")
			}
			if ids[name] != "" || strings.Trim(name, "./ ") == "" || len(name) > naming.MaxObjectName {
				continue
			}
			ids[name] = r.create(name)
			names = append(names, name)
			for n := range 3 {
				r.part(name, ids[name], n+1, fmt.Sprint(name, " part ", n+1))
			}
		}
		r.restart()
		for i, name := range names {
			if i%2 == 1 {
				continue
			}
			if _, err := r.tryComplete(name, ids[name], 1, 2, 3); err != nil {
				rt.Fatalf("%q: %v", name, err)
			}
		}
		r.restart()
		if _, err := r.store.CollectGarbage(context.Background(), r.bck, r.props, -1e9); err != nil {
			rt.Fatal(err)
		}
		for i, name := range names {
			want := ""
			for n := range 3 {
				want += fmt.Sprint(name, " part ", n+1)
			}
			if i%2 == 1 {
				if _, _, found := r.get(name); found {
					rt.Fatalf("%q is visible", name)
				}
				if _, err := r.tryComplete(name, ids[name], 1, 2, 3); err != nil {
					rt.Fatalf("%q: %v", name, err)
				}
			}
			if content, _, _ := r.get(name); content != want {
				rt.Fatalf("%q: %q, want %q", name, content, want)
			}
		}
	})
}
