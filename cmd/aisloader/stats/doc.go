// Package stats shows what a run does: a table or JSON, line by line as it
// goes and with totals at the end, and datagrams for a StatsD server. It knows
// the kinds of operations by name only.
package stats

// Kinds of operations, in the order of the table.
const (
	Put = iota
	Multipart
	Get
	Download // in parallel
	List
	Kinds
)

// names are those of the column OP, of the keys in JSON, and of StatsD.
var names = [Kinds]struct{ op, json, statsd string }{
	Put:       {"PUT", "put", "put"},
	Multipart: {"MPU", "multipart", "putmultipart"},
	Get:       {"GET", "get", "get"},
	Download:  {"GET-MPDSTREAM", "get_mpdstream", "getmpdstream"},
	List:      {"LIST", "list", "list"},
}
