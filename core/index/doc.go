// Package index keeps the names of a mountpath in order, so that the cost of a
// page of a listing depends on the page and not on the bucket. It is a view:
// the files are the truth, and the commit journal tells what to look at again
// after a crash.
package index
