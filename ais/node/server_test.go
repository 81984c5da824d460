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
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for _, host := range []config.HostNet{
		{Port: port, PortIntraControl: "0"},
		{Port: "0", PortIntraControl: port},
		{Port: "0", PortIntraControl: "0", PortIntraData: port},
	} {
		_, err := New(Options{Role: meta.RoleProxy, ID: "proxy0001", Cluster: config.DefaultCluster(), Local: &config.Local{HostNet: host}, Metrics: metrics.New(meta.RoleProxy, "proxy0001")})
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), taken.Addr().String()) {
			t.Errorf("%+v: %v, want an error with %s", host, err, taken.Addr())
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := Options{Role: meta.RoleProxy, ID: "proxy0001", Cluster: config.DefaultCluster(), Local: &config.Local{HostNet: config.HostNet{Port: "0", PortIntraControl: "0"}}, Metrics: metrics.New(meta.RoleProxy, "proxy0001")}
	https := config.DefaultCluster()
	https.Net.HTTP.UseHTTPS = true
	for want, change := range map[string]func(*Options){
		"role":                func(o *Options) { o.Role = "gateway" },
		"node ID":             func(o *Options) { o.ID = "x" },
		"required":            func(o *Options) { o.Local = nil },
		"net.http.server_crt": func(o *Options) { o.Cluster = https },
	} {
		opts := good
		change(&opts)
		if _, err := New(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

func TestShutdownDrains(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	join(t, n)
	entered, leave := make(chan struct{}), make(chan struct{})
	withObjects(n, func(w http.ResponseWriter, r *http.Request) error {
		close(entered)
		<-leave
		return WriteText(w, r, "finished")
	})
	got := make(chan answer, 1)
	go func() { got <- do(t, "GET", n.Snode().Public.URL+"/v1/objects/b/o", "") }()
	<-entered
	down := make(chan error, 1)
	go func() { down <- n.Shutdown(context.Background()) }()
	eventually(t, "the node does not listen any more", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(n.Snode().Public.URL, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned with a request in flight: %v", err)
	default:
	}
	close(leave)
	if a := <-got; a.body != "finished" {
		t.Errorf("%+v", a)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// TestShutdownDoesNotWaitForUnusedConnections: clients open connections to
// have them at hand.
func TestShutdownDoesNotWaitForUnusedConnections(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	join(t, n)
	for _, url := range []string{n.Snode().Public.URL, n.Snode().IntraControl.URL} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	if a := do(t, "GET", n.Snode().Public.URL+"/v1/health", ""); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	began := time.Now()
	if err := n.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Shutdown took %v", took)
	}
}

func TestShutdownBreaksOffAtItsDeadline(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	join(t, n)
	entered := make(chan struct{})
	withObjects(n, func(_ http.ResponseWriter, r *http.Request) error {
		close(entered)
		<-r.Context().Done()
		return r.Context().Err()
	})
	failed := make(chan error, 1)
	go func() {
		res, err := client.Get(n.Snode().Public.URL + "/v1/objects/b/o")
		if err == nil {
			_ = res.Body.Close()
		}
		failed <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("the request in flight got an answer")
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	n, err := New(Options{Role: meta.RoleProxy, ID: "proxy0001", Cluster: config.DefaultCluster(),
		Local: &config.Local{HostNet: config.HostNet{Port: "0", PortIntraControl: "0", PortIntraData: "0"}}, Metrics: metrics.New(meta.RoleProxy, "proxy0001")})
	if err != nil {
		t.Fatal(err)
	}
	sn := n.Snode()
	if sn.IntraData == sn.IntraControl || sn.Public == sn.IntraControl {
		t.Errorf("networks are not apart: %+v", sn)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx) }()
	for _, url := range []string{sn.Public.URL, sn.IntraControl.URL, sn.IntraData.URL} {
		if a := do(t, "GET", url+"/v1/health", ""); a.status != 503 {
			t.Errorf("%s: %d, want 503 while starting", url, a.status)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleProxy, "proxy0001", func(o *Options) { o.Limits.Connections = 2 })
	join(t, n)
	addr := strings.TrimPrefix(n.Snode().Public.URL, "http://")
	ask := func(conn net.Conn, within time.Duration) error {
		if _, err := io.WriteString(conn, "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
			return err
		}
		_, err := conn.Read(make([]byte, 1024))
		return err
	}
	var conns []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		conns = append(conns, conn)
	}
	for _, conn := range conns[:2] {
		if err := ask(conn, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(conns[2], 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("third of two connections: %v", err)
	}
	_ = conns[0].Close()
	if err := conns[2].SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conns[2].Read(make([]byte, 1024)); err != nil {
		t.Errorf("third connection after the first was closed: %v", err)
	}
}

// writeCertificate makes a self-signed certificate for loopback.
func writeCertificate(t *testing.T, notAfter time.Time) (crt, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	crt, key = filepath.Join(t.TempDir(), "server.crt"), filepath.Join(t.TempDir(), "server.key")
	for file, block := range map[string]*pem.Block{crt: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return crt, key
}

func TestTLS(t *testing.T) {
	t.Parallel()
	crt, key := writeCertificate(t, time.Now().Add(24*time.Hour))
	secure := func(o *Options) {
		o.Cluster.Net.HTTP.UseHTTPS, o.Cluster.Net.HTTP.Certificate, o.Cluster.Net.HTTP.CertKey = true, crt, key
	}
	p1, p2 := newTestNode(t, meta.RoleProxy, "proxy0001", secure), newTestNode(t, meta.RoleProxy, "proxy0002", secure)
	join(t, p1, p2)
	url := p2.Snode().Public.URL
	if !strings.HasPrefix(url, "https://") || !strings.HasPrefix(p2.Snode().IntraControl.URL, "https://") {
		t.Fatalf("URLs %+v", p2.Snode())
	}
	// through the other node: its certificate is trusted because it is ours
	if a := do(t, "GET", url+"/v1/health?prr=true", ""); a.status != 200 {
		t.Errorf("prr by way of another proxy: %d %s", a.status, a.body)
	}
	var facts map[string]string
	get(t, url+"/v1/daemon?what=tls_certificate", &facts)
	if facts["issued-by (CN)"] != "test" || facts["warning"] == "" || !strings.HasPrefix(facts["valid"], "from ") {
		t.Errorf("%v", facts)
	}
	var state wire.NodeStateInfo
	get(t, url+"/v1/health?cii=true", &state)
	if state.Flags != wire.NodeHealthy|wire.NodeCertSoonExpires {
		t.Errorf("flags %d with a certificate that ends tomorrow", state.Flags)
	}
	old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is accepted")
	}
	if a := do(t, "GET", strings.Replace(url, "https", "http", 1)+"/v1/health", ""); a.status != 400 {
		t.Errorf("plain HTTP on a TLS port: %d", a.status)
	}
}

func TestCertificateAlert(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for left, want := range map[time.Duration]wire.NodeFlags{
		-time.Second: wire.NodeCertExpired, time.Hour: wire.NodeCertSoonExpires, 4 * 24 * time.Hour: 0,
	} {
		if got := certificateAlert(&x509.Certificate{NotAfter: now.Add(left)}, now); got != want {
			t.Errorf("%v left: %d, want %d", left, got, want)
		}
	}
}
