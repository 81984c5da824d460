package trust

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
)

const aSecret = "correct horse battery staple"

func TestReadJoinSecret(t *testing.T) {
	t.Parallel()
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	same := func(env map[string]string) *JoinSecret {
		t.Helper()
		s, err := ReadJoinSecret(func(name string) string { return env[name] })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := same(nil); s != nil {
		t.Error("a secret without any")
	}
	a, b := same(map[string]string{EnvJoinSecret: aSecret}), same(map[string]string{EnvJoinSecretFile: file("\n" + aSecret + "\n")})
	if *a != *b {
		t.Error("the secret of the file is another one")
	}
	for name, env := range map[string]map[string]string{
		"both":         {EnvJoinSecret: aSecret, EnvJoinSecretFile: file(aSecret)},
		"short":        {EnvJoinSecret: "hunter2"},
		"empty file":   {EnvJoinSecretFile: file("\n")},
		"long":         {EnvJoinSecretFile: file(strings.Repeat("x", maxJoinSecret+1))},
		"missing file": {EnvJoinSecretFile: "/no/such/file"},
	} {
		_, err := ReadJoinSecret(func(name string) string { return env[name] })
		if err == nil || !strings.Contains(err.Error(), EnvJoinSecret) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", a)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", a)
	fmt.Fprintf(&log, "%v %+v %#v %s", a, a, a, a)
	for _, part := range []string{"horse", fmt.Sprint(a.key[0], a.key[1], a.key[2]), fmt.Sprintf("%x", a.key[:4])} {
		if strings.Contains(log.String(), part) {
			t.Errorf("the secret is in the log: %s", log.String())
		}
	}
}

func TestJoinProof(t *testing.T) {
	t.Parallel()
	secret, err := NewJoinSecret(aSecret)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := NewJoinSecret(aSecret + ".")
	if err != nil {
		t.Fatal(err)
	}
	transcript := func() *JoinTranscript {
		return &JoinTranscript{
			UUID: "cluster01", Challenge: bytes.Repeat([]byte{1}, NonceSize), Counter: bytes.Repeat([]byte{2}, NonceSize),
			Leader: "proxy001", NodeID: "target01", PublicKey: bytes.Repeat([]byte{3}, 32), Incarnation: 5,
		}
	}
	proof := secret.Prove(JoinNode, transcript())
	if err := secret.Check(JoinNode, transcript(), proof); err != nil {
		t.Fatal(err)
	}
	bad := map[string]error{
		"wrong secret": secret.Check(JoinNode, transcript(), wrong.Prove(JoinNode, transcript())),
		"other side":   secret.Check(JoinLeader, transcript(), proof),
		"none":         secret.Check(JoinNode, transcript(), nil),
		"cut":          secret.Check(JoinNode, transcript(), proof[:16]),
	}
	for name, change := range map[string]func(*JoinTranscript){
		"cluster":      func(t *JoinTranscript) { t.UUID = "cluster02" },
		"challenge":    func(t *JoinTranscript) { t.Challenge = bytes.Repeat([]byte{9}, NonceSize) },
		"no challenge": func(t *JoinTranscript) { t.Challenge = nil },
		"counter":      func(t *JoinTranscript) { t.Counter = bytes.Repeat([]byte{9}, NonceSize) },
		"leader":       func(t *JoinTranscript) { t.Leader = "proxy002" },
		"node":         func(t *JoinTranscript) { t.NodeID = "target02" },
		"key":          func(t *JoinTranscript) { t.PublicKey = bytes.Repeat([]byte{4}, 32) },
		"start":        func(t *JoinTranscript) { t.Incarnation = 6 },
		"content":      func(t *JoinTranscript) { t.Content = []byte("x") },
	} {
		other := transcript()
		change(other)
		bad[name] = secret.Check(JoinNode, other, proof)
	}
	for name, err := range bad {
		if apierr.StatusOf(err) != 401 || apierr.CodeOf(err) != CodeJoinProof {
			t.Errorf("%s: %v", name, err)
		}
	}
}
