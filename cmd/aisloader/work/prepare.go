package work

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/aisloader/names"
	"github.com/aistore-go/aistore/cmd/aisloader/params"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// listingPause is how long a listing goes on in silence.
const listingPause = 10 * time.Second

// Load is a prepared run.
type Load struct {
	p       *params.Params
	session *Session
	names   []string
	order   *names.Order // of runs that read each name as often as any other
	maker   names.Maker
	block   []byte
	states  []*state
	limits  limits
	message io.Writer // of what goes wrong
	shown   errorLimit
}

// Prepare finds or makes the bucket and learns what can be read. With a dry
// run nothing is made.
func Prepare(ctx context.Context, p *params.Params, s *Session, out, message io.Writer) (*Load, error) {
	l := &Load{
		p: p, session: s, message: message,
		maker: names.Maker{Prefix: folder(p.Subdir), Subdirs: uint64(p.NumSubdirs), Random: p.RandomName, Seed: uint64(p.Seed), Loader: p.LoaderID, Bits: p.LoaderBits},
	}
	created, err := l.makeBucket(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case created && p.Reads():
		return nil, errors.New("new bucket, expecting 100% PUT")
	case p.FileList != "":
		if l.names, err = readNames(p.FileList); err != nil {
			return nil, fmt.Errorf("-filelist: %w", err)
		}
	case !created && !(p.PctPut == 100 && p.SkipList):
		if err := l.list(ctx, out); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(out, "Found %d existing objects\n\n", len(l.names))
	switch {
	case p.PctPut == 0 && len(l.names) == 0:
		return nil, fmt.Errorf("%s: there is nothing to read (write first, with -pctput=100)", p.Bucket)
	case p.Epochs > 0 && len(l.names) < 2:
		return nil, fmt.Errorf("%s: -epochs needs at least two objects, and there is %d", p.Bucket, len(l.names))
	case p.PctPut == 0 || p.Epochs > 0:
		l.order = names.NewOrder(len(l.names), p.ShuffleMax, uint64(p.Seed))
	}
	return l, nil
}

// folder is the prefix of names in a virtual folder.
func folder(subdir string) string {
	if subdir == "" || strings.HasSuffix(subdir, "/") {
		return subdir
	}
	return subdir + "/"
}

// NameGetter says how names are picked.
func (l *Load) NameGetter() string {
	switch {
	case l.p.Epochs > 0:
		return "unique epoch-based"
	case l.order != nil:
		return "random unique"
	case l.p.PctPut == 100 && !l.p.RandomName:
		return "unique sequential"
	}
	return "random non-unique"
}

func (l *Load) makeBucket(ctx context.Context) (created bool, err error) {
	client, bck := l.session.Client, l.p.Bucket
	present, err := client.ListBuckets(ctx, bck, wire.PresencePresent)
	if err != nil {
		return false, err
	}
	if !slices.Contains(present, bck) { // a query without a namespace is for all of them
		created = true
		if l.p.DryRun {
			return created, nil
		}
		// Another loader may be faster.
		if err := client.CreateBucket(ctx, bck, nil); api.IsConflict(err) {
			created = false
		} else if err != nil {
			return false, err
		}
	}
	if l.p.Bprops == "" || l.p.DryRun {
		return created, nil
	}
	return created, l.setProps(ctx)
}

// setProps applies the properties for redundancy.
func (l *Load) setProps(ctx context.Context) error {
	given := meta.BpropsToSet{}
	if err := json.Unmarshal([]byte(l.p.Bprops), &given); err != nil {
		return fmt.Errorf("-bprops: %w", err)
	}
	props := &meta.BpropsToSet{Mirror: given.Mirror, EC: given.EC}
	if props.Mirror == nil && props.EC == nil {
		return errors.New(`-bprops: neither "mirror" nor "ec" is given, and nothing else is applied`)
	}
	complete(props)
	if _, err := l.session.Client.HeadBucket(ctx, l.p.Bucket, true); err != nil {
		return err
	}
	if _, err := l.session.Client.SetBucketProps(ctx, l.p.Bucket, props); err != nil {
		return fmt.Errorf("-bprops: %w", err)
	}
	return nil
}

// list reads the names of the bucket.
func (l *Load) list(ctx context.Context, out io.Writer) error {
	msg := wire.LsoMsg{Props: wire.LsoPropsName, Prefix: l.p.Subdir}
	if !l.p.ListDirs {
		msg.Flags |= wire.LsoNoDirs
	}
	if l.p.Cached {
		msg.Flags |= wire.LsoCached
	}
	last := time.Now()
	for entry, err := range l.session.Client.Objects(ctx, l.p.Bucket, msg) {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			continue // a folder cannot be read
		}
		l.names = append(l.names, entry.Name)
		if time.Since(last) > listingPause {
			last = time.Now()
			fmt.Fprintf(out, "Listing %d objects\n", len(l.names))
		}
	}
	return nil
}

// readNames reads a list of names; lines with white space are not names.
func readNames(path string) (list []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		name := strings.TrimSpace(scanner.Text())
		if name != "" && !strings.ContainsAny(name, " \t\r\v\f") {
			list = append(list, name)
		}
	}
	return list, scanner.Err()
}

// complete gives redundancy that is switched on its defaults: two copies, one
// data and one parity slice.
func complete(props *meta.BpropsToSet) {
	orDefault := func(field **int, value int) {
		if *field == nil {
			*field = &value
		}
	}
	if m := props.Mirror; m != nil && m.Enabled != nil && *m.Enabled {
		orDefault(&m.Copies, 2)
	}
	if ec := props.EC; ec != nil && ec.Enabled != nil && *ec.Enabled {
		orDefault(&ec.DataSlices, 1)
		orDefault(&ec.ParitySlices, 1)
	}
}
