package apierr

import "net/http"

// Statuses by the names that HTTP gives them, for packages that answer errors
// and otherwise know no HTTP.
const (
	StatusBadRequest            = http.StatusBadRequest
	StatusForbidden             = http.StatusForbidden
	StatusNotFound              = http.StatusNotFound
	StatusMethodNotAllowed      = http.StatusMethodNotAllowed
	StatusConflict              = http.StatusConflict
	StatusPreconditionFailed    = http.StatusPreconditionFailed
	StatusRequestEntityTooLarge = http.StatusRequestEntityTooLarge
	StatusInternalServerError   = http.StatusInternalServerError
	StatusServiceUnavailable    = http.StatusServiceUnavailable
	StatusInsufficientStorage   = http.StatusInsufficientStorage
)
