package logging

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Content types of a Dump.
const (
	contentText = "text/plain; charset=utf-8"
	contentGzip = "application/gzip"
)

// Dump is the content of log files, to be written once and closed.
type Dump struct {
	text  *os.File
	size  int64
	dir   string
	files []stored // of an archive
}

// ReadLog opens the log for reading. word is the severity: "info" (also empty),
// "warning" or "error", of which only the first letter counts; the latter two
// are the ERROR file. The text begins at offset bytes. With all the content is
// a tar.gz of all files of that severity instead.
//
// Errors: 400 for an unknown severity, and for an offset that is negative or
// beyond the end ("log likely rotated"); 404 when there is no file.
func (l *Log) ReadLog(word string, offset int64, all bool) (*Dump, error) {
	s, err := parseSeverity(word)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.report(l.flush())
	l.mu.Unlock()
	if all {
		return l.openAll(s)
	}
	if offset < 0 {
		return nil, apierr.BadRequest("invalid log offset %d: must not be negative", offset)
	}
	name := filepath.Join(l.names.dir, l.names.link(s))
	f, err := os.Open(name)
	if err != nil {
		return nil, notOpened(err, s)
	}
	info, err := f.Stat()
	if err == nil && offset > info.Size() {
		err = apierr.BadRequest("log offset %d is beyond the end of %s (%d bytes): log likely rotated", offset, l.names.link(s), info.Size())
	}
	if err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Dump{text: f, size: info.Size() - offset}, nil
}

func parseSeverity(word string) (severity, error) {
	if word == "" {
		return severityInfo, nil
	}
	switch word[0] | 0x20 {
	case 'i':
		return severityInfo, nil
	case 'w', 'e':
		return severityError, nil
	}
	return 0, apierr.BadRequest("unknown log severity %.40q: must be one of [info warning error]", word)
}

func (l *Log) openAll(s severity) (*Dump, error) {
	files, err := l.names.list(s)
	if err == nil && len(files) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, notOpened(err, s)
	}
	return &Dump{dir: l.names.dir, files: files, size: -1}, nil
}

func notOpened(err error, s severity) error {
	if errors.Is(err, fs.ErrNotExist) {
		return apierr.New(http.StatusNotFound, "", "%s log does not exist", strings.ToLower(s.String()))
	}
	return apierr.Wrap(err, http.StatusInternalServerError, "", "failed to read the %s log", strings.ToLower(s.String()))
}

// ContentType is that of what WriteTo writes.
func (d *Dump) ContentType() string {
	if d.text != nil {
		return contentText
	}
	return contentGzip
}

// Size is the number of bytes that WriteTo will write, -1 when unknown.
func (d *Dump) Size() int64 { return d.size }

// WriteTo writes the content. A file that grows meanwhile ends where it ended
// when it was opened; one that was deleted is left out.
func (d *Dump) WriteTo(w io.Writer) (int64, error) {
	if d.text != nil {
		return io.Copy(w, io.LimitReader(d.text, d.size))
	}
	counted := &countingWriter{w: w}
	zw := gzip.NewWriter(counted)
	tw := tar.NewWriter(zw)
	for _, f := range d.files {
		if err := d.archive(tw, f); err != nil {
			return counted.n, err
		}
	}
	err := tw.Close()
	if closeErr := zw.Close(); err == nil {
		err = closeErr
	}
	return counted.n, err
}

func (d *Dump) archive(tw *tar.Writer, f stored) (err error) {
	in, err := os.Open(filepath.Join(d.dir, f.name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := tw.WriteHeader(&tar.Header{Name: f.name, Mode: fileMode, Size: f.size, ModTime: f.mtime}); err != nil {
		return err
	}
	_, err = io.CopyN(tw, in, f.size)
	return err
}

// Close releases the file.
func (d *Dump) Close() error {
	if d.text == nil {
		return nil
	}
	return d.text.Close()
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
