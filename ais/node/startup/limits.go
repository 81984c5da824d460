package startup

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/config"
)

// Open files that a node should be allowed to have; with fewer it starts and
// warns.
const (
	proxyFiles  = 16384
	targetFiles = 262144
)

// checkFileLimit adds a warning if the process may not open many files.
func (s *Settings) checkFileLimit() {
	want := uint64(proxyFiles)
	if s.Role == config.RoleTarget {
		want = targetFiles
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		s.Warnings = append(s.Warnings, fmt.Sprintf("open files: the limit is not known: %v", err))
		return
	}
	if limit.Max < want {
		s.Warnings = append(s.Warnings, fmt.Sprintf("open files: the limit is %d, %d are recommended for a %s", limit.Max, want, s.Role))
	}
}
