package fs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

const (
	idRecordFormat = 1
	maxIDRecord    = 1 << 20 // bytes
)

// errDamagedID is in the chain of the error of an id record that is not whole.
var errDamagedID = errors.New("id record is damaged")

// idRecord is the file .ais.id of a mountpath's root.
type idRecord struct {
	Format          int    `json:"format"`
	MountpathID     string `json:"mountpath_id,omitempty"`
	NodeID          string `json:"node_id"`
	ClusterUUID     string `json:"cluster_uuid"`
	Lineage         string `json:"lineage"`
	Path            string `json:"path,omitempty"`
	PlacementDigest uint64 `json:"placement_digest,omitempty,string"`
	Created         string `json:"created,omitempty"`
	// Lost is the version of the placement up to which what the mountpath held when
	// its target was declared lost is in quarantine.
	Lost int64 `json:"lost,omitempty,string"`
	// KnownVersion and Known are of earlier releases, which had no volume
	// record; they are written empty.
	KnownVersion uint64           `json:"known_version,string"`
	Known        []knownMountpath `json:"known"`
	Checksum     string           `json:"checksum"`
}

// knownMountpath is a mountpath that the node has had in use.
type knownMountpath struct {
	Path            string `json:"path"`
	Label           string `json:"label"`
	MountpathID     string `json:"mountpath_id"`
	PlacementDigest uint64 `json:"placement_digest,string"`
}

func (r *idRecord) sum() (string, error) {
	unsigned := *r
	unsigned.Checksum = ""
	data, err := json.Marshal(&unsigned)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%016x", xxhash.Sum64(data)), nil
}

func (r *idRecord) encode() ([]byte, error) {
	signed := *r
	signed.Format = idRecordFormat
	if signed.Known == nil {
		signed.Known = []knownMountpath{}
	}
	var err error
	if signed.Checksum, err = signed.sum(); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(&signed, "", "  ")
	return append(data, '\n'), err
}

func decodeIDRecord(data []byte) (*idRecord, error) {
	var r idRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamagedID, err)
	}
	if r.Format != idRecordFormat {
		return nil, fmt.Errorf("%w: unknown format %d", errDamagedID, r.Format)
	}
	want, err := r.sum()
	if err != nil {
		return nil, err
	}
	if r.Checksum != want {
		return nil, fmt.Errorf("%w: wrong checksum", errDamagedID)
	}
	return &r, nil
}

// readIDRecord reads a record; ENOENT if there is none, errDamagedID if it is
// not whole.
func readIDRecord(system System, path string) (*idRecord, error) {
	data, err := readSmallFile(system, path, maxIDRecord)
	if err != nil {
		return nil, err
	}
	return decodeIDRecord(data)
}

// writeIDRecord replaces a record durably: the file is old or new, whole.
func writeIDRecord(system System, path string, r *idRecord) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	return writeSmallFile(system, path, data)
}

// readSmallFile reads a whole file of at most limit bytes.
func readSmallFile(system System, path string, limit int) ([]byte, error) {
	data, err := ReadSmallFile(system, path, limit)
	if err == nil && len(data) > limit {
		err = fmt.Errorf("%s: over %d bytes", path, limit)
	}
	return data, err
}

// ReadSmallFile reads a file of at most limit bytes. One that is longer comes
// back one byte longer than that, for the caller to refuse.
func ReadSmallFile(system System, path string, limit int) ([]byte, error) {
	f, err := system.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if limit > direntBufferSize { // most are much smaller
		if info, err := f.Stat(); err == nil {
			limit = int(min(info.Size, int64(limit)))
		}
	}
	data := make([]byte, limit+1)
	n, err := f.ReadAt(data, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	return data[:n], nil
}

// writeSmallFile replaces a file atomically and durably.
func writeSmallFile(system System, path string, data []byte) error {
	temporary := path + ".new"
	f, err := system.Open(temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = system.Rename(temporary, path)
	}
	if err != nil {
		// The old file stays; what is left of the new one is overwritten by
		// the next attempt if it cannot be removed now.
		_ = system.Unlink(temporary)
		return err
	}
	return syncDir(system, filepath.Dir(path))
}

func syncDir(system System, dir string) error {
	f, err := system.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// lockOwner reads the process id that a lock file tells, "" if none.
func lockOwner(system System, path string) string {
	data, err := readSmallFile(system, path, 64)
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(string(trimSpace(data)))
	if err != nil {
		return ""
	}
	return strconv.Itoa(pid)
}

func trimSpace(data []byte) []byte {
	for len(data) > 0 && (data[len(data)-1] == '\n' || data[len(data)-1] == ' ') {
		data = data[:len(data)-1]
	}
	return data
}
