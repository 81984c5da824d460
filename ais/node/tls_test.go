package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// authority signs certificates for tests.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its own certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.file, _ = a.issue(t, "authority", 1)
	return a
}

// issue writes a certificate with its key; the first one is the authority's.
func (a *authority) issue(t *testing.T, name string, serial int64) (crt, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert == nil {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		a.key = private
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	crt, key = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	for file, block := range map[string]*pem.Block{crt: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return crt, key
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// shown connects to a node and returns the serial number of its certificate.
func shown(url string, conf *tls.Config) (int64, error) {
	conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), conf)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	// The client is done before the server has looked at its certificate.
	if _, err := conn.Write([]byte("GET /v1/health HTTP/1.0\r\n\r\n")); err != nil {
		return 0, err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return 0, err
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

// TestMutualTLS: nodes show each other certificates; clients need none where
// the public network says so, and who has none gets nowhere on the others.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	crt, key := ca.issue(t, "node", 10)
	pubCrt, pubKey := ca.issue(t, "public", 20)
	secure := func(id string) func(*Options) {
		return func(o *Options) {
			h := &o.Cluster.Net.HTTP
			h.UseHTTPS, h.Certificate, h.CertKey, h.ClientCA, h.ClientAuthTLS = true, crt, key, ca.file, int(tls.RequireAndVerifyClientCert)
			h.Pub = &config.PubTLSConf{Certificate: pubCrt, CertKey: pubKey}
			o.Trust = newKeyring(t, id, clusterKey)
			o.Local.HostNet.PortIntraData = "0"
		}
	}
	p, target := newTestNode(t, meta.RoleProxy, "proxy0001", secure("proxy0001")), newTestNode(t, meta.RoleTarget, "target001", secure("target001"))
	join(t, p, target)
	withEcho(target)
	for _, url := range []string{target.Snode().IntraControl.URL, target.Snode().IntraData.URL} {
		got, _, err := p.RPC().Get(context.Background(), url, wire.PathIntra)
		if err != nil || string(got) != "p[proxy0001] " {
			t.Errorf("%s: %q %v", url, got, err)
		}
	}
	stranger := &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12}
	if serial, err := shown(target.Snode().Public.URL, stranger); err != nil || serial != 20 {
		t.Errorf("public: certificate %d, %v", serial, err)
	}
	other := newAuthority(t)
	otherCrt, otherKey := other.issue(t, "other", 30)
	foreign, err := tls.LoadX509KeyPair(otherCrt, otherKey)
	if err != nil {
		t.Fatal(err)
	}
	member, err := tls.LoadX509KeyPair(crt, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{target.Snode().IntraControl.URL, target.Snode().IntraData.URL} {
		if _, err := shown(url, stranger); err == nil {
			t.Errorf("%s: no certificate is asked for", url)
		}
		if _, err := shown(url, &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{foreign}}); err == nil {
			t.Errorf("%s: another authority's certificate is taken", url)
		}
		if serial, err := shown(url, &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{member}}); err != nil || serial != 10 {
			t.Errorf("%s: certificate %d, %v", url, serial, err)
		}
	}
}

// TestReloadCertificates: new certificates are shown to new connections, and
// files that cannot be used change nothing.
func TestReloadCertificates(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	crt, key := ca.issue(t, "node", 10)
	secure := func(o *Options) {
		h := &o.Cluster.Net.HTTP
		h.UseHTTPS, h.Certificate, h.CertKey, h.ClientCA = true, crt, key, ca.file
		h.ClientAuthTLS = int(tls.VerifyClientCertIfGiven)
	}
	a, b := newTestNode(t, meta.RoleProxy, "proxy0001", secure), newTestNode(t, meta.RoleProxy, "proxy0002", secure)
	join(t, a, b)
	withEcho(b)
	conf := &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12}
	both := []string{b.Snode().Public.URL, b.Snode().IntraControl.URL}
	expect := func(want int64) {
		t.Helper()
		for _, url := range both {
			if serial, err := shown(url, conf); err != nil || serial != want {
				t.Errorf("%s shows certificate %d, want %d: %v", url, serial, want, err)
			}
		}
		if _, _, err := a.RPC().Request(context.Background(), 0, "GET", b.Snode().IntraControl.URL+"/v1/health", "", nil); err != nil {
			t.Errorf("call between nodes: %v", err)
		}
	}
	expect(10)
	open, err := tls.Dial("tcp", strings.TrimPrefix(both[0], "https://"), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	ca.issue(t, "node", 11) // into the same files
	expect(10)
	if err := b.ReloadCertificates(); err != nil {
		t.Fatal(err)
	}
	expect(11)
	if serial := b.publicCertificate().SerialNumber.Int64(); serial != 11 {
		t.Errorf("certificate %d is told", serial)
	}
	// a connection from before goes on
	if _, err := open.Write([]byte("GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Error(err)
	}
	if _, err := open.Read(make([]byte, 12)); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(crt, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.ReloadCertificates(); apierr.StatusOf(err) != http.StatusBadRequest || !strings.Contains(err.Error(), crt) {
		t.Errorf("a damaged file: %v", err)
	}
	if err := os.Remove(crt); err != nil {
		t.Fatal(err)
	}
	if err := b.ReloadCertificates(); apierr.StatusOf(err) != http.StatusNotFound || !strings.Contains(err.Error(), crt) {
		t.Errorf("a missing file: %v", err)
	}
	expect(11)
	plain := newTestNode(t, meta.RoleProxy, "proxy0003", nil)
	if err := plain.ReloadCertificates(); apierr.StatusOf(err) != http.StatusBadRequest {
		t.Errorf("without HTTPS: %v", err)
	}
}

func TestTLSConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	crt, key := ca.issue(t, "node", 10)
	for name, tc := range map[string]struct {
		change func(*config.HTTPConf)
		want   string
	}{
		"no key":           {func(h *config.HTTPConf) { h.CertKey = "" }, "net.http.server_key"},
		"no public key":    {func(h *config.HTTPConf) { h.Pub = &config.PubTLSConf{Certificate: crt} }, "net.http.pub.server_key"},
		"verified by whom": {func(h *config.HTTPConf) { h.ClientAuthTLS = 4 }, "needs client_ca_tls"},
		"no authority":     {func(h *config.HTTPConf) { h.ClientCA = key }, "holds no certificate"},
		"missing file":     {func(h *config.HTTPConf) { h.ClientCA = "/no/such/file" }, "/no/such/file"},
	} {
		h := config.HTTPConf{UseHTTPS: true, Certificate: crt, CertKey: key}
		tc.change(&h)
		if _, err := loadTLS(&h); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// the public network may differ in one thing only
	h := config.HTTPConf{UseHTTPS: true, Certificate: crt, CertKey: key, ClientCA: ca.file, ClientAuthTLS: 4, Pub: &config.PubTLSConf{ClientAuthTLS: 1}}
	got, err := loadTLS(&h)
	if err != nil || got.public.ClientAuth != 1 || got.intra.ClientAuth != 4 || got.public.Certificates[0].Leaf.Subject.CommonName != "node" {
		t.Errorf("%v", err)
	}
}
