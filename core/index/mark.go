package index

import (
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
)

// The state file of an index tells whether what it holds may be believed; see
// docs/on_disk_layout.md, section 8.
const (
	stateName   = "state"
	stateFormat = 2
	stateLimit  = 4096

	running = "running"
	clean   = "clean"
)

type state struct {
	Format     int    `json:"format"`
	State      string `json:"state"`
	BootID     string `json:"boot_id"`
	Generation uint64 `json:"generation,string"`
	Checksum   string `json:"checksum"`
}

func (s *state) sum() (string, error) {
	plain := *s
	plain.Checksum = ""
	text, err := json.Marshal(&plain)
	return fmt.Sprintf("%016x", xxhash.Sum64(text)), err
}

// readState returns nil if there is no state that can be believed.
func readState(system fs.System, path string) *state {
	data, err := fs.ReadSmallFile(system, path, stateLimit)
	if err != nil {
		return nil
	}
	return parseState(data)
}

func parseState(data []byte) *state {
	var s state
	if json.Unmarshal(data, &s) != nil || s.Format != stateFormat || s.State != running && s.State != clean {
		return nil
	}
	if sum, err := s.sum(); err != nil || sum != s.Checksum {
		return nil
	}
	return &s
}

// writeState makes a state durable: the one before, or this one, is there
// whatever happens.
func writeState(system fs.System, dir string, s state) (err error) {
	s.Format = stateFormat
	if s.Checksum, err = s.sum(); err != nil {
		return err
	}
	text, err := json.Marshal(&s)
	if err != nil {
		return err
	}
	path := dir + "/" + stateName
	temporary := path + ".new"
	f, err := system.Open(temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := system.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(system, dir)
}

// removeState takes the state away: what the index holds is not to be believed
// by the next process, also if the power is lost now.
func removeState(system fs.System, dir string) error {
	err := system.Unlink(dir + "/" + stateName)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(system, dir)
}

// Disbelieve has the next Open make an index again that is not in use, because
// changes do not reach it.
func Disbelieve(system fs.System, journalDir string) error { return removeState(system, journalDir) }

func syncDir(system fs.System, dir string) error {
	f, err := system.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncAll flushes the filesystem of a directory.
func syncAll(system fs.System, dir string) error {
	f, err := system.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(system.Syncfs(f), f.Close())
}

func generationDir(root string, generation uint64) string {
	return root + "/" + strconv.FormatUint(generation, 10)
}
