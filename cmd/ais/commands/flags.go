package commands

import (
	"fmt"
	"time"

	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/urfave/cli/v3"
)

// The flags, by name. A flag keeps what was parsed, so each command gets one
// of its own.
func flag(name, usage string, aliases ...string) cli.Flag {
	return &cli.BoolFlag{Name: name, Usage: usage, Aliases: aliases, HideDefault: true, Local: true}
}

func textFlag(name, usage string, aliases ...string) cli.Flag {
	return &cli.StringFlag{Name: name, Usage: usage, Aliases: aliases, Local: true}
}

func numberFlag(name, usage string, value int64) cli.Flag {
	return &cli.Int64Flag{Name: name, Usage: usage, Value: value, HideDefault: value == 0, Local: true}
}

func jsonFlag() cli.Flag { return flag("json", "print in JSON, as the cluster has it", "j") }

func noHeadersFlag() cli.Flag { return flag("no-headers", "leave out the column names", "H") }

func noFootersFlag() cli.Flag { return flag("no-footers", "leave out the totals", "F") }

func unitsFlag() cli.Flag {
	return textFlag("units", "show sizes, and read them, in `UNITS`: iec (KiB, MiB; default), si (KB, MB), or raw (bytes)")
}

func yesFlag() cli.Flag { return flag("yes", "answer all questions with yes", "y") }

func progressFlag() cli.Flag {
	return flag("progress", "show progress bars (default when a transfer is long and stderr is a terminal)")
}

func skipLookupFlag() cli.Flag {
	return flag("skip-lookup", "do not look the bucket up first: go straight to the request")
}

func ignoreErrorFlag() cli.Flag {
	return flag("ignore-error", "do not fail on what is there already, or is not there")
}

func directFlag() cli.Flag {
	return flag("direct", "go straight to the targets that own the objects instead of through a proxy's redirect (also: AIS_DIRECT=true)")
}

func refreshFlags() []cli.Flag {
	return []cli.Flag{
		textFlag("refresh", "run again every `DURATION` (at least 1s; a bare number is seconds), e.g. --refresh 5"),
		numberFlag("count", "with --refresh: run `N` times", 0),
	}
}

// units is the value of --units; given is empty if the user gave none.
func units(cmd *cli.Command) (shown, given measure.Units, err error) {
	text := cmd.String("units")
	if shown, err = measure.ParseUnits(text); err != nil {
		return "", "", err
	}
	if text != "" {
		given = shown
	}
	return shown, given, nil
}

// sizeFlag reads a flag with a size; ok tells that it was given.
func sizeFlag(cmd *cli.Command, name string) (size int64, ok bool, err error) {
	if !cmd.IsSet(name) {
		return 0, false, nil
	}
	_, given, err := units(cmd)
	if err != nil {
		return 0, false, err
	}
	size, err = measure.ParseSize(cmd.String(name), given)
	if err != nil {
		return 0, false, fmt.Errorf("flag --%s: %w", name, err)
	}
	return size, true, nil
}

// refresh reads --refresh and --count; an interval of 0 is once.
func refresh(cmd *cli.Command) (interval time.Duration, count int64, err error) {
	count = cmd.Int64("count")
	if !cmd.IsSet("refresh") {
		if count != 0 {
			return 0, 0, fmt.Errorf("flag --count requires --refresh")
		}
		return 0, 1, nil
	}
	interval, err = measure.ParseDuration(cmd.String("refresh"))
	if err != nil {
		return 0, 0, fmt.Errorf("flag --refresh: %w", err)
	}
	if count < 0 {
		return 0, 0, fmt.Errorf("flag --count: %d (expected 1 or more)", count)
	}
	return max(interval, time.Second), count, nil
}
