// load PORT SOCKETS WINDOW SIZE SECONDS: keeps WINDOW datagrams under way on each of SOCKETS sockets,
// and prints how many came back, and how many did not.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 64

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
	if (argc != 6)
		return 2;
	int port = atoi(argv[1]), socks = atoi(argv[2]), window = atoi(argv[3]), size = atoi(argv[4]);
	double secs = atof(argv[5]);
	static char buf[MOST][65536];
	struct mmsghdr m[MOST];
	struct iovec iov[MOST];
	struct pollfd p[MOST];
	int away[MOST];
	long back = 0, lost = 0;
	if (socks > MOST || window > MOST)
		return 2;
	for (int i = 0; i < MOST; i++) {
		iov[i] = (struct iovec){buf[i], size};
		memset(&m[i], 0, sizeof m[i]);
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	for (int i = 0; i < socks; i++) {
		p[i] = (struct pollfd){socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), POLLIN, 0};
		away[i] = 0;
		if (connect(p[i].fd, (struct sockaddr *)&to, sizeof to))
			return 1;
	}
	for (double end = now() + secs; now() < end;) {
		for (int i = 0; i < socks; i++)
			if (away[i] < window) {
				int k = sendmmsg(p[i].fd, m, window - away[i], 0);
				if (k > 0)
					away[i] += k;
			}
		if (poll(p, socks, 20) == 0) { // the rest is lost
			for (int i = 0; i < socks; i++) {
				lost += away[i];
				away[i] = 0;
			}
			continue;
		}
		for (int i = 0; i < socks; i++)
			if (p[i].revents & POLLIN) {
				int k = recvmmsg(p[i].fd, m, MOST, MSG_DONTWAIT, NULL);
				if (k > 0) {
					back += k;
					away[i] = away[i] > k ? away[i] - k : 0;
				}
			}
	}
	printf("%ld %ld\n", back, lost);
	return 0;
}
