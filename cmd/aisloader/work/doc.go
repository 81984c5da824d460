// Package work is what a run of aisloader does to a cluster: it finds or makes
// the bucket, learns the names, and executes operations of all kinds on the
// workers of package load. An operation of a common kind (GET, PUT, list)
// takes no lock and allocates nothing but the page of a listing's request.
package work
