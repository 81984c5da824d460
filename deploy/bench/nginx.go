package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
)

const nginxPort = 15180

const nginxConfig = `worker_processes 2;
daemon off;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  server {
    listen 127.0.0.1:%[2]d;
    root %[1]s/data;
    location / { dav_methods PUT; create_full_put_path on; }
  }
}
`

// nginx is the reference: the fastest plain file server that everybody has.
type nginx struct {
	cmd  *exec.Cmd
	root string
}

func startNginx(ctx context.Context, root string) (*nginx, error) {
	program, err := findNginx(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(root, "data"), 0o777); err != nil {
		return nil, err
	}
	// Its workers run as another user when it is started by root.
	for dir := root; len(dir) > len(memoryFolder()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(filepath.Join(root, "data"), 0o777); err != nil {
		return nil, err
	}
	config := filepath.Join(root, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, root, nginxPort), 0o644); err != nil {
		return nil, err
	}
	n := &nginx{root: root, cmd: exec.Command(program, "-p", root, "-c", config, "-e", filepath.Join(root, "error.log"))}
	n.cmd.Stderr = os.Stderr
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	if err := n.fill(ctx); err != nil {
		return nil, errors.Join(err, n.stop())
	}
	return n, nil
}

// findNginx installs Debian's nginx-light if it is missing and we may.
func findNginx(ctx context.Context) (string, error) {
	for _, path := range []string{"nginx", "/usr/sbin/nginx"} {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	if os.Geteuid() != 0 {
		return "", errors.New("nginx is missing and only root may install it: apt-get install nginx-light")
	}
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", "nginx-light"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("nginx is missing and cannot be installed: apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return exec.LookPath("/usr/sbin/nginx")
}

func (n *nginx) url() string { return fmt.Sprintf("http://127.0.0.1:%d", nginxPort) }

// fill waits until nginx serves and stores what the rows read.
func (n *nginx) fill(ctx context.Context) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", address(n.url()))
		if err == nil {
			if err := conn.Close(); err != nil {
				return err
			}
			break
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, s := range everySize {
		if err := s.store(ctx, address(n.url()), "", "", load.Options{}); err != nil {
			return err
		}
	}
	return nil
}

func (n *nginx) stop() error {
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return n.cmd.Wait()
}

// processes are the master and its workers.
func (n *nginx) processes() []int {
	pids := []int{n.cmd.Process.Pid}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[0], pids[0]))
	if err != nil {
		return pids
	}
	for _, field := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
