// Package membership carries out what operators do with nodes: maintenance,
// shutdown, decommission, removal. An operation is a document (package meta,
// Operations): it is committed before anything happens, and every step of it
// is. Next says, from the documents and from what the primary has found out
// since it took over, what comes next; it does nothing by itself. The Engine
// runs on every proxy and does what Next says while its node is the primary,
// so that a new primary goes on where the old one stopped. Everything it does
// may be done twice.
//
// The steps, of which an operation takes those that it needs:
//
//	admitted  nothing has happened yet
//	flagged   the map that the operation needs is on its way: targets stop to
//	          write the names that they lose, then it comes into force
//	moving    data moves; then the targets of a decommission are asked whether
//	          all of it has left
//	final     nodes are told, then the map shows the end
//	done      or failed, with the reason; among the past operations
package membership
