package core

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aistore-go/aistore/cmn/cksum"
)

// preparedUpload begins an upload with some parts.
func (m *crashMachine) preparedUpload(name string, parts ...string) error {
	ctx := context.Background()
	id, err := m.store.CreateUpload(ctx, m.key(name), CreateOptions{})
	if err != nil {
		return err
	}
	m.uploads = []*crashUpload{{name: name, id: id}}
	for i := 0; i < len(parts) && err == nil; i++ {
		_, err = m.store.PutPart(ctx, m.key(name), id, i+1, strings.NewReader(parts[i]), PartOptions{Size: int64(len(parts[i]))})
	}
	return err
}

// uploadState is the sizes of the parts of the upload, "absent" if it has ended.
func (m *crashMachine) uploadState() (string, error) {
	u := m.uploads[0]
	parts, err := m.store.ListParts(context.Background(), m.key(u.name), u.id)
	if statusOf(err) == 404 {
		return "absent", nil
	}
	if err != nil {
		return "", err
	}
	var sizes []string
	for i := range parts {
		content, err := m.partContent(u, parts[i].Number)
		if err != nil {
			return "", err
		}
		sizes = append(sizes, fmt.Sprint(parts[i].Number, "=", content))
	}
	return strings.Join(sizes, " "), nil
}

// faultyChanges are the operations whose outcome hangs on what there is, and
// those of uploads.
func faultyChanges() []faultyOperation {
	ctx := context.Background()
	put := func(name, content string, custom ...KV) func(*crashMachine) error {
		return func(m *crashMachine) error {
			_, err := m.store.Put(ctx, m.key(name), strings.NewReader(content), PutOptions{Size: int64(len(content)), Custom: custom})
			return err
		}
	}
	begun := func(parts ...string) func(*crashMachine) error {
		return func(m *crashMachine) error { return m.preparedUpload("o", parts...) }
	}
	part := func(number int, content string) func(*crashMachine) error {
		return func(m *crashMachine) error {
			opts := PartOptions{Size: int64(len(content))}
			_, err := m.store.PutPart(ctx, m.key("o"), m.uploads[0].id, number, strings.NewReader(content), opts)
			return err
		}
	}
	complete := func(numbers ...int) func(*crashMachine) error {
		return func(m *crashMachine) error {
			opts := CompleteOptions{Listed: true}
			for _, number := range numbers {
				opts.Parts = append(opts.Parts, CompletePart{Number: number})
			}
			_, err := m.store.CompleteUpload(ctx, m.key("o"), m.uploads[0].id, opts)
			return err
		}
	}
	custom := func(m *crashMachine) (string, error) {
		attrs, err := m.store.Head(ctx, m.key("o"))
		value, _ := attrs.CustomValue("k")
		return value, err
	}
	patch := func(value string) func(*crashMachine) error {
		return func(m *crashMachine) error {
			_, err := m.store.SetCustom(ctx, m.key("o"), []KV{{"k", value}}, true)
			return err
		}
	}
	long := strings.Repeat("v", 2040)
	grown := func(found string) string { return strings.TrimPrefix(found, "absent") + "new" }
	return []faultyOperation{
		{name: "append", object: "o", before: "old ", after: "old new", prepare: put("o", "old "), run: appendTo(1), next: grown},
		{name: "append to nothing", object: "d/e", before: "absent", after: "new", run: appendTo(1), next: grown},
		{name: "append that is tried again", object: "o", before: "old ", after: "old new", prepare: put("o", "old "), run: appendTo(2), next: grown, retries: true},
		{name: "copy", object: "d/e", before: "absent", after: "new", prepare: put("o", "new"), run: copyTo("d/e")},
		{name: "copy over an object with a sidecar", object: "p", before: "old", after: "new", prepare: func(m *crashMachine) error {
			if err := put("o", "new", KV{"k", long})(m); err != nil {
				return err
			}
			return put("p", "old", KV{"k", long})(m)
		}, run: copyTo("p")},
		{name: "rename", object: "p", before: "old", after: "new", prepare: func(m *crashMachine) error {
			if err := put("o", "new")(m); err != nil {
				return err
			}
			return put("p", "old")(m)
		}, run: func(m *crashMachine) error {
			moved, err := m.store.Copy(ctx, m.key("o"), m.key("p"), true)
			if err == nil {
				err = m.store.DeleteUnchanged(ctx, m.key("o"), moved.Stamp)
			}
			if statusOf(err) == 404 { // it was moved
				return nil
			}
			return err
		}, either: true},
		{name: "custom metadata", object: "o", before: "old", after: "new", prepare: put("o", "x", KV{"k", "old"}), run: patch("new"), state: custom, either: true},
		{name: "custom metadata into a sidecar", object: "o", before: "old", after: long, prepare: put("o", "x", KV{"k", "old"}), run: patch(long), state: custom, either: true},
		{name: "custom metadata out of a sidecar", object: "o", before: long, after: "new", prepare: put("o", "x", KV{"k", long}), run: patch("new"), state: custom, either: true},
		{name: "upload", object: "o", before: "", after: "", prepare: begun(), run: func(m *crashMachine) error { return m.preparedUpload("o") }, state: (*crashMachine).uploadState},
		{name: "part", object: "o", before: "1=one", after: "1=one 2=two", prepare: begun("one"), run: part(2, "two"), state: (*crashMachine).uploadState},
		{name: "first part", object: "d/e", before: "", after: "1=new", prepare: func(m *crashMachine) error { return m.preparedUpload("d/e") }, run: func(m *crashMachine) error {
			_, err := m.store.PutPart(ctx, m.key("d/e"), m.uploads[0].id, 1, strings.NewReader("new"), PartOptions{Size: 3})
			return err
		}, state: (*crashMachine).uploadState},
		{
			name: "part again", object: "o", before: "1=one 2=old", after: "1=one 2=new", prepare: begun("one", "old"), run: part(2, "new"),
			state: (*crashMachine).uploadState, unknown: "1=one",
		},
		{name: "complete some parts", object: "o", before: "absent", after: "onethree", prepare: begun("one", "two", "three"), run: complete(1, 3), either: true, once: true},
		{name: "a part and a completion, whatever the part said", object: "o", before: "absent", after: "onetwo", prepare: begun("one"), run: func(m *crashMachine) error {
			failed := part(2, "two")(m)
			if err := complete(1, 2)(m); err != nil && failed == nil {
				return err
			} else if err != nil {
				return failed
			}
			return nil
		}, retries: true, either: true, once: true},
		{name: "abort", object: "o", before: "1=one 2=two", after: "absent", prepare: begun("one", "two"), run: func(m *crashMachine) error {
			return m.store.AbortUpload(ctx, m.key("o"), m.uploads[0].id)
		}, state: (*crashMachine).uploadState},
	}
}

func copyTo(name string) func(*crashMachine) error {
	return func(m *crashMachine) error {
		_, err := m.store.Copy(context.Background(), m.key("o"), m.key(name), false)
		return err
	}
}

// appendTo appends to the one name of the plan; the flush is tried several times
// with its handle. What is given up is removed.
func appendTo(tries int) func(*crashMachine) error {
	return func(m *crashMachine) (err error) {
		ctx, key := context.Background(), m.key(m.plan.Names[0])
		defer func() {
			if err != nil {
				m.store.DropAppends(-1)
			}
		}()
		h, err := m.store.BeginAppend(ctx, key, strings.NewReader("n"), 1, 0)
		if err != nil {
			return err
		}
		if h, err = m.store.Append(ctx, key, h, strings.NewReader("ew"), 2, 0); err != nil {
			return err
		}
		var first error
		for range tries {
			_, err = m.store.FlushAppend(ctx, key, h, cksum.Value{})
			if first == nil {
				first = err
			}
			if err == nil {
				return nil
			}
		}
		return first
	}
}

// mayBe tells whether a state is one that a failed operation may leave.
func (op *faultyOperation) mayBe(state string, unsure bool) bool {
	return state == op.before || (unsure || op.either) && slices.Contains([]string{op.after, op.unknown}, state)
}
