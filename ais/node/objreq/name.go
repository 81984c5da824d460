package objreq

import (
	"net/http"
	"strings"

	"github.com/aistore-go/aistore/cmn/naming"
)

// TrueName returns the name that an object has in the engine. HEAD may ask for
// what no object can be called, a virtual directory with its slash at the end:
// such a name is checked by probe and stays as it is, unless it is escaped.
func TrueName(method, native string, probe func(string) error) (string, error) {
	if method == http.MethodHead && !strings.HasPrefix(native, naming.EscapePrefix) {
		return native, probe(native)
	}
	return naming.True(native)
}
