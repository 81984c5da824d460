package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/wire"
)

// allProps is what "--props all" asks for and the order of the columns.
const allProps = "name,size,checksum,atime,version,copies,ec,custom,location,chunked,status"

// counterAfter is when a long listing begins to show how far it is.
const counterAfter = 8 * time.Second

// listing is one "ls" of a bucket.
type listing struct {
	app     *App
	bucket  wire.Bck
	msg     wire.LsoMsg
	columns []string
	units   measure.Units
	regex   *regexp.Regexp // nil: all names
	limit   int64          // 0: none
	pages   int64          // 0: all
}

// listObjects is "ls BUCKET" and "ls BUCKET/NAME": an object of that name is
// shown with its properties, else the name is a prefix.
func (a *App) listObjects(ctx context.Context, cmd *cli.Command, what uri.URI) error {
	client, err := a.cluster()
	if err != nil {
		return err
	}
	if !cmd.Bool("skip-lookup") {
		if _, err := a.headBucket(ctx, what.Bucket, what.Object != "" || cmd.Bool("dont-add")); err != nil {
			return err
		}
	}
	if what.Object != "" {
		if cmd.IsSet("prefix") {
			return misuse(cmd, "flag --prefix does not go with a name after the bucket (%q)", what.Object)
		}
		single := !strings.HasSuffix(what.Object, "/") && !cmd.Bool("non-recursive") && !cmd.Bool("count-only")
		if single {
			shown, err := a.showIfObject(ctx, cmd, client, what)
			if shown || err != nil {
				return err
			}
		}
	}
	l, err := a.newListing(cmd, what)
	if err != nil {
		return err
	}
	switch {
	case cmd.Bool("count-only"):
		return l.count(ctx, cmd, client)
	case cmd.Bool("paged"):
		return l.printPages(ctx, cmd, client)
	}
	return l.printAll(ctx, cmd, client)
}

// showIfObject prints the object's properties; it has not if there is no such
// object.
func (a *App) showIfObject(ctx context.Context, cmd *cli.Command, client *api.Client, what uri.URI) (shown bool, err error) {
	props, err := objectProps(cmd, what.Bucket)
	if err != nil {
		return false, err
	}
	attrs, err := client.HeadObject(ctx, what.Bucket, what.Object, api.HeadArgs{
		Presence: wire.PresencePresent, Props: props, Silent: true,
	})
	if api.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, a.printObject(cmd, what, attrs, props)
}

// newListing reads the flags.
func (a *App) newListing(cmd *cli.Command, what uri.URI) (*listing, error) {
	l := &listing{app: a, bucket: what.Bucket, limit: cmd.Int64("limit"), pages: cmd.Int64("max-pages")}
	pageSize := cmd.Int64("page-size")
	if l.limit < 0 || l.pages < 0 || pageSize < 0 {
		return nil, misuse(cmd, "flags --limit, --max-pages and --page-size take no negative number")
	}
	if cmd.Bool("cached") && cmd.Bool("not-cached") {
		return nil, misuse(cmd, "flags --cached and --not-cached exclude each other")
	}
	if cmd.Bool("not-cached") && what.Bucket.IsAIS() {
		return nil, misuse(cmd, "flag --not-cached is for remote buckets")
	}
	var err error
	if l.units, _, err = units(cmd); err != nil {
		return nil, err
	}
	if expression := cmd.String("regex"); expression != "" {
		if l.regex, err = regexp.Compile(expression); err != nil {
			return nil, fmt.Errorf("flag --regex: %w", err)
		}
	}
	l.msg = wire.LsoMsg{
		Prefix: what.Object, StartAfter: cmd.String("start-after"), PageSize: pageSize, TimeFormat: time.RFC822,
	}
	if cmd.IsSet("prefix") {
		l.msg.Prefix = cmd.String("prefix")
	}
	if l.limit > 0 && l.regex == nil && (pageSize == 0 || l.limit < pageSize) {
		l.msg.PageSize = l.limit
	}
	l.flags(cmd)
	return l, l.props(cmd)
}

func (l *listing) flags(cmd *cli.Command) {
	remote := !l.bucket.IsAIS()
	for _, bit := range []struct {
		wanted bool
		flag   wire.LsoFlags
	}{
		{remote && !cmd.Bool("all"), wire.LsoBckPresent},
		{cmd.Bool("all"), wire.LsoMissing},
		{cmd.Bool("cached"), wire.LsoCached},
		{cmd.Bool("not-cached"), wire.LsoNotCached | wire.LsoNoDirs},
		{cmd.Bool("skip-lookup"), wire.LsoDontHeadRemote},
		{cmd.Bool("dont-add"), wire.LsoDontAddRemote},
		{cmd.Bool("non-recursive"), wire.LsoNoRecursion},
		{cmd.Bool("no-dirs"), wire.LsoNoDirs},
	} {
		if bit.wanted {
			l.msg.Flags |= bit.flag
		}
	}
}

// props decides which properties are asked for and which columns are shown.
func (l *listing) props(cmd *cli.Command) error {
	text := strings.ReplaceAll(cmd.String("props"), " ", "")
	switch {
	case cmd.Bool("name-only") && text != "" && text != "name":
		return misuse(cmd, "flags --name-only and --props exclude each other")
	case cmd.Bool("name-only") || cmd.Bool("count-only") || text == "name":
		l.msg.Flags |= wire.LsoNameOnly
		l.msg.Props, l.columns = "name", []string{"name"}
		return nil
	case text == "all":
		l.msg.Props, l.columns = allProps, strings.Split(allProps, ",")
		if !l.bucket.IsAIS() {
			l.msg.Props += ",cached"
			l.columns = append(l.columns, "cached")
		}
		return nil
	case text == "":
		l.msg.Props, l.columns = "name,size,cached", []string{"name", "size"}
		if cmd.Bool("dont-add") {
			l.msg.Props = "name,size"
			l.msg.Flags |= wire.LsoNameSize
		} else if !l.bucket.IsAIS() {
			l.columns = append(l.columns, "cached")
		}
	default:
		l.columns = []string{"name"}
		for _, name := range strings.Split(text, ",") {
			if name == "" || name == "name" {
				continue
			}
			if !strings.Contains(","+allProps+",cached,", ","+name+",") {
				return fmt.Errorf("invalid property %q (expected names of %s,cached, or all)", name, allProps)
			}
			l.columns = append(l.columns, name)
		}
		l.msg.Props = strings.Join(l.columns, ",")
		if l.msg.Props == "name,size" {
			l.msg.Flags |= wire.LsoNameSize
		}
	}
	if cmd.Bool("chunked") && !strings.Contains(l.msg.Props, "chunked") {
		l.columns = append(l.columns, "chunked")
		l.msg.Props += ",chunked"
	}
	if cmd.Bool("all") && !strings.Contains(l.msg.Props, "status") {
		l.columns = append(l.columns, "status")
		l.msg.Props += ",status"
	}
	return nil
}

// each calls visit with the entries of each page, at most limit in all.
func (l *listing) each(ctx context.Context, client *api.Client, visit func([]wire.LsoEntry) error) error {
	total, pages := int64(0), int64(0)
	for page, err := range client.Pages(ctx, l.bucket, &l.msg) {
		if err != nil {
			return l.explain(err)
		}
		entries := page.Entries
		if l.regex != nil {
			kept := entries[:0]
			for _, entry := range entries {
				if l.regex.MatchString(entry.Name) {
					kept = append(kept, entry)
				}
			}
			entries = kept
		}
		if l.limit > 0 && total+int64(len(entries)) > l.limit {
			entries = entries[:l.limit-total]
		}
		total += int64(len(entries))
		if err := visit(entries); err != nil {
			return err
		}
		if pages++; pages == l.pages || total == l.limit && l.limit > 0 {
			return nil
		}
		if l.limit > 0 && l.regex == nil && l.msg.PageSize > l.limit-total {
			l.msg.PageSize = l.limit - total
		}
	}
	return nil
}

func (l *listing) explain(err error) error {
	if api.TypeCode(err) == wire.CodeRemoteBckNotFound {
		return fmt.Errorf("%w (tip: use '--all' if the bucket is not in the cluster yet, or check its name)", err)
	}
	return err
}

func (l *listing) count(ctx context.Context, cmd *cli.Command, client *api.Client) error {
	began, total := time.Now(), int64(0)
	if err := l.each(ctx, client, func(entries []wire.LsoEntry) error {
		total += int64(len(entries))
		return nil
	}); err != nil {
		return err
	}
	elapsed := time.Since(began)
	if cmd.Bool("json") {
		return l.app.printJSON(map[string]any{"count": total, "seconds": elapsed.Seconds()})
	}
	return l.app.say("Listed %s names in %s", measure.Count(total), measure.Elapsed(elapsed))
}

func (l *listing) printAll(ctx context.Context, cmd *cli.Command, client *api.Client) error {
	var all []wire.LsoEntry
	began := time.Now()
	err := l.each(ctx, client, func(entries []wire.LsoEntry) error {
		all = append(all, entries...)
		if time.Since(began) > counterAfter && l.app.ErrIsTerminal {
			_, _ = fmt.Fprintf(l.app.Err, "\rListed %s names", measure.Count(int64(len(all)))) // only a comfort
		}
		return nil
	})
	if time.Since(began) > counterAfter && l.app.ErrIsTerminal {
		_, _ = fmt.Fprintln(l.app.Err)
	}
	if err != nil {
		return err
	}
	if cmd.Bool("json") {
		if all == nil {
			all = []wire.LsoEntry{}
		}
		return l.app.printJSON(all)
	}
	return l.print(l.app.Out, all, cmd.Bool("no-headers"))
}

func (l *listing) printPages(ctx context.Context, cmd *cli.Command, client *api.Client) error {
	if cmd.Bool("json") {
		return errors.New("flags --paged and --json exclude each other")
	}
	noHeader, total, pages := cmd.Bool("no-headers"), int64(0), 0
	err := l.each(ctx, client, func(entries []wire.LsoEntry) error {
		pages++
		total += int64(len(entries))
		if len(entries) == 0 {
			return nil
		}
		err := l.print(l.app.Out, entries, noHeader)
		noHeader = true
		return err
	})
	if err != nil || cmd.Bool("no-footers") {
		return err
	}
	return l.app.say("Page %d: %s names in all", pages, measure.Count(total))
}

func (l *listing) print(w io.Writer, entries []wire.LsoEntry, noHeader bool) error {
	headers := make([]string, len(l.columns))
	for i, name := range l.columns {
		headers[i] = strings.ToUpper(name)
	}
	t := table.New(headers...)
	for i := range entries {
		cells := make([]string, len(l.columns))
		for j, name := range l.columns {
			cells[j] = l.cell(&entries[i], name)
		}
		t.Row(cells...)
	}
	t.HideIf("EC", isBlank)
	return t.Print(w, noHeader)
}

// cell is what a column shows of an entry. A directory has only its name.
func (l *listing) cell(entry *wire.LsoEntry, column string) string {
	if entry.IsDir() && column != "name" {
		return ""
	}
	switch column {
	case "name":
		return entry.Name
	case "size":
		return measure.Size(entry.Size, l.units)
	case "checksum":
		return orDash(entry.Checksum)
	case "atime":
		return orDash(entry.Atime)
	case "version":
		return orDash(entry.Version)
	case "copies":
		return strconv.Itoa(int(entry.Copies))
	case "custom":
		return orDash(entry.Custom)
	case "location":
		return orDash(entry.Location)
	case "cached":
		return yesNo(entry.IsPresent())
	case "chunked":
		if entry.Flags&wire.EntryIsChunked != 0 {
			return "yes"
		}
	case "status":
		return entryStatus(entry)
	}
	return ""
}

// entryStatus is the state of an object's place.
func entryStatus(entry *wire.LsoEntry) string {
	switch {
	case entry.Flags&wire.EntryVersionChanged != 0:
		return "version-changed"
	case entry.Flags&wire.EntryVersionRemoved != 0:
		return "deleted"
	case entry.Flags&wire.EntryHeadFailed != 0:
		return "remote-error"
	case !entry.IsPresent():
		return "n/a"
	}
	switch entry.Status() {
	case wire.EntryMisplacedNode:
		return "misplaced(cluster)"
	case wire.EntryMisplacedMountpath:
		return "misplaced(mountpath)"
	case wire.EntryReplica:
		return "replica"
	case wire.EntryOrphanReplica:
		return "replica(object-is-missing)"
	}
	return "ok"
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
