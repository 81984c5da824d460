package commands

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/cmn/wire"
)

// jobFilter chooses jobs, and rows of them, to be shown.
type jobFilter struct {
	name    *regexp.Regexp // of kind, id, or message; nil: any
	columns []columnFilter
	top     int // jobs; 0: all
}

// columnFilter is one --filter.
type columnFilter struct {
	column string
	match  *regexp.Regexp
}

// jobColumns are the columns that rows are chosen by.
var jobColumns = map[string]func(target string, s *wire.Snap) string{
	"NODE":   func(target string, _ *wire.Snap) string { return target },
	"ID":     func(_ string, s *wire.Snap) string { return s.ID },
	"KIND":   func(_ string, s *wire.Snap) string { return s.Kind + " " + jobTitle(s.Kind) },
	"BUCKET": func(_ string, s *wire.Snap) string { return jobBuckets(s) },
	"STATE":  func(_ string, s *wire.Snap) string { return jobState(s) },
}

// jobFilterOf reads --regex, --filter and --top.
func jobFilterOf(cmd *cli.Command) (f *jobFilter, err error) {
	f = &jobFilter{}
	if text := cmd.String("regex"); text != "" {
		if f.name, err = regexp.Compile(text); err != nil {
			return nil, fmt.Errorf("flag --regex: %w", err)
		}
	}
	for _, text := range cmd.StringSlice("filter") {
		column, pattern, ok := strings.Cut(text, "=")
		column = strings.ToUpper(strings.TrimSpace(column))
		if jobColumns[column] == nil || !ok {
			return nil, fmt.Errorf("flag --filter: %q (expected COLUMN=REGEX with one of the columns NODE, ID, KIND, BUCKET, STATE)", text)
		}
		match, err := regexp.Compile(strings.TrimSpace(pattern))
		if err != nil {
			return nil, fmt.Errorf("flag --filter: %w", err)
		}
		f.columns = append(f.columns, columnFilter{column, match})
	}
	if top := cmd.Int64("top"); top < 0 || cmd.IsSet("top") && top == 0 {
		return nil, fmt.Errorf("flag --top: %d (expected 1 or more)", top)
	} else {
		f.top = int(top)
	}
	return f, nil
}

// row tells that a row is to be shown: all filters match.
func (f *jobFilter) row(target string, s *wire.Snap) bool {
	if f.name != nil && !f.name.MatchString(s.Kind) && !f.name.MatchString(jobTitle(s.Kind)) && !f.name.MatchString(s.ID) && !f.name.MatchString(s.ControlMessage) {
		return false
	}
	for _, c := range f.columns {
		if !c.match.MatchString(jobColumns[c.column](target, s)) {
			return false
		}
	}
	return true
}

// jobs leaves the jobs that began last.
func (f *jobFilter) jobs(groups [][]*shownJob) [][]*shownJob {
	all := slices.Concat(groups...)
	if f.top == 0 || len(all) <= f.top {
		return groups
	}
	slices.SortStableFunc(all, func(x, y *shownJob) int { return y.first().StartTime.Compare(x.first().StartTime) })
	last := all[:f.top]
	var left [][]*shownJob
	for _, group := range groups {
		group = slices.DeleteFunc(group, func(j *shownJob) bool { return !slices.Contains(last, j) })
		if len(group) > 0 {
			left = append(left, group)
		}
	}
	slices.SortFunc(left, func(x, y []*shownJob) int { return cmp.Compare(x[0].first().Kind, y[0].first().Kind) })
	return left
}
