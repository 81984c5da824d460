// Package commands is the tree of the command-line tool: what a command is
// called, which flags it has, which REST calls it makes and what it prints.
//
// Every run has an App of its own; nothing is kept in package variables, so
// tests run commands in parallel and in one process.
package commands
