package commands

import (
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
)

// jobMisuse is, of every command that starts a job, a bucket or target that is not
// there, values of options that cannot be, and options that do not go together; and
// what the tool has to say of each. There are the empty buckets ais://b and ais://c,
// two targets, TARGET and TARGET2, and the gateway PROXY.
var jobMisuse = []struct {
	line  string
	texts []string
}{
	{"cp ais://none ais://d", []string{`"ais://none" does not exist`}},
	{"cp ais://b ais://c --num-workers x", []string{"--num-workers", "whole number"}},
	{"cp ais://b ais://c --num-workers -2", []string{"num-workers", "-2", "positive number"}},
	{"cp ais://b ais://c --ext x", []string{"--ext", "OLD=NEW"}},
	{"cp ais://b ais://d --prefix a/../b", []string{"prefix", "a/../b"}},
	{"cp ais://b ais://d --template a{1..", []string{"template", `no "}"`}},
	{"cp ais://b ais://c --list a --template b", []string{"one of --list and --template"}},
	{"cp ais://b/o ais://c --prefix p", []string{"--prefix", `"o"`}},
	{"cp ais://b ais://c --sync --prepend x/", []string{"synchronize", "prepend"}},
	{"cp ais://b ais://c --wait --timeout soon", []string{"--timeout", "soon", "10s"}},
	{"cp ais://b ais://c --timeout 10s", []string{"--timeout goes with --wait"}},
	{"cp ais://b ais://c --progress", []string{"--progress goes with --wait"}},
	{"cp ais://b ais://c --wait --refresh x", []string{"--refresh", `"x"`}},
	{"cp ais://b", []string{"a source and a destination"}},
	{"start copy-bck ais://none ais://c", []string{`"ais://none" does not exist`}},
	{"start copy-bck ais://b ais://c --num-workers -2", []string{"num-workers"}},
	{"start copy-bck ais://b ais://b", []string{"onto itself"}},

	{"bucket mv ais://none ais://d", []string{`"ais://none" does not exist`}},
	{"bucket mv ais://b ais://c", []string{"already exists"}},
	{"bucket mv ais://b ais://b", []string{"itself"}},
	{"bucket mv ais://b s3://x", []string{"can only rename to AIS"}},
	{"bucket mv ais://b ais://d ais://e", []string{"a bucket and its new name"}},
	{"bucket mv ais://b ais://d --wait --timeout 0", []string{"--timeout", "more than nothing"}},
	{"start move-bck ais://none ais://d", []string{`"ais://none" does not exist`}},
	{"start move-bck ais://b ais://d --timeout 1m", []string{"--timeout goes with --wait"}},

	{"evict ais://b --template x", []string{"expecting remote bucket"}},
	{"evict ais://none --template x", []string{`"ais://none" does not exist`}},
	{"evict s3://b --template x", []string{"AWS backend"}},
	{"evict s3://b --list a --template b", []string{"--list and --template", "one of them"}},
	{"evict s3://b/x --prefix p", []string{"--prefix", `"x"`}},
	{"evict s3://b --template x --refresh 1", []string{"--refresh goes with --wait"}},

	{"bucket rechunk ais://none --chunk-size 1MiB --objsize-limit 2MiB", []string{`"ais://none" does not exist`}},
	{"bucket rechunk ais://b --chunk-size x --objsize-limit 1MiB", []string{"--chunk-size", "4KiB"}},
	{"bucket rechunk ais://b --chunk-size 1 --objsize-limit 1MiB", []string{"chunk-size", "1024 to 5368709120 bytes"}},
	{"bucket rechunk ais://b --chunk-size 1MiB --objsize-limit -1", []string{"--objsize-limit", "-1"}},
	{"bucket rechunk ais://b/a --prefix b --yes", []string{"--prefix", `"a"`}},
	{"bucket rechunk ais://b --yes --timeout 5s", []string{"--timeout goes with --wait"}},
	{"start rechunk", []string{"missing bucket name"}},
	{"start rechunk ais://none", []string{`"ais://none" does not exist`}},
	{"start rechunk ais://b ais://c", []string{"expected one bucket"}},
	{"start rechunk ais://b --wait --timeout x", []string{"--timeout", `"x"`}},

	{"bucket summary ais://none", []string{`"ais://none" does not exist`}},
	{"bucket summary ais://none --dont-wait", []string{`"ais://none" does not exist`}},
	{"bucket summary ais://b --units x", []string{"units", "iec, si, raw"}},
	{"bucket summary ais://b/x --prefix y", []string{"--prefix", `"x"`}},
	{"bucket summary ais://b ais://c", []string{"one bucket, or none for all"}},
	{"bucket summary ais://b --count 2", []string{"--count requires --refresh"}},
	{"bucket summary ais://b --dont-wait --json", []string{"--json does not go with --dont-wait"}},
	{"bucket summary ais://b --dont-wait --refresh 5", []string{"--refresh does not go with --dont-wait"}},
	{"storage summary ais://none", []string{`"ais://none" does not exist`}},
	{"ls ais://none --summary", []string{`"ais://none" does not exist`}},
	{"ls ais://b --summary --units x", []string{"units", "iec, si, raw"}},
	{"ls ais://b/x --summary --prefix y", []string{"--prefix", `"x"`}},

	{"object promote relative ais://b", []string{"relative", "absolute path"}},
	{"object promote /etc/hostname ais://b", []string{"invalid promote source", "/etc/hostname"}},
	{"object promote PROMOTE ais://none", []string{`"ais://none" does not exist`}},
	{"object promote PROMOTE ais://b --target-id nobody", []string{"nobody"}},
	{"object promote PROMOTE ais://b --wait --timeout x", []string{"--timeout", `"x"`}},
	{"object promote PROMOTE ais://b extra", []string{"a path and a bucket"}},

	{"rmo ais://none --template a", []string{`"ais://none" does not exist`}},
	{"rmo ais://b --template a{1..", []string{"template", `no "}"`}},
	{"rmo ais://b --template a --list b", []string{"one of --list, --template, --prefix, --all"}},
	{"rmo ais://b --list x --wait", []string{"--wait goes with --template"}},
	{"rmo ais://b --template a --timeout 10s", []string{"--timeout goes with --wait"}},
	{"rmo ais://b --template a --wait --timeout x", []string{"--timeout", `"x"`}},

	{"start rebalance ais://none", []string{`"ais://none" does not exist`}},
	{"start rebalance --prefix x", []string{"prefix", "needs a bucket"}},
	{"start rebalance ais://b/p --prefix q", []string{"--prefix", `"p"`}},
	{"start rebalance ais://b ais://c", []string{"one bucket, or none for all"}},
	{"start rebalance --wait --timeout x", []string{"--timeout", `"x"`}},
	{"start resilver", []string{"expected one target"}},
	{"start resilver nobody", []string{`"nobody" does not exist`}},
	{"start resilver PROXY", []string{"is not a target"}},
	{"start resilver TARGET ais://b", []string{"expected one target"}},
	{"start resilver TARGET --refresh 1", []string{"--refresh goes with --wait"}},

	{"start lru ais://none", []string{`"ais://none" does not exist`}},
	{"start lru ais://b --buckets ais://none", []string{`"ais://none" does not exist`}},
	{"start lru --force", []string{"force needs the buckets"}},
	{"start lru ais://b --force", []string{"force", "ais://b"}},
	{"start lru ais://b/x", []string{"unexpected object name", `"x"`}},
	{"start lru --wait --timeout x", []string{"--timeout", `"x"`}},
	{"start cleanup ais://none", []string{`"ais://none" does not exist`}},
	{"start cleanup ais://b ais://none", []string{`"ais://none" does not exist`}},
	{"start cleanup --dry-run --units x", []string{"units", "iec, si, raw"}},
	{"start cleanup --dry-run --timeout x", []string{"--timeout", `"x"`}},
	{"start cleanup --dry-run --non-verbose", []string{"--non-verbose does not go with --dry-run"}},
	{"start cleanup -v", []string{"--verbose goes with --dry-run"}},
	{"start cleanup --json", []string{"--json goes with --dry-run"}},
	{"storage cleanup ais://none", []string{`"ais://none" does not exist`}},
	{"storage cleanup --units raw", []string{"--units goes with --dry-run"}},
	{"storage cleanup --wait --timeout x", []string{"--timeout", `"x"`}},
	{"start scrub ais://none", []string{`"ais://none" does not exist`}},
	{"start scrub ais://b/x", []string{"unexpected object name", `"x"`}},
	{"start scrub --wait --timeout -1s", []string{"--timeout", "-1s", "more than nothing"}},
	{"start scrub --copies 2", []string{`unknown flag "copies"`}},
	{"start warm-up-metadata", []string{"missing bucket name"}},
	{"start warm-up-metadata ais://none", []string{`"ais://none" does not exist`}},
	{"start warm-up-metadata ais://b ais://c", []string{"expected one bucket"}},
	{"start warm-up-metadata ais://b --wait --refresh x", []string{"--refresh", `"x"`}},

	{"start mirror ais://none --copies 2", []string{`"ais://none" does not exist`}},
	{"start mirror ais://b --copies x", []string{"--copies", "whole number"}},
	{"start mirror ais://b --copies 17", []string{"number of copies", "17", "1 to 16"}},
	{"start mirror ais://b --copies 0", []string{"number of copies", "0", "1 to 16"}},
	{"start mirror ais://b --copies 3", []string{"copies (3)", "mountpaths (2)"}},
	{"start mirror ais://b ais://c --copies 2", []string{"expected one bucket"}},
	{"start mirror ais://b --copies 2 --timeout 1s", []string{"--timeout goes with --wait"}},
	{"start ec-encode ais://none --data-slices 1 --parity-slices 1", []string{`"ais://none" does not exist`}},
	{"start ec-encode ais://b --data-slices x --parity-slices 1", []string{"--data-slices", "whole number"}},
	{"start ec-encode ais://b --data-slices 0 --parity-slices 1", []string{"--data-slices", "0", "1 to 32"}},
	{"start ec-encode ais://b --data-slices 1 --parity-slices 33", []string{"parity_slices", "33", "1 to 32"}},
	{"start ec-encode ais://b --data-slices 1 --parity-slices 1", []string{"at least 3 targets"}},
	{"start ec-encode ais://b --data-slices 1", []string{"go together"}},
	{"start ec-encode ais://b --recover", []string{"data_slices and parity_slices"}},
	{"start ec-encode ais://b --data-slices 1 --parity-slices 1 --wait --timeout x", []string{"--timeout", `"x"`}},
	{"bucket props set ais://none mirror.enabled=true", []string{`"ais://none" does not exist`}},
	{"bucket props set ais://b mirror.enabled=true mirror.copies=99", []string{"copies", "99"}},
	{"bucket props set ais://b mirror.enabled=true mirror.copies=x", []string{"mirror.copies", `"x"`}},

	{"cluster weigh-targets", []string{"either --by or a capacity for each target"}},
	{"cluster weigh-targets --by capacity TARGET=1", []string{"either --by or a capacity"}},
	{"cluster weigh-targets --by colour", []string{"capacity", "nothing", "colour"}},
	{"cluster weigh-targets nobody=1", []string{`"nobody" does not exist`}},
	{"cluster weigh-targets PROXY=1", []string{"is not a target"}},
	{"cluster weigh-targets TARGET=-1", []string{"TARGET_ID=CAPACITY", "whole number"}},
	{"cluster weigh-targets TARGET=1", []string{"t[TARGET2] is missing"}},
	{"cluster weigh-targets TARGET=1 TARGET=2", []string{"t[TARGET]", "given twice"}},
	{"cluster declare-lost", []string{"expecting TARGET_ID"}},
	{"cluster declare-lost nobody --force", []string{"nobody"}},
	{"cluster declare-lost TARGET --force", []string{"t[TARGET]", "it owns names"}},
	{"cluster declare-lost PROXY --force", []string{"p[PROXY]", "gateway"}},

	{"start prefetch ais://b", []string{`unknown command "prefetch"`}},
}

// TestJobsThatAreNotStarted: a wrong bucket, a wrong value, and options that do not go
// together end every command that starts a job with status 1 and one line that says what
// is wrong, before anything is started, created, or asked.
func TestJobsThatAreNotStarted(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	j := &jobCluster{t: t, dir: t.TempDir(), c: aistest.New(t, aistest.Options{Targets: 2, Mountpaths: 2, Promote: root})}
	j.expect("create ais://b ais://c", 0)
	buckets := j.expect("ls", 0)
	names := strings.NewReplacer("TARGET2", j.c.Targets[1].ID(), "TARGET_ID", "TARGET_ID", "TARGET", j.c.Targets[0].ID(), "PROXY", j.c.Proxies[0].ID(), "PROMOTE", root)
	for _, tc := range jobMisuse {
		r := j.run(names.Replace(tc.line))
		said, _, _ := strings.Cut(r.err, "\nusage: ") // which is below what is wrong
		said = strings.TrimSpace(said)
		if r.code != 1 || r.out != "" || said == "" || strings.Contains(said, "\n") {
			t.Errorf("ais %s: status %d\n%s%s", tc.line, r.code, r.out, r.err)
			continue
		}
		for _, text := range tc.texts {
			if !strings.Contains(said, names.Replace(text)) {
				t.Errorf("ais %s lacks %q: %s", tc.line, text, said)
			}
		}
	}
	j.expect("show job --all", 0, "No jobs.")
	if after := j.expect("ls", 0); after != buckets {
		t.Errorf("buckets were\n%s\nand are\n%s", buckets, after)
	}
}
