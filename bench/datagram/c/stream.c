// stream ROLE: one-way datagrams, from one socket to another, as fast as they go.
//   stream recv GRO SIZE            prints its port, and at SIGTERM how many datagrams came
//   stream send PORT GSO SIZE SECS  prints how many it has sent
// GRO and GSO are 1 or 0: whether the kernel is given, or gives, many datagrams as one buffer (UDP_SEGMENT, UDP_GRO). Without
// them both use sendmmsg and recvmmsg, as mangusta does.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32
#define WHOLE 65536

static char buf[BATCH][WHOLE];
static struct mmsghdr m[BATCH];
static struct iovec iov[BATCH];
static union { char b[64]; struct cmsghdr h; } ctl[BATCH];
static volatile sig_atomic_t over;

static void stop(int sig) { (void)sig; over = 1; }

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int receive(int gro, int size) {
	int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1, room = 4 << 20;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
	socklen_t len = sizeof at;
	long got = 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	if (gro && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on))
		return 3;
	if (bind(fd, (struct sockaddr *)&at, sizeof at) || getsockname(fd, (struct sockaddr *)&at, &len))
		return 1;
	struct sigaction sa = {.sa_handler = stop};
	sigaction(SIGTERM, &sa, NULL);
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
	while (!over) {
		struct pollfd p = {fd, POLLIN, 0};
		if (poll(&p, 1, 100) <= 0)
			continue;
		for (int i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){buf[i], gro ? WHOLE : 2048};
			m[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1, .msg_control = ctl[i].b, .msg_controllen = sizeof ctl[i].b};
		}
		int n = recvmmsg(fd, m, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			got += (m[i].msg_len + size - 1) / size;
	}
	printf("%ld\n", got);
	return 0;
}

static int stream(const char *host, int port, int gso, int size, double secs) {
	int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 1 << 20;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	long sent = 0;
	inet_aton(host, &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	if (connect(fd, (struct sockaddr *)&to, sizeof to))
		return 1;
	int each = BATCH; // datagrams in a call, with GSO as one
	if (gso && setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size))
		return 3;
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){buf[i], gso ? size * each : size};
		m[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	for (double end = now() + secs; now() < end;) {
		int k = sendmmsg(fd, m, gso ? 1 : BATCH, 0);
		if (k > 0)
			sent += gso ? (long)k * each : k;
		else if (errno != EAGAIN && errno != ECONNREFUSED && errno != ENOBUFS)
			return 4;
	}
	printf("%ld\n", sent);
	return 0;
}

int main(int argc, char **argv) {
	if (argc == 4 && !strcmp(argv[1], "recv"))
		return receive(atoi(argv[2]), atoi(argv[3]));
	if (argc == 7 && !strcmp(argv[1], "send"))
		return stream(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), atof(argv[6]));
	return 2;
}
