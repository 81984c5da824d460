package commands

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/wire"
)

func (a *App) objectCommand() *cli.Command {
	return &cli.Command{
		Name: "object", Usage: "put, get, list, show, promote and remove objects",
		Commands: []*cli.Command{
			a.getCommand(), a.putCommand(), a.listCommand(), a.objectShowCommand("show"), a.catCommand(), a.objectRemoveCommand(), a.objectPromoteCommand(),
		},
	}
}

// objectMissing is the error of an object that is not there.
func objectMissing(b wire.Bck, name string) error {
	return fmt.Errorf("%q does not exist", b.Cname(name))
}

// orMissing replaces the 404 of an object by a sentence of ours; that of a
// bucket stays.
func orMissing(err error, b wire.Bck, name string) error {
	switch {
	case !api.IsNotFound(err):
		return err
	case api.TypeCode(err) == wire.CodeBckNotFound || api.TypeCode(err) == wire.CodeRemoteBckNotFound:
		return err
	}
	return objectMissing(b, name)
}

// propsOfObject are all that HEAD can tell.
var propsOfObject = [...]string{
	"name", "size", "checksum", "atime", "version", "last-modified", "etag", "copies", "ec", "custom", "location", "chunked",
}

func (a *App) objectShowCommand(name string) *cli.Command {
	path := "object show"
	if name == "object" {
		path = "show object"
	}
	return &cli.Command{
		Name: name, Usage: "show the properties of an object", ArgsUsage: "BUCKET/OBJECT_NAME",
		Description: examples("ais "+path+" ais://b/o", "ais "+path+" ais://b/o --props all", "ais "+path+" ais://b/o --props size,checksum --json"),
		Flags: []cli.Flag{
			textFlag("props", "properties to show: `NAMES` of "+strings.Join(propsOfObject[:], ",")+", or all"),
			flag("all", "also look at the remote backend"), flag("not-cached", "also look at the remote backend"),
			flag("check-cached", "only tell whether the object is in the cluster"),
			flag("silent", "keep the lookup of a missing object out of the cluster's log"),
			jsonFlag(), noHeadersFlag(), unitsFlag(),
		},
		ShellComplete: a.complete(a.bucketCandidates("/", 0)),
		Action:        a.showObject,
	}
}

// objectProps reads --props as HEAD has them.
func objectProps(cmd *cli.Command, b wire.Bck) ([]string, error) {
	text := strings.ReplaceAll(cmd.String("props"), " ", "")
	switch {
	case text == "all":
		return slices.Clone(propsOfObject[:]), nil
	case text != "":
		var props []string
		for _, name := range strings.Split(text, ",") {
			switch {
			case name == "" || name == "cached" || name == "status":
			case slices.Contains(propsOfObject[:], name):
				props = append(props, name)
			default:
				return nil, fmt.Errorf("invalid property %q (expected names of %s, or all)", name, strings.Join(propsOfObject[:], ","))
			}
		}
		if len(props) > 0 {
			return props, nil
		}
	}
	if b.Provider == wire.ProviderAIS {
		return []string{"name", "size", "checksum", "atime"}, nil
	}
	return []string{"name", "size", "checksum", "atime", "version", "custom", "last-modified", "etag"}, nil
}

func (a *App) showObject(ctx context.Context, cmd *cli.Command) error {
	if cmd.NArg() != 1 {
		return misuse(cmd, "expecting one object")
	}
	what, err := uri.ParseObject(cmd.Args().First(), a.config.DefaultProvider)
	if err != nil {
		return err
	}
	props, err := objectProps(cmd, what.Bucket)
	if err != nil {
		return err
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	if _, err := a.headBucket(ctx, what.Bucket, true); err != nil {
		return err
	}
	if cmd.Bool("check-cached") {
		return a.checkCached(ctx, client, what)
	}
	args := api.HeadArgs{Presence: wire.PresencePresent, Props: props, Silent: cmd.Bool("silent")}
	if cmd.Bool("all") || cmd.Bool("not-cached") {
		args.Presence = wire.PresenceExists
	}
	attrs, err := client.HeadObject(ctx, what.Bucket, what.Object, args)
	if api.IsNotFound(err) {
		return fmt.Errorf("object \"%s\" not found in %s", what.Object, what.Bucket)
	}
	if err != nil {
		return err
	}
	return a.printObject(cmd, what, attrs, props)
}

func (a *App) checkCached(ctx context.Context, client *api.Client, what uri.URI) error {
	_, err := client.HeadObject(ctx, what.Bucket, what.Object, api.HeadArgs{
		Presence: wire.PresencePresentNoProps, Props: []string{"name"}, Silent: true,
	})
	switch {
	case err == nil:
		return a.say("%s is present", what)
	case api.IsNotFound(err):
		return a.say("%s is not present", what)
	}
	return err
}

// printObject prints the asked-for properties by name.
func (a *App) printObject(cmd *cli.Command, what uri.URI, attrs api.ObjectAttrs, props []string) error {
	shown, _, err := units(cmd)
	if err != nil {
		return err
	}
	values := map[string]string{}
	for _, name := range props {
		values[name] = objectValue(what, attrs, name, shown, cmd.Bool("json"))
	}
	if cmd.Bool("json") {
		return a.printJSON(values)
	}
	t := table.New("PROPERTY", "VALUE")
	for _, name := range slices.Sorted(maps.Keys(values)) {
		t.Row(name, orDash(values[name]))
	}
	return t.Print(a.Out, cmd.Bool("no-headers"))
}

// objectValue is one property as text; in JSON sizes are bytes and times have
// nanoseconds.
func objectValue(what uri.URI, attrs api.ObjectAttrs, name string, shown measure.Units, exact bool) string {
	switch name {
	case "name":
		return what.String()
	case "size":
		if exact {
			return strconv.FormatInt(attrs.Size, 10)
		}
		return measure.Size(attrs.Size, shown)
	case "checksum":
		if attrs.Checksum.IsNone() {
			return ""
		}
		return attrs.Checksum.String()
	case "atime":
		if attrs.Atime.IsZero() {
			return ""
		}
		if exact {
			return attrs.Atime.UTC().Format("2006-01-02T15:04:05.000000000Z07:00")
		}
		return attrs.Atime.Format("02 Jan 06 15:04 MST")
	case "version":
		return attrs.Version
	case "last-modified":
		if attrs.Modified.IsZero() {
			return ""
		}
		return attrs.Modified.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	case "etag":
		return attrs.ETag
	case "copies":
		if attrs.Copies == 0 {
			return ""
		}
		return strings.TrimSpace(strconv.Itoa(attrs.Copies) + " " + bracketed(attrs.Paths))
	case "ec":
		if data := attrs.Header.Get("Ais-Ec-Data"); data != "" {
			return data + ":" + attrs.Header.Get("Ais-Ec-Parity")
		}
	case "custom":
		return customText(attrs.Custom)
	case "location":
		return attrs.Location
	case "chunked":
		if attrs.Chunks > 0 {
			return strconv.Itoa(attrs.Chunks) + " chunks"
		}
	}
	return ""
}

func bracketed(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return "[" + strings.Join(words, " ") + "]"
}

func customText(custom map[string]string) string {
	words := make([]string, 0, len(custom))
	for _, key := range slices.Sorted(maps.Keys(custom)) {
		words = append(words, key+"="+custom[key])
	}
	return strings.Join(words, ", ")
}

func (a *App) catCommand() *cli.Command {
	return &cli.Command{
		Name: "cat", Usage: "write an object to standard output", ArgsUsage: "BUCKET/OBJECT_NAME",
		Description: examples("ais object cat ais://b/o", "ais object cat ais://b/o --offset 1KiB --length 100"),
		Flags: []cli.Flag{
			textFlag("offset", "begin at `SIZE`"), textFlag("length", "read `SIZE`"), flag("checksum", "compare the checksum"),
			flag("force", "write to the terminal whatever it is", "f"), unitsFlag(),
		},
		ShellComplete: a.complete(a.bucketCandidates("/", 0)),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.NArg() != 1 {
				return misuse(cmd, "expecting one object")
			}
			what, err := uri.ParseObject(cmd.Args().First(), a.config.DefaultProvider)
			if err != nil {
				return err
			}
			args, err := rangeArgs(cmd)
			if err != nil {
				return err
			}
			client, err := a.cluster()
			if err != nil {
				return err
			}
			_, _, err = client.GetObject(ctx, what.Bucket, what.Object, a.Out, args)
			return orMissing(err, what.Bucket, what.Object)
		},
	}
}

// rangeArgs reads --offset, --length and --checksum.
func rangeArgs(cmd *cli.Command) (api.GetArgs, error) {
	offset, hasOffset, err := sizeFlag(cmd, "offset")
	if err != nil {
		return api.GetArgs{}, err
	}
	length, hasLength, err := sizeFlag(cmd, "length")
	if err != nil {
		return api.GetArgs{}, err
	}
	args := api.GetArgs{Offset: offset, Length: length, Validate: cmd.Bool("checksum")}
	switch {
	case hasOffset != hasLength:
		return args, misuse(cmd, "flags --offset and --length must be given together")
	case hasLength && length == 0:
		return args, errors.New("flag --length: 0 (expected 1 byte or more)")
	case hasLength && args.Validate:
		return args, misuse(cmd, "flag --checksum needs the whole object: it does not go with --offset and --length")
	}
	return args, nil
}
