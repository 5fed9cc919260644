// floor is what the kernel alone costs: an epoll loop that does as little as can be done around the system calls.
//
//	floor http PORT        a canned reply for each blank line
//	floor http-close PORT  the same, and the connection is closed behind it
//	floor ws PORT          a fixed handshake; /ws echoes frames, what comes on /sub is sent to every /sub
//	floor wake N PAUSE     N pings between two threads through a socketpair, PAUSE microseconds apart; prints the latency
//	floor wake N PAUSE running   the same, and the thread that pings does not sleep between
//
// protocol.h has what it does with the bytes, uring.c the same over io_uring.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "protocol.h"

enum { BATCH = 1024 };

static char out[BUFFER];
static int ep;

static char *room(void) { return out; }

static void watch(int op, int fd, uint32_t events) {
	struct epoll_event ev = {.events = events, .data.fd = fd};
	if (epoll_ctl(ep, op, fd, &ev) < 0) die("epoll_ctl");
}

static void drop(int fd) {
	forget(fd);
	close(fd);
}

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
	keep_rest(c, p + sent, n - sent);
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
	int l = listen_on(port);
	struct epoll_event evs[BATCH];
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

static void wake(int n, int pause, int running) {
	int64_t *took = calloc(n, sizeof *took), seen;
	pthread_t t;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ping) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pong) < 0) die("socketpair");
	if (pthread_create(&t, NULL, echo_pings, NULL) != 0) die("pthread_create");
	for (int i = 0; i < n; i++) {
		if (pause > 0 && !running) usleep(pause);
		for (int64_t begin = now(); running && now() - begin < pause * 1000LL;) continue;
		int64_t start = now();
		if (write(ping[0], "", 1) != 1) die("write");
		if (read(pong[0], &seen, sizeof seen) != sizeof seen) die("read");
		took[i] = seen - start;
	}
	qsort(took, n, sizeof *took, by_value);
	printf("{\"n\": %d, \"p50\": %lld, \"p99\": %lld}\n", n, (long long)took[n / 2], (long long)took[n - 1 - n / 100]);
}

int main(int argc, char **argv) {
	int n = argc > 2 ? atoi(argv[2]) : 0;
	if (n <= 0) {
		fprintf(stderr, "usage: floor http|http-close|ws PORT, floor wake N PAUSE [running|asleep]\n");
		return 2;
	}
	closing = strcmp(argv[1], "http-close") == 0;
	if (strcmp(argv[1], "wake") == 0) wake(n, argc > 3 ? atoi(argv[3]) : 0, argc > 4 && strcmp(argv[4], "running") == 0);
	else serve(n, strcmp(argv[1], "ws") != 0);
	return 0;
}
