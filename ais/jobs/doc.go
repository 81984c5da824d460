// Package jobs is the primary's part of jobs that concern the cluster: it has
// every target check a job, writes the job's record (meta.KindJobs), has the
// targets start it under one id, watches it until it has ended everywhere, and writes that down.
// A primary that takes over goes on from the records. It knows targets through
// the port Targets, and no HTTP.
//
// docs/batch.md describes the record and the calls.
package jobs
