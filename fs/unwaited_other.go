//go:build !amd64 && !arm64 && !riscv64

package fs

import "golang.org/x/sys/unix"

// All calls may wait here; see unwaited.go.

func (*unixSystem) openUnwaited(string, int) (fd int, ok bool) { return -1, false }
func (*unixFile) statUnwaited(*unix.Stat_t) bool               { return false }
func (*unixFile) readUnwaited([]byte, int64) int               { return 0 }
func closeUnwaited(fd int) error                               { return unix.Close(fd) }
