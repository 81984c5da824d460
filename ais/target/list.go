package target

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

const (
	// maxListBody bounds the message of a gateway, in bytes.
	maxListBody = 1 << 20
	// maxListAnswer bounds the answer, in bytes: what does not fit is left
	// for the next call.
	maxListAnswer = 16 << 20
	// maxKeptAnswer is the largest answer whose memory is kept for the next
	// one, in bytes.
	maxKeptAnswer = 4 << 20
	// maxListWindow bounds the answer, in entries.
	maxListWindow = 128 << 10
)

// intra answers calls of gateways (POST /v1/intra/list/<bucket>) and of other
// targets (POST look, store, take, change and present, GET and HEAD object, GET fetch).
func (t *Target) intra(w http.ResponseWriter, r *http.Request) error {
	path := node.PathItems(r)
	if err := path.Require(4); err != nil {
		return err
	}
	switch call, post := path.Items[2], r.Method == http.MethodPost; {
	case call == "list" && post:
		return t.listWindow(w, r, path.Items[3])
	case call == "look" && post:
		return t.look(w, r, path.Items[3])
	case call == "store" && post:
		return t.storeCopy(w, r, path.Items[3])
	case call == "take" && post:
		return t.take(w, r, path.Items[3])
	case call == callSurrender && post:
		return t.surrender(w, r, path.Items[3])
	case call == callArrive && post:
		return t.arrive(w, r, path.Items[3])
	case call == "change" && post:
		return t.change(w, r, path.Items[3])
	case call == "present" && post:
		return t.present(w, r, path.Items[3])
	case call == "promote-look" && post:
		return t.lookAtFiles(w, r, path.Items[3])
	case call == "promote" && post:
		return t.promoteFiles(w, r, path.Items[3])
	case call == "summary" && r.Method == http.MethodGet:
		return t.summary(w, r, path.Items[3])
	case call == "fetch" && r.Method == http.MethodGet:
		return t.sendWhole(w, r, path.Items[3])
	case call == "streams" && post:
		return t.stream(w, r, path.Items[3])
	case call == callSlices && post:
		return t.slices(w, r, path.Items[3])
	case call == callSlice && r.Method == http.MethodGet:
		return t.sendSlice(w, r, path.Items[3])
	case call == "object" && !post:
		return t.served(w, r, path.Items[3])
	}
	return apierr.BadRequest("invalid request URI: '%s %s'", r.Method, r.RequestURI)
}

// listWindow answers with the names of this target that follow a name, in
// order: a window of the stream that a gateway merges. The token is set when
// more follow.
func (t *Target) listWindow(w http.ResponseWriter, r *http.Request, bucket string) error {
	began := time.Now()
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	bck, err := q.Bck(bucket)
	if err != nil {
		return err
	}
	body, err := node.ReadBody(r, maxListBody)
	if err != nil {
		return err
	}
	var msg wire.LsoMsg
	if err := json.Unmarshal(body, &msg); err != nil {
		return apierr.BadRequest("failed to unmarshal the list message: %v", err)
	}
	if msg.Prefix, err = naming.TrueToken(msg.Prefix); err != nil {
		return err
	}
	if msg.ContinuationToken, err = naming.TrueToken(msg.ContinuationToken); err != nil {
		return err
	}
	if msg.PageSize <= 0 || msg.PageSize > maxListWindow {
		msg.PageSize = maxListWindow
	}
	if placement, err := strconv.ParseInt(q.Get(wire.QueryPlacement), 10, 64); err == nil {
		if err := t.knows(r.Context(), placement); err != nil {
			return err
		}
	}
	props, err := objreq.Bucket(r.Context(), t.control, bck)
	if err != nil {
		return err
	}
	shown, marked := shownProps(msg.Want()), q.Bool(wire.QueryMarks)
	missing := msg.Flags.Has(wire.LsoMissing) && !msg.Flags.Has(wire.LsoNameOnly)
	options := core.ListOptions{
		Prefix: msg.Prefix, After: msg.ContinuationToken, Limit: int(msg.PageSize),
		NoRecursion: msg.Flags.Has(wire.LsoNoRecursion), Props: shown, Stamps: marked,
		Missing: missing, Owns: t.owns(marked, missing),
	}
	entries, err := t.list(r.Context(), &meta.BucketEntry{Bck: bck, Props: props}, &options, absentOwners(q.Get(wire.QueryAbsent)))
	if err != nil {
		t.metrics.Failed(metrics.List, bck, apierr.StatusOf(err))
		return err
	}
	layout := msg.TimeFormat
	if layout == "" {
		layout = wire.DefaultTimeFormat
	}
	page := wire.LsoPage{Entries: make([]wire.LsoEntry, 0, len(entries))}
	if t.fs.Available().Unsettled {
		page.Flags = wire.PageIncomplete
	}
	more := int64(len(entries)) >= msg.PageSize
	size := 0
	for i := range entries {
		entry := t.listEntry(&entries[i], shown, layout)
		if marked {
			stamp := &entries[i].Attrs.Stamp
			entry.Mark = &wire.LsoMark{Epoch: stamp.Epoch, Clock: stamp.Clock, Node: stamp.Node, Tombstone: entries[i].Tombstone}
		}
		size += entry.StringBytes() + 128
		if size > maxListAnswer && i > 0 && entries[i-1].Name != entry.Name {
			more = true
			break
		}
		page.Entries = append(page.Entries, entry)
	}
	if n := len(page.Entries); more && n > 0 {
		page.ContinuationToken = page.Entries[n-1].Name
	}
	t.metrics.Done(metrics.List, bck, 0, time.Since(began))
	if id := q.Get(wire.QueryUUID); id != "" && (more && msg.PageSize > 1 || q.Bool(wire.QueryListGoesOn)) {
		t.listed(r.Context(), id, bck, props, len(page.Entries))
	}
	kept, _ := t.windows.Get().(*[]byte)
	if kept == nil {
		kept = new([]byte)
	}
	defer func() {
		if cap(*kept) <= maxKeptAnswer {
			t.windows.Put(kept)
		}
	}()
	answer := page.AppendMsgpack((*kept)[:0])
	*kept = answer
	if marked {
		size := len(answer)
		answer = page.AppendMarks(answer)
		*kept = answer
		w.Header()[wire.HeaderListMarks] = []string{strconv.Itoa(len(answer) - size)}
	}
	return node.WriteBytes(w, r, wire.ContentMsgpack, answer)
}

// list is a page of this target's objects and, as long as objects of owners that
// are gone may not have been made again, of what it holds slices of. Those come first: what
// is rebuilt here meanwhile is an object before its slice goes.
func (t *Target) list(ctx context.Context, entry *meta.BucketEntry, options *core.ListOptions, absent []string) ([]core.Entry, error) {
	var held []core.Entry
	if entry.Props.EC.Enabled && options.Stamps && !options.Missing && t.ec.HoldsLost(entry.Props.BID, absent) {
		var err error
		if held, err = t.listing.list(ctx, entry, options); err != nil {
			return nil, err
		}
	}
	own, err := t.store.List(ctx, entry.Bck, entry.Props, *options)
	return withSlices(own, held, options.Limit), err
}

// owns tells which names this target owns. It returns nil if that is not to
// count: as long as objects may lie with former owners, what they hold is listed,
// and the gateway takes the newest. A listing with all files of a name (every)
// wants to know in any case.
func (t *Target) owns(marked, every bool) func(unameDigest uint64) bool {
	view := t.control.View()
	if view.Smap == nil || !every && (marked || view.Smap.CountTargets() < 2 || !view.Placement.Settled()) {
		return nil
	}
	id := t.node.Snode().ID
	return func(unameDigest uint64) bool {
		owner, err := view.Smap.Owner(unameDigest)
		return err == nil && owner.ID == id
	}
}

// shownProps translates the properties of a list message. Those that are not
// there add nothing to an entry.
func shownProps(want wire.LsoProps) core.ListProps {
	var shown core.ListProps
	for _, pair := range [...]struct {
		wire wire.LsoProps
		core core.ListProps
	}{
		{wire.LsoPropSize, core.ListSize},
		{wire.LsoPropChecksum, core.ListChecksum},
		{wire.LsoPropAtime, core.ListAtime},
		{wire.LsoPropVersion, core.ListVersion},
		{wire.LsoPropCopies, core.ListCopies},
		{wire.LsoPropCustom, core.ListCustom},
		{wire.LsoPropLocation, core.ListLocation},
	} {
		if want.Has(pair.wire) {
			shown |= pair.core
		}
	}
	return shown
}

// listEntry is one entry as clients see it: only what was asked for.
func (t *Target) listEntry(e *core.Entry, shown core.ListProps, layout string) wire.LsoEntry {
	entry := wire.LsoEntry{Name: e.Name, Flags: e.Flags}
	if entry.IsDir() || shown == 0 {
		return entry
	}
	if shown&core.ListSize != 0 {
		entry.Size = e.Attrs.Size
	}
	if shown&core.ListChecksum != 0 {
		entry.Checksum = e.Attrs.Checksum.Value
	}
	if shown&core.ListAtime != 0 && e.Attrs.Atime != 0 {
		entry.Atime = time.Unix(0, e.Attrs.Atime).Format(layout)
	}
	if shown&core.ListVersion != 0 {
		entry.Version = e.Attrs.Version
	}
	if shown&core.ListCopies != 0 {
		entry.Copies = int16(min(e.Attrs.Copies, math.MaxInt16))
	}
	if shown&core.ListCustom != 0 {
		entry.Custom = customText(e.Attrs.Custom)
	}
	if shown&core.ListLocation != 0 && e.Attrs.Mountpath != nil {
		entry.Location = t.location(&e.Attrs)
	}
	return entry
}

// wellKnownCustom are the keys of backends, which are listed first.
var wellKnownCustom = [...]string{core.CustomSource, core.CustomETag, "LastModified", "Last-Modified", "crc32c", "md5", "version"}

// customText is custom metadata in a listing: "[ETag:67c2... key:value]".
func customText(custom []core.KV) string {
	if len(custom) == 0 {
		return ""
	}
	var text strings.Builder
	add := func(kv core.KV) {
		if text.Len() > 0 {
			text.WriteByte(' ')
		}
		text.WriteString(kv.Key)
		text.WriteByte(':')
		text.WriteString(kv.Value)
	}
	for _, key := range wellKnownCustom {
		for _, kv := range custom {
			if kv.Key == key {
				add(kv)
			}
		}
	}
	for _, kv := range custom {
		if !slices.Contains(wellKnownCustom[:], kv.Key) {
			add(kv)
		}
	}
	return "[" + text.String() + "]"
}
