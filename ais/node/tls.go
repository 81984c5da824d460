package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
)

// tlsConfigs are those of a node that uses HTTPS; all nil for plain HTTP.
// They are immutable: ReloadCertificates makes new ones.
type tlsConfigs struct {
	public *tls.Config // of the clients' listeners
	intra  *tls.Config // of the listeners for other nodes
	client *tls.Config // of calls to other nodes
}

// startTLS reads the certificates for the first time.
func (n *Node) startTLS(conf *config.HTTPConf) error {
	configs, err := loadTLS(conf)
	if err != nil {
		return err
	}
	n.tls.Store(&configs)
	return nil
}

// ReloadCertificates reads all certificates, keys and authorities again from
// the files that the configuration names. New connections use them; open ones
// go on. If one file cannot be used, nothing changes. It is a 400 on a node
// that does not use HTTPS, and a 404 if a file is missing.
func (n *Node) ReloadCertificates() error {
	if n.tls.Load().intra == nil {
		return apierr.BadRequest("%s does not use HTTPS: there are no certificates to load", n.name)
	}
	conf := n.live.Config().Net.HTTP
	conf.UseHTTPS = true // a change of this one needs a restart
	configs, err := loadTLS(&conf)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return apierr.Wrap(err, http.StatusNotFound, "", "%s", n.name)
	case err != nil:
		return apierr.Wrap(err, http.StatusBadRequest, "", "%s", n.name)
	}
	n.tls.Store(&configs)
	n.rpc.SetTLS(configs.client)
	leaf := configs.public.Certificates[0].Leaf
	n.logger.Info("certificates were loaded", "public", leaf.Subject.String(), "serial", fmt.Sprintf("%x", leaf.SerialNumber), "until", leaf.NotAfter)
	return nil
}

// publicCertificate is what clients are shown, nil without TLS.
func (n *Node) publicCertificate() *x509.Certificate {
	if configs := n.tls.Load(); configs != nil && configs.public != nil {
		return configs.public.Certificates[0].Leaf
	}
	return nil
}

// listenerTLS is the configuration of a listener: for each connection that of
// the moment. which chooses the network's.
func (n *Node) listenerTLS(which func(*tlsConfigs) *tls.Config) *tls.Config {
	if which(n.tls.Load()) == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return which(n.tls.Load()), nil },
	}
}

func publicTLS(t *tlsConfigs) *tls.Config { return t.public }
func intraTLS(t *tlsConfigs) *tls.Config  { return t.intra }

// loadTLS reads the certificates that the configuration names. net.http is for
// all networks; net.http.pub, if it is there, says what the public one shows
// (the same certificate if it names none) and whom it wants to see.
func loadTLS(conf *config.HTTPConf) (t tlsConfigs, err error) {
	if !conf.UseHTTPS {
		return t, nil
	}
	intra := config.PubTLSConf{Certificate: conf.Certificate, CertKey: conf.CertKey, ClientCA: conf.ClientCA, ClientAuthTLS: conf.ClientAuthTLS}
	if t.intra, err = serverTLS("net.http", &intra); err != nil {
		return t, err
	}
	t.public = t.intra
	if conf.Pub != nil {
		public := *conf.Pub
		if public.Certificate == "" && public.CertKey == "" {
			public.Certificate, public.CertKey = conf.Certificate, conf.CertKey
		}
		if public.ClientCA == "" {
			public.ClientCA = conf.ClientCA
		}
		if t.public, err = serverTLS("net.http.pub", &public); err != nil {
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
	switch {
	case conf.ClientCA != "":
		t.ClientCAs = x509.NewCertPool()
		if err := addCAs(t.ClientCAs, conf.ClientCA); err != nil {
			return nil, err
		}
	case t.ClientAuth >= tls.VerifyClientCertIfGiven:
		return nil, fmt.Errorf("%s.client_auth_tls=%d (certificates of clients are verified) needs client_ca_tls", section, conf.ClientAuthTLS)
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
