package node

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// certificateWarning is how long before its end a certificate is warned about.
const certificateWarning = 3 * 24 * time.Hour

// writeCertificate answers with the main facts of the certificate that this
// node shows to clients; 404 without TLS.
func (n *Node) writeCertificate(w http.ResponseWriter, r *http.Request) error {
	cert := n.publicCertificate()
	if cert == nil {
		return apierr.New(http.StatusNotFound, wire.CodeNotFound, "%s has no certificate: it does not use TLS", n.name)
	}
	const day = "2006-01-02 15:04:05 MST"
	facts := map[string]string{
		"version":              fmt.Sprint(cert.Version),
		"issued-by (CN)":       cert.Issuer.CommonName,
		"signature-algorithm":  cert.SignatureAlgorithm.String(),
		"public-key-algorithm": cert.PublicKeyAlgorithm.String(),
		"serial-number":        fmt.Sprintf("%x", cert.SerialNumber),
		"valid":                "from " + cert.NotBefore.UTC().Format(day) + " to " + cert.NotAfter.UTC().Format(day),
		"warning":              "",
	}
	switch n.certificateFlags() {
	case wire.NodeCertExpired:
		facts["warning"] = "the certificate has expired"
	case wire.NodeCertSoonExpires:
		facts["warning"] = "the certificate will soon expire"
	}
	return WriteJSON(w, r, facts)
}

// certificateFlags are the alerts of the node's certificate.
func (n *Node) certificateFlags() wire.NodeFlags {
	return certificateAlert(n.publicCertificate(), time.Now())
}

func certificateAlert(cert *x509.Certificate, now time.Time) wire.NodeFlags {
	switch {
	case cert == nil:
		return 0
	case now.After(cert.NotAfter):
		return wire.NodeCertExpired
	case now.Add(certificateWarning).After(cert.NotAfter):
		return wire.NodeCertSoonExpires
	}
	return 0
}
