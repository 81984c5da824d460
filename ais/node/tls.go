package node

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/aistore-go/aistore/cmn/config"
)

// tlsConfigs are those of a node that uses HTTPS; all nil for plain HTTP.
type tlsConfigs struct {
	public *tls.Config // of the clients' listeners
	intra  *tls.Config // of the listeners for other nodes
	client *tls.Config // of calls to other nodes
}

// loadTLS reads the certificates that the configuration names.
func loadTLS(conf *config.HTTPConf) (t tlsConfigs, err error) {
	if !conf.UseHTTPS {
		return t, nil
	}
	intra := config.PubTLSConf{Certificate: conf.Certificate, CertKey: conf.CertKey, ClientCA: conf.ClientCA, ClientAuthTLS: conf.ClientAuthTLS}
	if t.intra, err = serverTLS("net.http", &intra); err != nil {
		return t, err
	}
	t.public = t.intra
	if conf.Pub != nil && conf.Pub.Certificate != "" {
		if t.public, err = serverTLS("net.http.pub", conf.Pub); err != nil {
			return t, err
		}
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if conf.ClientCA != "" {
		if err := addCAs(pool, conf.ClientCA); err != nil {
			return t, err
		}
	}
	// a self-signed certificate that all nodes share needs no authority
	if leaf := t.intra.Certificates[0].Leaf; leaf != nil && leaf.Issuer.String() == leaf.Subject.String() {
		pool.AddCert(leaf)
	}
	t.client = &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: t.intra.Certificates, RootCAs: pool,
		InsecureSkipVerify: conf.SkipVerify, //nolint:gosec // the operator asks for it
	}
	return t, nil
}

// serverTLS is the configuration of a listener; section names it in messages.
func serverTLS(section string, conf *config.PubTLSConf) (*tls.Config, error) {
	if conf.Certificate == "" || conf.CertKey == "" {
		return nil, fmt.Errorf("net.http.use_https needs both %s.server_crt and %s.server_key", section, section)
	}
	cert, err := tls.LoadX509KeyPair(conf.Certificate, conf.CertKey)
	if err != nil {
		return nil, fmt.Errorf("load the certificate %s.server_crt %q and its key %q: %w", section, conf.Certificate, conf.CertKey, err)
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, ClientAuth: tls.ClientAuthType(conf.ClientAuthTLS)}
	if conf.ClientCA != "" {
		t.ClientCAs = x509.NewCertPool()
		if err := addCAs(t.ClientCAs, conf.ClientCA); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// addCAs adds the certificates of a PEM file.
func addCAs(pool *x509.CertPool, file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the certificates of client_ca_tls: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("client_ca_tls %q holds no certificate", file)
	}
	return nil
}
