package trust

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIdentityIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := LoadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, NodeKeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key file: %v, mode %v", err, info.Mode())
	}
	second, err := LoadIdentity(dir)
	if err != nil || !bytes.Equal(first.Public(), second.Public()) {
		t.Errorf("another identity after a restart: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("files: %v %v", files, err)
	}
	if other, err := LoadIdentity(t.TempDir()); err != nil || bytes.Equal(first.Public(), other.Public()) {
		t.Errorf("two nodes have one identity: %v", err)
	}
}

func TestIdentityFileIsRefused(t *testing.T) {
	t.Parallel()
	good := nodeKeyHeader + strings.Repeat("A", 43) + "=\n"
	for _, tc := range []struct {
		name, content string
		mode          os.FileMode
		want          string
	}{
		{"readable by others", good, 0o644, "chmod 600"},
		{"writable by the group", good, 0o620, "chmod 600"},
		{"empty", "", 0o600, "damaged"},
		{"cut", good[:40], 0o600, "damaged"},
		{"another header", "x" + good, 0o600, "damaged"},
		{"short seed", nodeKeyHeader + "AAAA\n", 0o600, "damaged"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, NodeKeyFile)
		if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadIdentity(dir); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if data, _ := os.ReadFile(path); string(data) != tc.content {
			t.Errorf("%s: the file was changed", tc.name)
		}
	}
	if _, err := LoadIdentity(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("an identity that cannot be kept")
	}
}

func identities(tb testing.TB, count int) []*Identity {
	tb.Helper()
	var all []*Identity
	for range count {
		one, err := NewIdentity()
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

func TestBox(t *testing.T) {
	t.Parallel()
	secret := []byte("0123456789abcdef0123456789abcdef")
	ids := identities(t, 20)
	for i, id := range ids { // both signs of the curve point come up
		b := Binding{UUID: "cluster01", NodeID: "node0001", KeyID: 7}
		box, err := Seal(id.Public(), b, secret)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := id.Open(b, box); err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("identity %d: %q %v", i, got, err)
		}
		if !IsFor(id.Public(), box) || IsFor(ids[(i+1)%len(ids)].Public(), box) {
			t.Error("it cannot be told for whom a box is")
		}
		other := ids[(i+1)%len(ids)]
		forged := append(appendAddress(nil, other.Public()), box[addressed:]...)
		for name, open := range map[string]func() ([]byte, error){
			"another identity":   func() ([]byte, error) { return other.Open(b, box) },
			"addressed to it":    func() ([]byte, error) { return other.Open(b, forged) },
			"another cluster":    func() ([]byte, error) { return id.Open(Binding{"cluster02", "node0001", 7}, box) },
			"another node":       func() ([]byte, error) { return id.Open(Binding{"cluster01", "node0002", 7}, box) },
			"another key":        func() ([]byte, error) { return id.Open(Binding{"cluster01", "node0001", 8}, box) },
			"text moved over":    func() ([]byte, error) { return id.Open(Binding{"cluster01n", "ode0001", 7}, box) },
			"cut":                func() ([]byte, error) { return id.Open(b, box[:len(box)-1]) },
			"empty":              func() ([]byte, error) { return id.Open(b, nil) },
			"encapsulation only": func() ([]byte, error) { return id.Open(b, box[:addressed+encapsulated]) },
		} {
			if got, err := open(); err == nil {
				t.Errorf("opens with %s: %x", name, got)
			}
		}
		for j := range box {
			bad := bytes.Clone(box)
			bad[j] ^= 1
			if _, err := id.Open(b, bad); err == nil {
				t.Fatalf("opens with byte %d changed", j)
			}
		}
	}
}

func TestSealForBadKeys(t *testing.T) {
	t.Parallel()
	one := make([]byte, 32)
	one[0] = 1 // the neutral element
	for name, key := range map[string][]byte{
		"none": nil, "short": make([]byte, 31), "neutral": one, "too large": bytes.Repeat([]byte{0xff}, 32), "zero": make([]byte, 32),
	} {
		if box, err := Seal(key, Binding{NodeID: "n"}, []byte("x")); err == nil && name != "zero" {
			t.Errorf("%s: sealed %x", name, box)
		}
	}
}

// TestSealingKey: the conversion is that of RFC 7748, as the private side has it.
func TestSealingKey(t *testing.T) {
	t.Parallel()
	id, err := newIdentity(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	key, err := sealingKey(id.Public())
	if err != nil || !bytes.Equal(key.Bytes(), id.opening.PublicKey().Bytes()) {
		t.Errorf("%v", err)
	}
}
