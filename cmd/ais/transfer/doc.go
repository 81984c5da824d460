// Package transfer moves many files and objects between this machine and a
// cluster: which local files are meant and what they are called there, which
// file an object may become here, a pool of workers, counts and progress.
package transfer
