// Package xact is the framework of jobs (xactions): the kinds that clients
// know, what a job is to do (Spec), the job on one target with its counters and
// its life (Xaction), and the registry that starts, finds, and ends the jobs of
// a target. It knows neither HTTP nor any job: each is a folder below with one
// Registration, and ais/target lists these.
//
// A job that concerns the cluster is started by the primary on every target
// under one id (package ais/jobs). Jobs that follow from what a target does (copies
// after a PUT) are started by that target.
package xact
