package node

import (
	"net/http"
	"strconv"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

// errNoLogFiles is the 404 of a node that logs elsewhere.
func (n *Node) errNoLogFiles() error {
	return apierr.New(http.StatusNotFound, wire.CodeNotFound, "%s keeps no log files", n.name)
}

// writeLog answers with the text of the log from an offset in bytes, or with
// an archive of all log files of a severity.
func (n *Node) writeLog(w http.ResponseWriter, r *http.Request, q query.Values) (err error) {
	if n.log == nil {
		return n.errNoLogFiles()
	}
	var offset int64
	if s := q.Get(wire.QueryOffset); s != "" {
		if offset, err = strconv.ParseInt(s, 10, 64); err != nil {
			return apierr.BadRequest("invalid %s=%q: expected a number of bytes", wire.QueryOffset, s)
		}
	}
	dump, err := n.log.ReadLog(q.Get(wire.QuerySeverity), offset, q.Bool(wire.QueryAll))
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := dump.Close(); err == nil {
			err = closeErr
		}
	}()
	h := w.Header()
	h[wire.HeaderContentType] = []string{dump.ContentType()}
	if size := dump.Size(); size >= 0 {
		h[wire.HeaderContentLength] = []string{strconv.FormatInt(size, 10)}
	}
	_, err = dump.WriteTo(w)
	return err
}

// rotateLogs begins new log files.
func (n *Node) rotateLogs() error {
	if n.log == nil {
		return n.errNoLogFiles()
	}
	if err := n.log.Rotate(); err != nil {
		return apierr.Wrap(err, http.StatusInternalServerError, "", "%s: rotate the logs", n.name)
	}
	return nil
}
