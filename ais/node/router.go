package node

import (
	"net/http"
	"slices"
	"strings"
)

// Handler answers one request. It returns an error instead of writing one;
// if part of the answer is out already, the connection is broken off, so that
// no client takes the part for the whole.
//
// The ResponseWriter is valid until the handler returns and no longer.
type Handler func(w http.ResponseWriter, r *http.Request) error

// route is one registered prefix. It is immutable.
type route struct {
	prefix  string
	allow   []string // value of Allow; empty: every known method goes to the handler
	methods methodSet
	handler Handler
	gated   bool // wait for, and insist on, a node that serves
}

// routeTables are the routes of both kinds of listeners, longest prefix
// first. They are replaced as a whole, so that routes may be added while the
// node answers.
type routeTables struct {
	public []*route
	intra  []*route
}

// Public registers the handler of a path and of everything below it, on the
// public listeners and, for calls that another node passes on, on
// intra-control. allow are the methods as the Allow header lists them;
// unlisted methods are served as well but not advertised. Requests wait for a
// starting node for a moment and get a bare 503 if that does not help.
func (n *Node) Public(prefix string, allow []string, h Handler, unlisted ...string) {
	n.register(prefix, allow, unlisted, h, true, true)
}

// Intra registers a handler on the intra-cluster listeners. The caller is a
// node of the Smap (see Caller); others get 403.
func (n *Node) Intra(prefix string, allow []string, h Handler) {
	n.register(prefix, allow, nil, h, false, true)
}

func (n *Node) register(prefix string, allow, unlisted []string, h Handler, public, gated bool) {
	rt := &route{prefix: prefix, handler: h, gated: gated}
	if len(allow) == 0 {
		rt.methods = allMethods
	} else {
		sorted := slices.Sorted(slices.Values(allow))
		rt.allow = []string{strings.Join(sorted, ", ")}
		for _, m := range append(sorted, unlisted...) {
			rt.methods |= methodBit(m)
		}
	}
	for {
		old := n.routes.Load()
		next := &routeTables{}
		if old != nil {
			*next = *old
		}
		if public {
			next.public = withRoute(next.public, rt)
		} else {
			next.intra = withRoute(next.intra, rt)
		}
		if n.routes.CompareAndSwap(old, next) {
			return
		}
	}
}

// withRoute returns a copy of the table with the route in its place; a route
// of the same prefix is replaced.
func withRoute(table []*route, rt *route) []*route {
	table = slices.DeleteFunc(slices.Clone(table), func(o *route) bool { return o.prefix == rt.prefix })
	table = append(table, rt)
	slices.SortStableFunc(table, func(a, b *route) int { return len(b.prefix) - len(a.prefix) })
	return table
}

// lookup returns the route of a path, nil if there is none. Leading slashes
// beyond the first do not count.
func lookup(table []*route, path string) *route {
	for len(path) > 1 && path[0] == '/' && path[1] == '/' {
		path = path[1:]
	}
	for _, rt := range table {
		if len(path) < len(rt.prefix) || path[:len(rt.prefix)] != rt.prefix {
			continue
		}
		if len(path) == len(rt.prefix) || path[len(rt.prefix)] == '/' {
			return rt
		}
	}
	return nil
}

// methodSet is a set of the methods that reach handlers at all.
type methodSet uint8

const (
	methodGet methodSet = 1 << iota
	methodHead
	methodPost
	methodPut
	methodPatch
	methodDelete
	methodOptions
	methodTrace
	allMethods methodSet = 0xff
)

// methodBit returns 0 for a method that no endpoint knows.
func methodBit(method string) methodSet {
	switch method {
	case http.MethodGet:
		return methodGet
	case http.MethodHead:
		return methodHead
	case http.MethodPost:
		return methodPost
	case http.MethodPut:
		return methodPut
	case http.MethodPatch:
		return methodPatch
	case http.MethodDelete:
		return methodDelete
	case http.MethodOptions:
		return methodOptions
	case http.MethodTrace:
		return methodTrace
	}
	return 0
}
