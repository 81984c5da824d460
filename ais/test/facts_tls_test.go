package test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// TestFactsOverHTTPS (21.2, 21.4): over TLS the Python client asks a gateway
// with the length of a body that it sends to the target alone, and others push
// the body all the same.
func TestFactsOverHTTPS(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 2)
	crt, key := selfSigned(t)
	https := func(url string) string { return strings.Replace(url, "http:", "https:", 1) }
	c.Config["net"] = map[string]any{"http": map[string]any{"use_https": true, "server_crt": crt, "server_key": key}}
	c.Config["proxy"] = map[string]any{
		"primary_url": https(c.nodes[0].ControlURL()), "original_url": https(c.nodes[0].ControlURL()), "discovery_url": https(c.nodes[1].ControlURL()),
	}
	if err := c.WriteConfiguration(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.down)
	certificate, err := os.ReadFile(crt)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certificate)
	secure := &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}
	hc := &http.Client{Timeout: stepTimeout, Transport: &http.Transport{TLSClientConfig: secure}}
	for _, n := range c.nodes {
		c.start(n)
	}
	for _, n := range c.nodes {
		c.eventually("readiness of "+n.Name(), func() error {
			a, err := try(hc, http.MethodGet, https(n.URL())+"/v1/health?readiness=true", "")
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("status %d", a.status)
			}
			return err
		})
	}
	c.eventually("a cluster of two targets", func() error {
		a, err := try(hc, http.MethodGet, https(c.nodes[0].URL())+"/v1/daemon?what=smap", "")
		if err != nil {
			return err
		}
		if m := decode[playground.Smap](t, a.body); len(m.Tmap) != 2 || len(m.Pmap) != 2 {
			return fmt.Errorf("%d proxies, %d targets", len(m.Pmap), len(m.Tmap))
		}
		return nil
	})
	base := https(c.nodes[1].URL())
	expect := func(t *testing.T, status int, method, path, body string) answer {
		t.Helper()
		a, err := try(hc, method, base+path, body)
		if err != nil || a.status != status {
			t.Fatalf("%s %s: %v, status %d, want %d: %s", method, path, err, a.status, status, a.body)
		}
		return a
	}
	expect(t, http.StatusOK, http.MethodPost, "/v1/buckets/b", `{"action":"create-bck"}`)
	content := strings.Repeat("over TLS ", 1<<17)
	expect(t, http.StatusOK, http.MethodPut, "/v1/objects/b/o", content)
	if got := expect(t, http.StatusOK, http.MethodGet, "/v1/objects/b/o", "").body; got != content {
		t.Errorf("%d bytes, want %d", len(got), len(content))
	}

	for name, pushed := range map[string]int{"21.2 a length and an empty body": 0, "21.4 64 MiB pushed before reading": 64} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", strings.TrimPrefix(base, "https://"), secure)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.SetDeadline(time.Now().Add(stepTimeout)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := io.WriteString(conn, "PUT /v1/objects/b/probe HTTP/1.1\r\nHost: x\r\nContent-Length: 67108864\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			block := strings.Repeat("x", mib)
			for i := range pushed {
				if _, err := io.WriteString(conn, block); err != nil {
					t.Fatalf("the connection broke after %d MiB: %v", i, err)
				}
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusTemporaryRedirect || !strings.HasPrefix(to, "https://") {
				t.Errorf("%s %q", resp.Status, to)
			}
			if took := time.Since(began); pushed == 0 && took > 2*time.Second {
				t.Errorf("the answer took %v", took)
			}
		})
	}
}

// selfSigned writes a certificate for this machine and its key.
func selfSigned(t *testing.T) (crt, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "playground"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	crt, key = filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	for file, block := range map[string]*pem.Block{crt: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return crt, key
}
