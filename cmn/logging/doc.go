// Package logging writes a node's log: a handler for log/slog whose files,
// links and line form are those that operators and the CLI know.
//
// There are two files a node, INFO and ERROR, and a link to the newest of each
// (aisproxy.INFO). A line is
//
//	I 15:04:05.123456 store.go:120 text key=value
//
// where the first letter is I (information, only in INFO), W (warning, in
// both) or E (error, in both and on stderr). One record is one line: control
// characters are escaped, and a line is at most 2 KiB long.
//
// How much is logged is set by the verbosity, 1 to 5, and by a mask of
// modules: a module in the mask is logged at the highest verbosity. Debug
// records appear at verbosity 4 and above.
package logging
