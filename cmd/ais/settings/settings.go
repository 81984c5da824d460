// Package settings is the CLI's own configuration: the file cli.json, the
// environment, the token, and which endpoint and TLS settings follow from them.
package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aistore-go/aistore/cmd/ais/measure"
)

// Names of files and environment variables.
const (
	FileName      = "cli.json"
	TokenFileName = "auth.token"

	EnvConfigDir     = "AIS_CLI_CONFIG_DIR" // in place of $HOME/.config/ais/cli
	EnvEndpoint      = "AIS_ENDPOINT"
	EnvUseHTTPS      = "AIS_USE_HTTPS"
	EnvCertificate   = "AIS_CRT"
	EnvKey           = "AIS_CRT_KEY"
	EnvClientCA      = "AIS_CLIENT_CA"
	EnvSkipVerify    = "AIS_SKIP_VERIFY_CRT"
	EnvAuthURL       = "AIS_AUTHN_URL"
	EnvAuthToken     = "AIS_AUTHN_TOKEN"
	EnvAuthTokenFile = "AIS_AUTHN_TOKEN_FILE"
	EnvDirect        = "AIS_DIRECT" // go straight to the owning targets
)

// File is the content of cli.json.
type File struct {
	Cluster         Cluster           `json:"cluster"`
	Timeout         Timeout           `json:"timeout"`
	Auth            Auth              `json:"auth"`
	Aliases         map[string]string `json:"aliases"`
	DefaultProvider string            `json:"default_provider"`
	NoColor         bool              `json:"no_color"`
	Verbose         bool              `json:"verbose"`
	NoMore          bool              `json:"no_more"`
}

// Cluster is where the cluster is and how to speak TLS to it.
type Cluster struct {
	URL               string `json:"url"`
	DefaultHost       string `json:"default_ais_host"`
	DefaultDockerHost string `json:"default_docker_host"`
	Certificate       string `json:"client_crt"`
	Key               string `json:"client_crt_key"`
	ClientCA          string `json:"client_ca_tls"`
	SkipVerify        bool   `json:"skip_verify_crt"`
}

// Timeout are durations in text: "60s", or whole seconds.
type Timeout struct {
	TCP  string `json:"tcp_timeout"`
	HTTP string `json:"http_timeout"` // of a whole request, 0 = none
}

// Auth is the authentication server.
type Auth struct {
	URL string `json:"url"`
}

// DefaultAliases are the aliases that a new file has.
func DefaultAliases() map[string]string {
	return map[string]string{
		"get": "object get", "put": "object put", "rmo": "object rm",
		"ls": "bucket ls", "create": "bucket create", "rmb": "bucket rm", "cp": "bucket cp", "evict": "bucket evict",
		"start": "job start", "stop": "job stop", "wait": "job wait",
	}
}

// Defaults returns the content of a new file.
func Defaults(useHTTPS bool) *File {
	scheme := "http"
	if useHTTPS {
		scheme = "https"
	}
	return &File{
		Cluster: Cluster{
			URL: scheme + "://127.0.0.1:8080", DefaultHost: scheme + "://127.0.0.1:8080",
			DefaultDockerHost: "http://172.50.0.2:8080",
		},
		Timeout: Timeout{TCP: "60s", HTTP: "0s"},
		Auth:    Auth{URL: "http://127.0.0.1:52001"},
		Aliases: DefaultAliases(),
	}
}

// Dir returns the folder of cli.json.
func Dir(getenv func(string) string) (string, error) {
	if dir := getenv(EnvConfigDir); dir != "" {
		return dir, nil
	}
	home := getenv("HOME")
	if home == "" {
		return "", fmt.Errorf("cannot tell the folder of %s: neither HOME nor %s is set", FileName, EnvConfigDir)
	}
	return filepath.Join(home, ".config", "ais", "cli"), nil
}

// Load reads cli.json from a folder, and creates it with defaults if it is not
// there. A file that cannot be created (a read-only home) is no error: the
// defaults are returned with a warning.
func Load(dir string, getenv func(string) string) (file *File, warning string, err error) {
	path := filepath.Join(dir, FileName)
	file = Defaults(Bool(getenv(EnvUseHTTPS)))
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := save(path, file); err != nil {
			return file, fmt.Sprintf("cannot create the CLI configuration: %v", err), nil
		}
		return file, "", nil
	case err != nil:
		return nil, "", fmt.Errorf("reading the CLI configuration: %w", err)
	}
	file.Aliases = nil
	if err := json.Unmarshal(data, file); err != nil {
		return nil, "", fmt.Errorf("the CLI configuration %s is damaged: %w (remove it to have a new one)", path, err)
	}
	if file.Aliases == nil {
		file.Aliases = DefaultAliases()
	}
	return file, "", file.validate(path)
}

func (f *File) validate(path string) error {
	for name, text := range map[string]string{"timeout.tcp_timeout": f.Timeout.TCP, "timeout.http_timeout": f.Timeout.HTTP} {
		if text == "" {
			continue
		}
		if d, err := measure.ParseDuration(text); err != nil || d < 0 {
			return fmt.Errorf("%s: %s: invalid duration %q (expected e.g. 60s)", path, name, text)
		}
	}
	return nil
}

// save writes the file whole or not at all.
func save(path string, file *File) error {
	data, err := json.MarshalIndent(file, "", "    ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), FileName+".*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(append(data, '\n'))
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}

// Bool reads a switch of the environment.
func Bool(text string) bool {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "1", "t", "y", "yes", "on":
		return true
	}
	return false
}
