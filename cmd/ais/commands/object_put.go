package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmd/ais/transfer"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// Numbers of put.
const (
	defaultPutWorkers = 10
	maxPutRetries     = 5
	putRetryPause     = time.Second
)

// checksumTypes are the flags that name a checksum.
var checksumTypes = [...]string{cksum.CRC32C, cksum.MD5, cksum.SHA256, cksum.SHA512, cksum.XXHash, cksum.XXHash2}

func (a *App) putCommand() *cli.Command {
	flags := []cli.Flag{
		flag("recursive", "also the files in folders below", "r"),
		flag("include-src-dir", "names begin with the folder's own name"),
		textFlag("list", "store these files: `FILE[,FILE...]`"),
		numberFlag("num-workers", "store `N` files at a time (at most twice the number of CPUs)", defaultPutWorkers),
		flag("dry-run", "show what would be stored, and store nothing"),
		flag("cont-on-err", "go on with the other files after a failure"),
		numberFlag("retries", "try `N` more times after a failure (0 to 5)", 0),
		flag("skip-vc", "store without loading the previous object: no version, no metadata carried on"),
		flag("compute-checksum", "compute the checksum of the bucket's type here, for the cluster to compare"),
	}
	for _, kind := range checksumTypes {
		flags = append(flags, textFlag(kind, "have the cluster compare this "+kind+" `VALUE`, or, if it is empty, the value that is computed here"))
	}
	flags = append(flags, yesFlag(), progressFlag(), skipLookupFlag(), directFlag(), unitsFlag(), flag("verbose", "tell of each file", "v"))
	return &cli.Command{
		Name: "put", Usage: "store a file, a folder, or standard input", ArgsUsage: "[-|FILE|DIRECTORY[/PATTERN]] BUCKET[/OBJECT_NAME_or_PREFIX]",
		Description: examples(
			"ais put README.md ais://b",
			"ais put README.md ais://b/docs/",
			"ais put /data/train ais://b -r --yes",
			"ais put /data/train ais://b/images/ -r --include-src-dir --num-workers 4",
			"ais put \"/data/*.tar\" ais://b --dry-run",
			"tar c /data | ais put - ais://b/data.tar",
			"ais put big.bin ais://b --compute-checksum --progress"),
		Flags:         flags,
		ShellComplete: a.complete(a.bucketCandidates("/", 1)),
		Action:        a.put,
	}
}

func (a *App) put(ctx context.Context, cmd *cli.Command) error {
	list := cmd.String("list")
	source, target := cmd.Args().First(), cmd.Args().Get(1)
	switch {
	case list != "" && cmd.NArg() == 1:
		target = source
	case list != "" || cmd.NArg() != 2:
		return misuse(cmd, "expecting a source and BUCKET[/OBJECT_NAME_or_PREFIX]")
	}
	what, err := uri.Parse(target, a.config.DefaultProvider)
	if err != nil {
		return err
	}
	p, err := a.newPutter(ctx, cmd, what.Bucket)
	if err != nil {
		return err
	}
	if list != "" {
		return p.putList(ctx, strings.Split(list, ","), what.Object)
	}
	if source == "-" {
		return p.putStdin(ctx, what)
	}
	folder, pattern := transfer.Split(source)
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return p.putFolder(ctx, folder, pattern, what.Object)
	}
	return p.putFile(ctx, source, what)
}

// putter stores files with the flags of one command.
type putter struct {
	app      *App
	cmd      *cli.Command
	client   *api.Client
	bucket   wire.Bck
	units    measure.Units
	kind     string // of the checksum to compute, "" for none
	given    cksum.Value
	retries  int
	workers  int
	progress *transfer.Progress
}

func (a *App) newPutter(ctx context.Context, cmd *cli.Command, b wire.Bck) (*putter, error) {
	p := &putter{app: a, cmd: cmd, bucket: b, retries: int(min(max(cmd.Int64("retries"), 0), maxPutRetries))}
	var err error
	if p.units, _, err = units(cmd); err != nil {
		return nil, err
	}
	workers := cmd.Int64("num-workers")
	if workers < 1 {
		return nil, misuse(cmd, "flag --num-workers: %d (expected 1 or more)", workers)
	}
	p.workers = int(min(workers, int64(2*runtime.NumCPU())))
	for _, kind := range checksumTypes {
		if !cmd.IsSet(kind) {
			continue
		}
		if p.kind != "" || !p.given.IsNone() {
			return nil, misuse(cmd, "only one checksum can be given")
		}
		if value := cmd.String(kind); value != "" {
			p.given = cksum.Value{Type: kind, Value: value}
		} else {
			p.kind = kind
		}
	}
	if p.client, err = a.dataClient(cmd); err != nil {
		return nil, err
	}
	return p, p.lookUp(ctx)
}

// lookUp asks for the bucket and, if it is needed, its type of checksum.
func (p *putter) lookUp(ctx context.Context) error {
	compute := p.cmd.Bool("compute-checksum")
	if compute && (p.kind != "" || !p.given.IsNone()) {
		return misuse(p.cmd, "flag --compute-checksum does not go with a checksum")
	}
	if p.cmd.Bool("skip-lookup") && !compute {
		return nil
	}
	var props *meta.Bprops
	props, err := p.app.headBucket(ctx, p.bucket, false)
	if err != nil {
		return err
	}
	if compute {
		if p.kind = props.Checksum.Type; p.kind == cksum.None {
			p.app.warn("bucket %s has no checksums: there is nothing to compute", p.bucket)
			p.kind = ""
		}
	}
	return nil
}

func (p *putter) putFile(ctx context.Context, file string, what uri.URI) error {
	name := transfer.ObjectName(file, what.Object)
	source := transfer.Source{Path: file, Name: name}
	if p.cmd.Bool("dry-run") {
		return p.app.say("[DRY RUN] PUT %q => %s", file, p.bucket.Cname(name))
	}
	payload, err := api.File(file)
	if err != nil {
		return err
	}
	source.Size = payload.Size()
	p.progress = p.app.progress(p.cmd, 1, source.Size)
	_, err = p.store(ctx, source, true)
	p.progress.End()
	if err != nil {
		return err
	}
	return p.app.done("PUT %q => %s", file, p.bucket.Cname(name))
}

// putStdin stores standard input as one object of unknown length.
func (p *putter) putStdin(ctx context.Context, what uri.URI) error {
	if what.Object == "" || strings.HasSuffix(what.Object, "/") {
		return misuse(p.cmd, "%s: missing object name (there is none to take from standard input)", what)
	}
	if p.kind != "" {
		return misuse(p.cmd, "the checksum of standard input cannot be computed before it is sent")
	}
	if p.cmd.Bool("dry-run") {
		return p.app.say("[DRY RUN] PUT (standard input) => %s", what)
	}
	p.progress = p.app.progress(p.cmd, 1, -1)
	body := io.Reader(p.progress.Reader(io.NopCloser(p.app.In)))
	_, err := p.client.PutObject(ctx, p.bucket, what.Object, api.PutArgs{
		Body: api.Stream(body, -1), Checksum: p.given, SkipVC: p.cmd.Bool("skip-vc"),
	})
	p.progress.End()
	if api.IsStartingUp(err) {
		// Without its kind: the command must not be run again, what was read
		// of standard input is gone.
		return fmt.Errorf("PUT (standard input) => %s: %s", what, err.Error())
	}
	if err != nil {
		return err
	}
	return p.app.done("PUT (standard input) => %s", what)
}

func (p *putter) putFolder(ctx context.Context, folder, pattern, prefix string) error {
	sources, skipped, err := transfer.Collect(ctx, folder, transfer.Selection{
		Recursive: p.cmd.Bool("recursive"), Pattern: pattern, WithRoot: p.cmd.Bool("include-src-dir"), Prefix: prefix,
	})
	if err != nil {
		return err
	}
	if len(skipped) > 0 {
		p.app.warn("skipping %d file(s) that are not regular or cannot be read, the first: %q", len(skipped), skipped[0])
	}
	if len(sources) == 0 {
		hint := ""
		if !p.cmd.Bool("recursive") {
			hint = " (use --recursive for the folders below)"
		}
		return fmt.Errorf("there are no files in %q%s", filepath.Join(folder, pattern), hint)
	}
	return p.putMany(ctx, sources, prefix)
}

// putList stores the files that are named one by one.
func (p *putter) putList(ctx context.Context, files []string, prefix string) error {
	var sources []transfer.Source
	for _, file := range files {
		file = strings.TrimSpace(file)
		payload, err := api.File(file)
		if err != nil {
			return err
		}
		sources = append(sources, transfer.Source{Path: file, Name: prefix + filepath.Base(file), Size: payload.Size()})
	}
	return p.putMany(ctx, sources, prefix)
}

func (p *putter) putMany(ctx context.Context, sources []transfer.Source, prefix string) error {
	if !p.given.IsNone() {
		return misuse(p.cmd, "a checksum value is for a single file (an empty one is computed for each)")
	}
	groups, total := transfer.Groups(sources)
	destination := p.bucket.String()
	if prefix != "" {
		destination = p.bucket.Cname(prefix)
	}
	if err := p.plan(groups, total); err != nil {
		return err
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		p.app.warn("%q does not end in a slash: it is put before each name as it is, e.g. %q", prefix, sources[0].Name)
	}
	if p.cmd.Bool("dry-run") {
		return p.dryRun(sources, destination)
	}
	if !p.cmd.Bool("yes") {
		if err := p.app.confirm(ctx, "PUT %s files => %s?", measure.Count(total.Count), destination); err != nil {
			return err
		}
	}
	p.progress = p.app.progress(p.cmd, total.Count, total.Size)
	result := transfer.Each(ctx, sources, p.workers, p.cmd.Bool("cont-on-err"), func(s transfer.Source) string { return s.Path },
		func(ctx context.Context, s transfer.Source) (int64, error) {
			n, err := p.store(ctx, s, false)
			if err == nil {
				p.progress.Object()
				if p.cmd.Bool("verbose") && p.progress == nil {
					err = p.app.say("PUT %q => %s", s.Path, p.bucket.Cname(s.Name))
				}
			}
			return n, err
		})
	p.progress.End()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(result.Failures) == 0 {
		if err := p.app.done("PUT %s files => %s", measure.Count(result.Done), destination); err != nil {
			return err
		}
	}
	return p.app.finishMany("PUT", result, p.units)
}

// plan prints the files by extension: all with --verbose, else those that
// hold the most bytes, and the others in one line.
func (p *putter) plan(groups []transfer.Group, total transfer.Group) error {
	const most = 10
	t := table.New("EXTENSION", "COUNT", "SIZE")
	var others transfer.Group
	if len(groups) > most+1 && !p.cmd.Bool("verbose") {
		shown := slices.Clone(groups)
		slices.SortStableFunc(shown, func(a, b transfer.Group) int { return cmp.Compare(b.Size, a.Size) })
		for _, group := range shown[most:] {
			others.Count += group.Count
			others.Size += group.Size
		}
		others.Extension = fmt.Sprintf("(%d others)", len(shown)-most)
		groups = shown[:most]
	}
	for _, group := range groups {
		t.Row(orDash(group.Extension), measure.Count(group.Count), measure.Size(group.Size, p.units))
	}
	if others.Count > 0 {
		t.Row(others.Extension, measure.Count(others.Count), measure.Size(others.Size, p.units))
	}
	t.Row("TOTAL", measure.Count(total.Count), measure.Size(total.Size, p.units))
	return t.Print(p.app.Out, false)
}

// dryRun shows what is not done; without --verbose only the first few.
func (p *putter) dryRun(sources []transfer.Source, destination string) error {
	const few = 10
	for i, source := range sources {
		if i == few && !p.cmd.Bool("verbose") {
			if err := p.app.say("[DRY RUN] ... (--verbose shows all)"); err != nil {
				return err
			}
			break
		}
		if err := p.app.say("[DRY RUN] PUT %q => %s", source.Path, p.bucket.Cname(source.Name)); err != nil {
			return err
		}
	}
	return p.app.say("[DRY RUN] PUT %s files => %s", measure.Count(int64(len(sources))), destination)
}

// store puts one file, several times if that is wanted, and returns its size.
// With byteByByte the progress follows the body.
func (p *putter) store(ctx context.Context, s transfer.Source, byteByByte bool) (int64, error) {
	for attempt := 0; ; attempt++ {
		n, err := p.storeOnce(ctx, s, byteByByte)
		if err == nil || attempt == p.retries || ctx.Err() != nil || errors.Is(err, os.ErrNotExist) {
			return n, err
		}
		p.app.warn("PUT %q: %v; trying again (%d of %d)", s.Path, err, attempt+1, p.retries)
		select {
		case <-time.After(putRetryPause):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (p *putter) storeOnce(ctx context.Context, s transfer.Source, byteByByte bool) (int64, error) {
	payload, err := api.File(s.Path)
	if err != nil {
		return 0, err
	}
	sum := p.given
	if p.kind != "" {
		if sum, err = checksumFile(s.Path, p.kind); err != nil {
			return 0, err
		}
	}
	size := payload.Size()
	if byteByByte && p.progress != nil {
		file := payload
		payload = api.Opener(size, func() (io.ReadCloser, error) {
			body, err := file.Open(ctx)
			if err != nil {
				return nil, err
			}
			return p.progress.Reader(body), nil
		})
	}
	if _, err := p.client.PutObject(ctx, p.bucket, s.Name, api.PutArgs{Body: payload, Checksum: sum, SkipVC: p.cmd.Bool("skip-vc")}); err != nil {
		return 0, err
	}
	if !byteByByte {
		p.progress.Bytes(size)
	}
	return size, nil
}

// checksumFile computes the checksum of a file.
func checksumFile(path, kind string) (cksum.Value, error) {
	file, err := os.Open(path)
	if err != nil {
		return cksum.Value{}, err
	}
	defer func() { _ = file.Close() }() // it was only read
	h, err := cksum.New(kind)
	if err != nil {
		return cksum.Value{}, err
	}
	if _, err := io.Copy(h, file); err != nil {
		return cksum.Value{}, err
	}
	return cksum.Sum(kind, h), nil
}
