package main

import "os/exec"

// nginxName is nginx from Debian, which is not built here.
const nginxName = "nginx"

// nginxPath finds it where Debian puts it, which is not in the PATH of everybody.
func nginxPath() (path string, found bool) {
	for _, name := range []string{nginxName, "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// nginxTLS is nginx in one process, so that its processor time is that of the process. It has the
// suite that Go prefers.
var nginxTLS = server{name: "nginx", program: nginxName, args: []string{"-p", "DIR/..", "-c", "CONFIG"}, config: `
daemon off;
master_process off;
pid DIR/../nginx-PORT.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
	access_log off;
	default_type text/plain;
	keepalive_requests 1000000000;
	client_body_temp_path DIR/../nginx-body;
	proxy_temp_path DIR/../nginx-proxy;
	fastcgi_temp_path DIR/../nginx-fastcgi;
	uwsgi_temp_path DIR/../nginx-uwsgi;
	scgi_temp_path DIR/../nginx-scgi;
	server {
		listen ADDR ssl reuseport backlog=1024;
		ssl_certificate DIR/../ecdsa.pem;
		ssl_certificate_key DIR/../ecdsa.key;
		ssl_protocols TLSv1.3;
		ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
		location = /plaintext { return 200 "Hello, World!"; }
	}
}
`}
