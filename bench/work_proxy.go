package main

import (
	"slices"
	"strings"
	"time"
)

// proxyWorks are about reverse proxies: the rows are proxies, and the server behind them is a
// testee for all.
func proxyWorks() []work {
	servers := []server{
		{name: "mangusta", program: "proxy", args: []string{"-listen", "ADDR", "-to", "http://UPSTREAM"}},
		nginxProxy,
		{name: "httputil", program: "reverseproxy", args: []string{"-listen", "ADDR", "-to", "http://UPSTREAM"}},
	}
	over := func(name, title string, w wrk) work {
		return work{name: name, title: title, pick: usually, needs: []tool{wrkTool}, with: []string{testee.program}, servers: servers,
			run: func(b bench, s server, length time.Duration) (result, error) { return measureProxy(b, s, w, length) }}
	}
	return []work{
		over("proxy-64", "reverse proxies: GET /plaintext, 64 keep-alive connections", wrk{conns: 64, path: "/plaintext"}),
		over("proxy-post-1m", "reverse proxies: POST /echo of 1 MB, 16 connections", wrk{conns: 16, path: "/echo", script: post(1 << 20)}),
		over("proxy-10m", "reverse proxies: a file of 10 MB, 16 connections", wrk{conns: 16, path: "/static/10m.txt"}),
	}
}

// measureProxy runs the server behind the proxy on the load's processor.
func measureProxy(b bench, s server, w wrk, length time.Duration) (result, error) {
	behind, err := startOn(b.bin, testee, []int{loadCPU})
	if err != nil {
		return result{}, err
	}
	defer behind.stop()
	s.args = slices.Clone(s.args)
	for i := range s.args {
		s.args[i] = strings.ReplaceAll(s.args[i], "UPSTREAM", behind.addr)
	}
	s.config = strings.ReplaceAll(s.config, "UPSTREAM", behind.addr)
	return under(w)(b, s, length)
}

// nginxProxy is nginx in one process, with its buffers as they are by default: what does not fit
// into them goes to a file.
var nginxProxy = server{name: "nginx", program: nginxName, args: []string{"-p", "DIR/..", "-c", "CONFIG"}, config: `
daemon off;
master_process off;
pid DIR/../nginx-PORT.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_max_body_size 0;
	client_body_temp_path DIR/../nginx-body;
	proxy_temp_path DIR/../nginx-proxy;
	fastcgi_temp_path DIR/../nginx-fastcgi;
	uwsgi_temp_path DIR/../nginx-uwsgi;
	scgi_temp_path DIR/../nginx-scgi;
	upstream behind { server UPSTREAM; keepalive 256; keepalive_requests 1000000000; }
	server {
		listen ADDR reuseport backlog=1024;
		location / {
			proxy_pass http://behind;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $http_host;
			proxy_set_header X-Forwarded-For $remote_addr;
			proxy_set_header X-Forwarded-Host $http_host;
			proxy_set_header X-Forwarded-Proto $scheme;
		}
	}
}
`}
