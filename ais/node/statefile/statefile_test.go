package statefile

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	putFunc    = func(string, uint64, []byte) error
	removeFunc = func(string, uint64, uint64) error
)

func open(t *testing.T, dir string) *File {
	t.Helper()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // again, if the test has closed it
	return f
}

func contents(t *testing.T, f *File) map[string]string {
	t.Helper()
	all := map[string]string{}
	last := ""
	err := f.Load(func(bucket string, key uint64, value []byte) error {
		at := fmt.Sprintf("%s/%020d", bucket, key)
		if at <= last {
			t.Errorf("%s comes after %s", at, last)
		}
		last = at
		all[at] = string(value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEverySaveSurvivesReopening(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := map[string]string{}
	rng := rand.New(rand.NewPCG(1, 2))
	for step := range 60 {
		f := open(t, dir)
		err := f.Save(func(put putFunc, remove removeFunc) error {
			for range rng.IntN(5) {
				bucket, key := fmt.Sprintf("b%d", rng.IntN(3)), uint64(rng.IntN(20))
				if rng.IntN(4) == 0 {
					to := key + uint64(rng.IntN(6))
					if rng.IntN(3) == 0 {
						to = math.MaxUint64
					}
					for k := key; k < min(to, 20); k++ {
						delete(want, fmt.Sprintf("%s/%020d", bucket, k))
					}
					if err := remove(bucket, key, to); err != nil {
						return err
					}
					continue
				}
				value := strings.Repeat("x", rng.IntN(5000)) + fmt.Sprint(step)
				want[fmt.Sprintf("%s/%020d", bucket, key)] = value
				if err := put(bucket, key, []byte(value)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f = open(t, dir)
		if got := contents(t, f); !reflect.DeepEqual(got, want) {
			t.Fatalf("step %d: %d values, want %d", step, len(got), len(want))
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFailedSaveChangesNothing(t *testing.T) {
	t.Parallel()
	f := open(t, t.TempDir())
	boom := errors.New("boom")
	err := f.Save(func(put putFunc, _ removeFunc) error {
		if err := put("b", 1, []byte("one")); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
	if got := contents(t, f); len(got) != 0 {
		t.Errorf("stored %v", got)
	}
}

func TestModeAndName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := open(t, dir)
	info, err := os.Stat(filepath.Join(dir, ".ais.state"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || f.Path() != filepath.Join(dir, ".ais.state") {
		t.Errorf("mode %o, path %s", info.Mode().Perm(), f.Path())
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir)
	_, err := Open(dir)
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("error %v", err)
	}
}

func TestMissingDirectory(t *testing.T) {
	t.Parallel()
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := open(t, dir)
	marker := bytes.Repeat([]byte("marker"), 200)
	err := f.Save(func(put putFunc, _ removeFunc) error {
		for i := range uint64(50) {
			if err := put("b", i, marker); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	value := bytes.Index(whole, marker)
	zeroed := append(bytes.Clone(whole[:8192]), make([]byte, len(whole)-8192)...)
	flipped := bytes.Clone(whole)
	flipped[value+100] ^= 1
	for name, data := range map[string][]byte{
		"flipped bit":   flipped,
		"truncated":     whole[:value+2000],
		"nearly empty":  whole[:100],
		"zeroed pages":  zeroed,
		"other content": bytes.Repeat([]byte("not a database "), 2000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, Name), data, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := Open(dir)
			if err == nil {
				err = f.Load(func(string, uint64, []byte) error { return nil })
				_ = f.Close() // damaged
			}
			if err == nil || !strings.Contains(err.Error(), Name) || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func BenchmarkSave(b *testing.B) {
	f, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	value := make([]byte, 500)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := f.Save(func(put putFunc, _ removeFunc) error { return put("entries", uint64(i), value) }); err != nil {
			b.Fatal(err)
		}
	}
}
