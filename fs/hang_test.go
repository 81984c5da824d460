package fs

import (
	"testing"
	"time"
)

// TestHangsThatCount: a long one, once; and the third within ten minutes.
func TestHangsThatCount(t *testing.T) {
	t.Parallel()
	const hangTime = 5 * time.Second
	for _, c := range []struct {
		name   string
		script string // a letter every five seconds: h hangs, . answers; each minute of silence is _
		want   int
	}{
		{"healthy", "........", 0},
		{"short", "hhhh.", 0},
		{"long", "hhhhhh.", 1},
		{"long, once", "hhhhhhhhhhhhhhhh.", 1},
		{"twice", "hhhhhhh.hhhhhhh.", 2},
		{"third", "h.h.h.", 1},
		{"third and on", "h.h.hhhhhhhhhh.", 1},
		{"rare", "h._____h._____h._____h.", 0},
	} {
		var h hangs
		now, was, told := time.Unix(1e9, 0), false, 0
		for _, step := range c.script {
			if step == '_' {
				now = now.Add(time.Minute)
				continue
			}
			now = now.Add(hangTime)
			hung := step == 'h'
			if h.counts(now, hung != was, hung, hangTime) {
				told++
			}
			was = hung
		}
		if told != c.want {
			t.Errorf("%s: counted %d times, want %d", c.name, told, c.want)
		}
	}
}
