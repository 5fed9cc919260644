// floor is what the kernel alone costs: an epoll loop that does as little as can be done around the system calls.
//
//	floor http PORT        a canned response for each blank line
//	floor http-close PORT  the same, and the connection is closed behind it
//	floor ws PORT          a fixed handshake; /ws echoes frames, what comes on /sub is sent to every /sub
//	floor wake N           N pings between two threads through a socketpair; prints the latency
//
// It trusts its peer in everything: masked frames of whole messages, no control frames, handshakes in one read.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAXFD = 1 << 16, BUFFER = 1 << 21, HTTP_READ = 1 << 14, BATCH = 1024 }; // the answers to HTTP_READ bytes fit into BUFFER

struct conn {
	int open;      // the handshake is done
	int sub;       // it came on /sub
	int newlines;  // of a blank line that a read has cut: bytes of "\r\n\r\n" seen
	char *in;      // a frame that a read has cut
	size_t in_len;
	char *out;     // what send did not take
	size_t out_len;
};

static struct conn conns[MAXFD];
static int subs[MAXFD], nsubs;
static char in[BUFFER], out[BUFFER];
static int ep, closing;

static void die(const char *what) {
	perror(what);
	exit(1);
}

static void watch(int op, int fd, uint32_t events) {
	struct epoll_event ev = {.events = events, .data.fd = fd};
	if (epoll_ctl(ep, op, fd, &ev) < 0) die("epoll_ctl");
}

static void drop(int fd) {
	struct conn *c = &conns[fd];
	if (c->sub) {
		for (int i = 0; i < nsubs; i++)
			if (subs[i] == fd) subs[i--] = subs[--nsubs];
	}
	free(c->in);
	free(c->out);
	memset(c, 0, sizeof *c);
	close(fd);
}

// put sends n bytes, and keeps what the socket does not take.
static void put(int fd, const char *p, size_t n) {
	struct conn *c = &conns[fd];
	ssize_t sent = 0;
	if (c->out_len == 0) {
		sent = send(fd, p, n, MSG_NOSIGNAL);
		if (sent == (ssize_t)n) return;
		if (sent < 0) {
			if (errno != EAGAIN) return; // the read that follows finds the end
			sent = 0;
		}
		watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT);
	}
	c->out = realloc(c->out, c->out_len + n - sent);
	memcpy(c->out + c->out_len, p + sent, n - sent);
	c->out_len += n - sent;
}

// flush sends what was kept.
static void flush(int fd) {
	struct conn *c = &conns[fd];
	ssize_t sent = send(fd, c->out, c->out_len, MSG_NOSIGNAL);
	if (sent <= 0) return;
	c->out_len -= sent;
	memmove(c->out, c->out + sent, c->out_len);
	if (c->out_len == 0) watch(EPOLL_CTL_MOD, fd, EPOLLIN);
}

static const char keep[] = "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
	"Content-Length: 13\r\n\r\nHello, World!";
static const char once[] = "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
	"Content-Length: 13\r\nConnection: close\r\n\r\nHello, World!";

// on_http answers each blank line.
static void on_http(int fd, const char *p, size_t n) {
	static const char blank[] = "\r\n\r\n";
	struct conn *c = &conns[fd];
	const char *reply = closing ? once : keep;
	size_t len = (closing ? sizeof once : sizeof keep) - 1, used = 0;
	const char *end = p + n;
	while (p < end) {
		if (c->newlines == 0) {
			p = memchr(p, '\r', end - p);
			if (p == NULL) break;
		}
		if (*p == blank[c->newlines]) c->newlines++;
		else c->newlines = *p == '\r';
		p++;
		if (c->newlines == 4) {
			c->newlines = 0;
			memcpy(out + used, reply, len);
			used += len;
		}
	}
	if (used == 0) return;
	put(fd, out, used);
	if (closing) drop(fd);
}

// on_handshake accepts whatever has a blank line at its end. The answer is right for the key of RFC 6455 §1.3.
static void on_handshake(int fd, const char *p, size_t n) {
	static const char reply[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
	if (n < 4 || memcmp(p + n - 4, "\r\n\r\n", 4) != 0) {
		drop(fd);
		return;
	}
	conns[fd].open = 1;
	if (memcmp(p, "GET /sub", 8) == 0) {
		conns[fd].sub = 1;
		subs[nsubs++] = fd;
	}
	put(fd, reply, sizeof reply - 1);
}

// unmask copies n bytes, eight at a time.
static void unmask(char *dst, const char *src, size_t n, const char *key) {
	uint64_t k, w;
	size_t i = 0;
	memcpy(&k, key, 4);
	memcpy((char *)&k + 4, key, 4);
	for (; i + 8 <= n; i += 8) {
		memcpy(&w, src + i, 8);
		w ^= k;
		memcpy(dst + i, &w, 8);
	}
	for (; i < n; i++) dst[i] = src[i] ^ key[i & 3];
}

// on_frames turns masked frames to unmasked ones, all that are whole, and sends them off together.
static void on_frames(int fd, const char *p, size_t n) {
	struct conn *c = &conns[fd];
	size_t used = 0;
	for (;;) {
		size_t head = 2, len;
		if (n < head) break;
		len = p[1] & 0x7f;
		if (len == 126) {
			head = 4;
			if (n < head) break;
			len = (uint8_t)p[2] << 8 | (uint8_t)p[3];
		} else if (len == 127) {
			head = 10;
			if (n < head) break;
			uint64_t big;
			memcpy(&big, p + 2, 8);
			len = be64toh(big);
		}
		if (n < head + 4 + len) break;
		memcpy(out + used, p, head);
		out[used + 1] &= 0x7f;
		unmask(out + used + head, p + head + 4, len, p + head);
		used += head + len;
		p += head + 4 + len;
		n -= head + 4 + len;
	}
	if (n > 0) {
		char *rest = malloc(n);
		memcpy(rest, p, n);
		free(c->in);
		c->in = rest;
	}
	c->in_len = n;
	if (used == 0) return;
	if (!c->sub) {
		put(fd, out, used);
		return;
	}
	for (int i = 0; i < nsubs; i++) put(subs[i], out, used);
}

static void on_read(int fd, int http) {
	struct conn *c = &conns[fd];
	size_t have = c->in_len;
	if (have > 0) memcpy(in, c->in, have);
	ssize_t n = recv(fd, in + have, http ? HTTP_READ : BUFFER - have, 0);
	if (n < 0 && errno == EAGAIN) return;
	if (n <= 0) {
		drop(fd);
		return;
	}
	if (http) on_http(fd, in, n);
	else if (!c->open) on_handshake(fd, in, n);
	else on_frames(fd, in, have + n);
}

static void on_accept(int l) {
	int one = 1;
	for (;;) {
		int fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);
		if (fd < 0) return;
		if (fd >= MAXFD) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		watch(EPOLL_CTL_ADD, fd, EPOLLIN);
	}
}

static void serve(int port, int http) {
	int one = 1, l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event evs[BATCH];
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(l, (struct sockaddr *)&a, sizeof a) < 0) die("bind");
	if (listen(l, 4096) < 0) die("listen");
	ep = epoll_create1(0);
	watch(EPOLL_CTL_ADD, l, EPOLLIN);
	for (;;) {
		int n = epoll_wait(ep, evs, BATCH, -1);
		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd;
			if (fd == l) {
				on_accept(l);
				continue;
			}
			if (evs[i].events & EPOLLOUT) flush(fd);
			if (evs[i].events & ~EPOLLOUT) on_read(fd, http);
		}
	}
}

static int ping[2], pong[2];

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// echo_pings waits in epoll as a server's loop does, and sends back when it has seen each ping.
static void *echo_pings(void *arg) {
	struct epoll_event ev;
	char b;
	ep = epoll_create1(0);
	watch(EPOLL_CTL_ADD, ping[1], EPOLLIN);
	for (;;) {
		if (epoll_wait(ep, &ev, 1, -1) != 1) continue;
		if (recv(ping[1], &b, 1, 0) != 1) return arg;
		int64_t seen = now();
		if (write(pong[1], &seen, sizeof seen) != sizeof seen) die("write");
	}
}

static int by_value(const void *a, const void *b) {
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void wake(int n) {
	int64_t *took = calloc(n, sizeof *took), seen;
	pthread_t t;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ping) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pong) < 0) die("socketpair");
	if (pthread_create(&t, NULL, echo_pings, NULL) != 0) die("pthread_create");
	for (int i = 0; i < n; i++) {
		int64_t start = now();
		if (write(ping[0], "", 1) != 1) die("write");
		if (read(pong[0], &seen, sizeof seen) != sizeof seen) die("read");
		took[i] = seen - start;
	}
	qsort(took, n, sizeof *took, by_value);
	printf("{\"n\": %d, \"p50\": %lld, \"p99\": %lld}\n", n, (long long)took[n / 2], (long long)took[n - 1 - n / 100]);
}

int main(int argc, char **argv) {
	if (argc != 3) {
		fprintf(stderr, "usage: floor http|http-close|ws PORT, floor wake N\n");
		return 2;
	}
	int n = atoi(argv[2]);
	closing = strcmp(argv[1], "http-close") == 0;
	if (strcmp(argv[1], "wake") == 0 && n > 0) wake(n);
	else serve(n, strcmp(argv[1], "ws") != 0);
	return 0;
}
