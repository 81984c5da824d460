package rpc

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/trust"
)

// TestUpgradesAreSigned: a connection leaves HTTP only if the request was
// signed, by the cluster's key or by the caller itself.
func TestUpgradesAreSigned(t *testing.T) {
	t.Parallel()
	key := trust.Key{ID: 3, Secret: [trust.KeySize]byte{1}}
	for _, tc := range []struct {
		name             string
		sender, receiver []trust.Key
	}{
		{"by a cluster key", []trust.Key{key}, []trust.Key{key}},
		{"without a key", nil, []trust.Key{key}},
		{"with a key that the receiver lacks", []trust.Key{key}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			sender, receiver := keyring(t, "a", tc.sender...), keyring(t, "b", tc.receiver...)
			check := verifier(receiver, sender.Public())
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := httptest.NewRecorder()
				check(answer, r)
				if answer.Code != http.StatusOK {
					w.Header().Set("Ais-Caller-Sig", SignAsYourself)
					w.WriteHeader(answer.Code)
					return
				}
				if r.Header.Get("Upgrade") != "echo" || r.Header.Get("Connection") != "Upgrade" {
					t.Errorf("headers %v", r.Header)
				}
				conn, in, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
				line, _ := in.ReadString('\n')
				_, _ = io.WriteString(conn, "echo "+line)
				_ = conn.Close()
			}))
			defer server.Close()
			client := New(Options{NodeID: "a", Trust: sender})
			defer client.Close()
			conn, err := client.Upgrade(t.Context(), server.URL+"/v1/x?y=1", "echo")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "hello\n"); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(conn).ReadString('\n'); line != "echo hello\n" {
				t.Errorf("answer %q, %v", line, err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestUpgradeFails: refusals come as the node's error, everything else as a
// node that cannot be reached, within the time of the context.
func TestUpgradeFails(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/refuse":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"status":400,"message":"not spoken here"}`)
		case "/ignore":
			_, _ = io.WriteString(w, "I speak HTTP")
		}
	}))
	defer server.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	client := New(Options{NodeID: "a"})
	defer client.Close()
	if _, err := client.Upgrade(t.Context(), server.URL+"/refuse", "x"); apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), "not spoken here") {
		t.Errorf("refusal: %v", err)
	}
	if _, err := client.Upgrade(t.Context(), server.URL+"/ignore", "x"); err == nil {
		t.Error("a server that ignores the upgrade is taken for one that does it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var unreachable *UnreachableError
	if _, err := client.Upgrade(ctx, "http://"+silent.Addr().String(), "x"); !errors.As(err, &unreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silence: %v", err)
	}
	client.Close()
	if _, err := client.Upgrade(t.Context(), server.URL+"/refuse", "x"); !errors.As(err, &unreachable) {
		t.Errorf("after Close: %v", err)
	}
}

// TestUpgradeByTLS: the connection is encrypted, and the authority is checked.
func TestUpgradeByTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := in.ReadString('\n')
		_, _ = io.WriteString(conn, "echo "+line)
		_ = conn.Close()
	}))
	defer server.Close()
	known := x509.NewCertPool()
	known.AddCert(server.Certificate())
	client := New(Options{NodeID: "a", TLS: &tls.Config{RootCAs: known, ServerName: "example.com", MinVersion: tls.VersionTLS12}})
	defer client.Close()
	conn, err := client.Upgrade(t.Context(), server.URL+"/v1/x", "echo")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := conn.(*tls.Conn); !ok {
		t.Errorf("the connection is a %T", conn)
	}
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "echo hello\n" {
		t.Errorf("answer %q, %v", line, err)
	}
	_ = conn.Close()
	stranger := New(Options{NodeID: "a", TLS: &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com", MinVersion: tls.VersionTLS12}})
	defer stranger.Close()
	var unreachable *UnreachableError
	if _, err := stranger.Upgrade(t.Context(), server.URL+"/v1/x", "echo"); !errors.As(err, &unreachable) {
		t.Errorf("an unknown authority: %v", err)
	}
}
