// Package statefile keeps a node's part of the cluster state in one file,
// ".ais.state" in its configuration directory: a bbolt database with a bucket
// for each kind of value. Every value carries a checksum, and every change is
// atomic and on stable storage when it returns.
//
// The package does not know what the values mean.
package statefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Name is the name of the file.
const Name = ".ais.state"

const (
	mode        = 0o600
	lockTimeout = time.Second
	sumSize     = 4 // bytes of checksum before each value
)

// File is an open state file. Its methods are safe for concurrent use.
type File struct {
	db   *bbolt.DB
	path string
}

// Open opens the state file in a directory, and makes it if it does not exist.
// It is an error if another process has it open, or if it is damaged.
func Open(dir string) (f *File, err error) {
	path := filepath.Join(dir, Name)
	_, statErr := os.Stat(path)
	f = &File{path: path}
	err = f.guard(func() error {
		f.db, err = bbolt.Open(path, mode, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s is in use by another process", path)
	case errors.As(err, new(syscall.Errno)): // of the disk or the system, not of the contents
		return nil, fmt.Errorf("cannot open the state file: %w", err)
	case err != nil:
		return nil, f.damaged(err)
	}
	if err := f.prepare(errors.Is(statErr, os.ErrNotExist)); err != nil {
		return nil, errors.Join(err, f.db.Close())
	}
	return f, nil
}

// prepare checks an existing file, and makes a new one's name durable.
func (f *File) prepare(fresh bool) error {
	if fresh {
		return syncDir(filepath.Dir(f.path))
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	return f.guard(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			if tx.Size() > info.Size() {
				return f.damaged(fmt.Errorf("it has %d bytes of at least %d", info.Size(), tx.Size()))
			}
			return nil
		})
	})
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Path returns the file's path.
func (f *File) Path() string { return f.path }

// Close releases the file.
func (f *File) Close() error { return f.db.Close() }

// Load calls visit for every stored value, bucket by bucket in the order of
// their names, in ascending order of the keys. A value that is not what was
// stored is an error that names the file.
func (f *File) Load(visit func(bucket string, key uint64, value []byte) error) error {
	var failed error // of visit, passed on as it is
	err := f.guard(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
				return b.ForEach(func(k, v []byte) error {
					key, value, err := unseal(name, k, v)
					if err != nil {
						return f.damaged(err)
					}
					failed = visit(string(name), key, value)
					return failed
				})
			})
		})
	})
	if failed != nil {
		return failed
	}
	return err
}

// Save calls fill once with functions that set one value, and that remove all
// values of a bucket with from <= key < to. All of it takes effect atomically
// and is on stable storage when Save returns; after an error nothing has
// changed.
func (f *File) Save(fill func(put func(bucket string, key uint64, value []byte) error, remove func(bucket string, from, to uint64) error) error) error {
	return f.guard(func() error {
		return f.db.Update(func(tx *bbolt.Tx) error {
			return fill(
				func(bucket string, key uint64, value []byte) error { return put(tx, bucket, key, value) },
				func(bucket string, from, to uint64) error { return remove(tx, bucket, from, to) },
			)
		})
	})
}

func put(tx *bbolt.Tx, bucket string, key uint64, value []byte) error {
	b, err := tx.CreateBucketIfNotExists([]byte(bucket))
	if err != nil {
		return err
	}
	k := binary.BigEndian.AppendUint64(nil, key)
	return b.Put(k, seal([]byte(bucket), k, value))
}

func remove(tx *bbolt.Tx, bucket string, from, to uint64) error {
	b := tx.Bucket([]byte(bucket))
	if b == nil {
		return nil
	}
	var keys [][]byte // bbolt's cursors do not survive changes
	c := b.Cursor()
	for k, _ := c.Seek(binary.BigEndian.AppendUint64(nil, from)); len(k) == 8 && binary.BigEndian.Uint64(k) < to; k, _ = c.Next() {
		keys = append(keys, append([]byte(nil), k...))
	}
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// seal puts a checksum of bucket, key and value before the value.
func seal(bucket, key, value []byte) []byte {
	sealed := make([]byte, 0, sumSize+len(value))
	sealed = binary.BigEndian.AppendUint32(sealed, sum(bucket, key, value))
	return append(sealed, value...)
}

func unseal(bucket, k, sealed []byte) (key uint64, value []byte, err error) {
	if len(k) != 8 || len(sealed) < sumSize {
		return 0, nil, fmt.Errorf("malformed value in %q", bucket)
	}
	key, value = binary.BigEndian.Uint64(k), sealed[sumSize:]
	if binary.BigEndian.Uint32(sealed) != sum(bucket, k, value) {
		return 0, nil, fmt.Errorf("wrong checksum of value %d in %q", key, bucket)
	}
	return key, value, nil
}

func sum(bucket, key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(crc32.Update(0, table, bucket), table, key), table, value)
}

// ErrDamaged is in the chain of every error that tells that the file's contents
// are not what was stored.
var ErrDamaged = errors.New("damaged")

func (f *File) damaged(cause error) error {
	return fmt.Errorf("the state file %s is %w: %w", f.path, ErrDamaged, cause)
}

// guard turns what bbolt does when its pages make no sense, a panic or a
// fault on the memory map, into an error.
func (f *File) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = f.damaged(fmt.Errorf("%v", r))
		}
	}()
	return do()
}
