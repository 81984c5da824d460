// Package node holds what both roles of a node share: the listeners, the
// routing of requests, the form of answers and errors, health and status
// queries, the way from any gateway to the primary and from a gateway to
// another node, and orderly shutdown.
//
// It knows HTTP and the cluster's documents. It does not know how metadata is
// agreed on (see ControlPlane), what a bucket request means (the roles
// register their handlers) or where objects lie (see StatusSource).
//
// Use: New opens the listeners, Serve answers ("starting" at first), the role
// makes its parts, registers its handlers with Public and Intra, hands over
// the control plane with SetControl and ends with MarkStarted. Shutdown
// drains.
package node
