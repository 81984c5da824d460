package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestFirstRunCreatesTheFile(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	dir, err := Dir(env("HOME", home))
	if err != nil || dir != filepath.Join(home, ".config/ais/cli") {
		t.Fatalf("Dir = %q, %v", dir, err)
	}
	first, warning, err := Load(dir, env())
	if err != nil || warning != "" {
		t.Fatalf("Load: %q, %v", warning, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"url": "http://127.0.0.1:8080"`, `"default_docker_host": "http://172.50.0.2:8080"`,
		`"tcp_timeout": "60s"`, `"http_timeout": "0s"`, `"ls": "bucket ls"`, `"url": "http://127.0.0.1:52001"`} {
		if !strings.Contains(string(data), part) {
			t.Errorf("cli.json lacks %s:\n%s", part, data)
		}
	}
	second, _, err := Load(dir, env())
	if err != nil || second.Cluster != first.Cluster || len(second.Aliases) != len(first.Aliases) {
		t.Fatalf("second Load: %+v, %v", second, err)
	}
}

func TestOverriddenFolder(t *testing.T) {
	t.Parallel()
	dir, err := Dir(env("HOME", "/nowhere", EnvConfigDir, "/elsewhere"))
	if err != nil || dir != "/elsewhere" {
		t.Fatalf("Dir = %q, %v", dir, err)
	}
	if _, err := Dir(env()); err == nil {
		t.Fatal("no HOME: no error")
	}
}

func TestDamagedFile(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"no JSON": "{", "bad duration": `{"timeout":{"tcp_timeout":"soon"}}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Load(dir, env()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tokenFile := filepath.Join(dir, "other.token")
	for path, text := range map[string]string{filepath.Join(dir, TokenFileName): "default", tokenFile: "named"} {
		if err := os.WriteFile(path, []byte(`{"token":"`+text+`"}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name  string
		file  *File
		env   func(string) string
		url   string
		token string
	}{
		{"from the file", Defaults(false), env(), "http://127.0.0.1:8080", "default"},
		{"from the environment", Defaults(false), env(EnvEndpoint, "10.0.0.1:51080/"), "http://10.0.0.1:51080", "default"},
		{"https", Defaults(true), env(), "https://127.0.0.1:8080", "default"},
		{"default host", &File{Cluster: Cluster{DefaultHost: "http://h:1"}}, env(), "http://h:1", "default"},
		{"token file", Defaults(false), env(EnvAuthTokenFile, tokenFile), "http://127.0.0.1:8080", "named"},
		{"token text", Defaults(false), env(EnvAuthToken, " text ", EnvAuthTokenFile, tokenFile), "http://127.0.0.1:8080", "text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := tt.file.Connect(dir, tt.env)
			if err != nil {
				t.Fatal(err)
			}
			if c.URL != tt.url || c.Token != tt.token || c.DialTimeout != time.Minute {
				t.Fatalf("%+v", c)
			}
			if strings.HasPrefix(c.URL, "https") != (c.TLS != nil) {
				t.Fatalf("TLS settings %v for %s", c.TLS, c.URL)
			}
		})
	}
	if _, err := Defaults(false).Connect(dir, env(EnvAuthTokenFile, filepath.Join(dir, "none"))); err == nil {
		t.Error("a token file that was asked for and is missing: no error")
	}
}
