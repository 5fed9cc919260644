package programtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Nginx runs nginx with blocks of a configuration in which listen 80 stands for its own
// address. It returns that. The test is skipped where there is no nginx.
func Nginx(t *testing.T, blocks string) string {
	t.Helper()
	bin, err := exec.LookPath("nginx")
	if err != nil {
		bin = "/usr/sbin/nginx"
		if _, err := os.Stat(bin); err != nil {
			t.Skip("SKIPPED, NOT TESTED: there is no nginx here (apt-get install nginx-light)")
		}
	}
	// It inherits the listener, so no port has to be guessed.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dir, addr := t.TempDir(), l.Addr().String()
	if !strings.Contains(blocks, "listen 80") {
		t.Fatalf("no listen 80 in %s", blocks)
	}
	conf := fmt.Sprintf("daemon off;\nworker_processes 1;\nuser root;\npid %[1]s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"+
		"client_body_temp_path %[1]s/body;\nproxy_temp_path %[1]s/proxy;\nfastcgi_temp_path %[1]s/f;\nuwsgi_temp_path %[1]s/u;\n"+
		"scgi_temp_path %[1]s/s;\n%[2]s\n}\n", dir, strings.ReplaceAll(blocks, "listen 80", "listen "+addr))
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-p", dir, "-c", "conf", "-e", "stderr")
	cmd.Env = append(os.Environ(), "NGINX=3;") // the descriptors that a binary upgrade hands on
	cmd.ExtraFiles = []*os.File{file}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // the master ends its worker
		cmd.Wait()
		if t.Failed() {
			t.Log("nginx:", said.String())
		}
	})
	return addr
}
