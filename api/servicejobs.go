package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/aistore-go/aistore/cmn/wire"
)

// Services that keep lists of their own jobs.
const (
	serviceDownload = "download"
	serviceSort     = "dsort"
)

// ServiceJob is a job in the list of a service.
type ServiceJob struct {
	ID          string
	Description string
	Ended       bool // finished or aborted
}

// ServiceJobs are the jobs in the list of a service, "download" or "dsort", whose
// descriptions match a POSIX regular expression; all, if that is empty.
func (c *Client) ServiceJobs(ctx context.Context, service, regex string) ([]ServiceJob, error) {
	req := &request{method: http.MethodGet, repeatable: true}
	switch service {
	case serviceDownload:
		body, err := json.Marshal(map[string]string{"id": "", "regex": regex})
		if err != nil {
			return nil, err
		}
		req.path, req.body = wire.PathDownload, body
	case serviceSort:
		req.path = wire.PathSort
		if regex != "" {
			req.query = url.Values{"regex": {regex}}.Encode()
		}
	default:
		return nil, errService(service)
	}
	answer, err := c.call(ctx, req)
	if err != nil {
		return nil, err
	}
	var list []struct {
		ID          string `json:"id"`
		Description string `json:"description"`
		Metrics     struct {
			Description string `json:"description"`
		} `json:"Metrics"`
		Aborted    bool `json:"aborted"`
		Archived   bool `json:"archived"`
		Dispatched bool `json:"all_dispatched"`
		Scheduled  int  `json:"scheduled_cnt"`
		Finished   int  `json:"finished_cnt"`
		Failed     int  `json:"error_cnt"`
	}
	if err := json.Unmarshal(answer.body, &list); err != nil {
		return nil, fmt.Errorf("decoding the list of %s jobs: %w", service, err)
	}
	jobs := make([]ServiceJob, len(list))
	for i, j := range list {
		jobs[i] = ServiceJob{ID: j.ID, Description: j.Description, Ended: j.Aborted || j.Dispatched && j.Scheduled == j.Finished+j.Failed}
		if service == serviceSort { // its abort ends before it is archived
			jobs[i].Description, jobs[i].Ended = j.Metrics.Description, j.Archived
		}
	}
	return jobs, nil
}

func errService(service string) error {
	return fmt.Errorf("there are no jobs of %q in a list (expected %s or %s)", service, serviceDownload, serviceSort)
}

// RemoveServiceJob removes a job that has ended from the list of a service:
// "download" or "dsort". One that runs is refused, one that is not known a
// 404.
func (c *Client) RemoveServiceJob(ctx context.Context, service, id string) error {
	req := &request{method: http.MethodDelete, repeatable: true}
	switch service {
	case serviceDownload:
		body, err := json.Marshal(map[string]string{"id": id})
		if err != nil {
			return err
		}
		req.path, req.body = wire.PathDownload+"/remove", body
	case serviceSort:
		req.path, req.query = wire.PathSort, url.Values{wire.QueryUUID: {id}}.Encode()
	default:
		return errService(service)
	}
	_, err := c.call(ctx, req)
	return err
}
