package target

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// An upload in parts: created and completed by POST with an action, filled by
// PUT with the parameters uploadId and partNumber, aborted by DELETE with an
// action. Clients compare statuses and texts.

// minUploadID is the shortest upload id that an abort takes for one.
const minUploadID = 8

// createUpload answers the action mpt-upload with the id of a new upload.
func (t *Target) createUpload(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	id, err := t.store.CreateUpload(r.Context(), req.key, core.CreateOptions{})
	if err != nil {
		return err
	}
	w.Header()["Content-Type"] = []string{"text/plain"}
	w.Header()[wire.HeaderContentLength] = []string{strconv.Itoa(len(id))}
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write([]byte(id)); err != nil {
		t.metrics.HTTPWriteFailed()
	}
	return nil
}

// putPart stores the body as one part of an upload.
func (t *Target) putPart(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	text := req.query.Get(wire.QueryPartNumber)
	number, err := strconv.Atoi(text)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // out of range: Atoi returns the limit
		return apierr.BadRequest("invalid query parameter %s=%.40q: expecting a number from 1 to %d", wire.QueryPartNumber, text, core.MaxParts)
	}
	if r.ContentLength <= 0 {
		return apierr.BadRequest("%s: put-part invalid size (%d)", req.key.Cname(), r.ContentLength)
	}
	if err := t.staying(req.key); err != nil {
		return err
	}
	opts := core.PartOptions{Size: r.ContentLength}
	if sum := first(r.Header[headerContentSHA256]); sum != "" && sum != "UNSIGNED-PAYLOAD" {
		opts.SHA256 = sum
	}
	part, err := t.store.PutPart(r.Context(), req.key, req.query.Get(wire.QueryUploadID), number, r.Body, opts)
	if err != nil {
		return t.lostUpload(req.key, err)
	}
	w.Header()[wire.HeaderContentLength] = zeroLength
	delete(w.Header(), "Connection") // the body has been read to its end: no reason to close
	w.WriteHeader(http.StatusOK)
	t.metrics.Done(metrics.Put, req.key.Bck, part.Size, time.Since(req.began))
	if req.marker.Sent > 0 {
		t.metrics.Redirected(metrics.Put, time.Duration(req.began.UnixNano()-req.marker.Sent))
	}
	return nil
}

// headerContentSHA256 is the canonical form of x-amz-content-sha256.
const headerContentSHA256 = "X-Amz-Content-Sha256"

// completedPart is one entry of the value of the action mpt-complete. The etag
// says nothing here: clients leave it empty.
type completedPart struct {
	Number int    `json:"part-number"`
	ETag   string `json:"etag"`
}

// completedParts reads the value of the action mpt-complete.
func completedParts(value json.RawMessage) ([]core.CompletePart, error) {
	if len(value) == 0 {
		return nil, nil
	}
	var listed []completedPart
	if err := json.Unmarshal(value, &listed); err != nil {
		return nil, apierr.BadRequest("failed to unmarshal the parts of %s: expecting [{\"part-number\": 1, \"etag\": \"\"}, ...]: %v", wire.ActMultipartDone, node.JSONProblem(err))
	}
	parts := make([]core.CompletePart, len(listed))
	for i, part := range listed {
		parts[i].Number = part.Number
	}
	return parts, nil
}

// completeUpload answers the action mpt-complete: the parts become the object.
// The attributes of the object are in the header, as those of a PUT are.
func (t *Target) completeUpload(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	id := req.query.Get(wire.QueryUploadID)
	if id == "" {
		return apierr.BadRequest("query parameter %s is missing", wire.QueryUploadID)
	}
	parts, err := completedParts(req.action.Value)
	if err != nil {
		return err
	}
	attrs, err := t.store.CompleteUpload(r.Context(), req.key, id, core.CompleteOptions{Parts: parts})
	if err != nil {
		return t.lostUpload(req.key, err)
	}
	newHeaders(w).attributes(&attrs)
	return answerEmpty(w, http.StatusOK)
}

// abortUpload answers DELETE with the action mpt-abort.
func (t *Target) abortUpload(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	id := req.query.Get(wire.QueryUploadID)
	if len(id) < minUploadID {
		return apierr.BadRequest("invalid query parameter %s=%q: expecting the id of a multipart upload", wire.QueryUploadID, id)
	}
	if err := t.store.AbortUpload(r.Context(), req.key, id); err != nil {
		return t.lostUpload(req.key, err)
	}
	return answerEmpty(w, http.StatusOK)
}

// lostUpload says of an upload that is not here what may have become of it: its
// parts stay with the target that owned the name when it began.
func (t *Target) lostUpload(key core.Key, err error) error {
	var typed *apierr.Error
	if !errors.As(err, &typed) || typed.Status != http.StatusNotFound || typed.Code != wire.CodeNotFound {
		return err
	}
	former := t.formerOwners(t.control.View(), key)
	if len(former) == 0 {
		return err
	}
	for i, id := range former {
		former[i] = meta.NodeName(meta.RoleTarget, id)
	}
	return apierr.New(typed.Status, typed.Code, "%s here: the object was owned by %s before; if the upload began there, begin again",
		typed.Message, strings.Join(former, ", "))
}
