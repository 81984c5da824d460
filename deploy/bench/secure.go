package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var tlsSection = &section{
	title: "TLS",
	notes: func(b *bench) []string {
		return []string{
			fmt.Sprintf("The same cluster with `net.http.use_https`: TLS 1.3 on all listeners (ECDSA P-256), connections kept; %d clients, medians of %d rounds of %v. Own figures: there is no bound.", b.workers, b.rounds, b.slice),
			"Durability `none`, checksums xxhash2, data in " + orDisk(memoryFolder()) + ", warm page cache.",
		}
	},
	head: []string{"operation", "path", "us (user + sys)", "op/s"},
}

func tlsRows() []row {
	var rows []row
	for _, kind := range []struct {
		id, title       string
		set             workingSet
		write, checksum bool
	}{
		{"get-4k", "GET 4 KiB", small, false, false},
		{"put-4k", "PUT 4 KiB", small, true, false},
		{"get-1m", "GET 1 MiB", middle, false, false},
		{"put-1m", "PUT 1 MiB", middle, true, true},
		{"get-32m", "GET 32 MiB", large, false, false},
		{"put-32m", "PUT 32 MiB", large, true, true},
	} {
		for _, gateway := range []bool{true, false} {
			id, title := "-direct", "straight from the owner"
			if gateway {
				id, title = "-proxy", "through a gateway"
			}
			rows = append(rows, row{id: "tls-" + kind.id + id, section: tlsSection, title: "TLS: " + kind.title + ", " + title,
				measure: func(ctx context.Context, b *bench) ([]string, error) {
					s, err := b.overTLS(ctx, kind.set, kind.write, kind.checksum, gateway)
					return []string{kind.title, title, s.cells(), fmt.Sprintf("%.0f", s.rate)}, err
				}})
		}
	}
	return rows
}

func (b *bench) overTLS(ctx context.Context, set workingSet, write, checksum, gateway bool) (sample, error) {
	var err error
	if b.secure == nil {
		b.secure, err = startCluster(ctx, &clusterOptions{bin: b.bin, root: filepath.Join(b.memory, "secure"), port: firstPort + 30, secure: true, fill: everySize})
		if err != nil {
			return sample{}, err
		}
	}
	c, path := b.secure, "/v1/objects/"+bucket
	server, headers := c.target(), c.directHead()
	if gateway {
		server, headers = c.proxy(), ""
	}
	task := set.reads(address(server), path)
	if write {
		task = set.writes(address(server), path, headers, gateway, checksum)
	}
	var samples []sample
	for round := range b.rounds {
		b.progress.round(round+1, b.rounds)
		s, err := b.sample(ctx, c.processes(), task, c.loadOptions())
		if err != nil {
			return sample{}, err
		}
		samples = append(samples, s)
	}
	return median(samples), nil
}

// useTLS makes a certificate and has all listeners use it.
func (c *cluster) useTLS() error {
	certificate, key := filepath.Join(c.Root, "server.crt"), filepath.Join(c.Root, "server.key")
	if err := writeCertificate(certificate, key); err != nil {
		return err
	}
	primary := strings.Replace(c.Nodes()[0].ControlURL(), "http:", "https:", 1)
	c.Config["net"] = map[string]any{"http": map[string]any{"use_https": true, "server_crt": certificate, "server_key": key}}
	c.Config["proxy"] = map[string]any{"primary_url": primary, "original_url": primary, "discovery_url": ""}
	return nil
}

func writeCertificate(certificate, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "aistore benchmark"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	public, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public}), 0o644),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600),
	)
}
