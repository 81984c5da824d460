// Package objreq holds what gateways and targets do alike with a request for
// one object: find the bucket, refuse what is not built, find the target that
// owns the name, redirect there, recognize a redirected request, and answer a
// request whose body nobody will read.
package objreq
