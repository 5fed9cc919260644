// echo: the floor. Receives datagrams with recvmmsg and sends them back with sendmmsg, after epoll.
// It does what the Go server does for them and no more: the source of each reply is the address that
// the datagram came to (IP_PKTINFO).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64
#define SIZE 2048

static struct mmsghdr in[BATCH];
static struct iovec iov[BATCH];
static struct sockaddr_in name[BATCH];
static char buf[BATCH][SIZE];
static union { char b[64]; struct cmsghdr h; } ctl[BATCH];

int main(void) {
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1, size = 1 << 20;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&at, sizeof at) || getsockname(fd, (struct sockaddr *)&at, &len)) {
		perror("bind");
		return 1;
	}
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
	int ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	for (;;) {
		if (epoll_wait(ep, &ev, 1, -1) < 0 && errno != EINTR)
			return 1;
		for (int i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){buf[i], SIZE};
			in[i].msg_hdr = (struct msghdr){.msg_name = &name[i], .msg_namelen = sizeof name[i], .msg_iov = &iov[i], .msg_iovlen = 1,
				.msg_control = ctl[i].b, .msg_controllen = sizeof ctl[i].b};
		}
		int n = recvmmsg(fd, in, BATCH, MSG_DONTWAIT, NULL);
		if (n <= 0)
			continue;
		for (int i = 0; i < n; i++) {
			iov[i].iov_len = in[i].msg_len;
			struct cmsghdr *h = CMSG_FIRSTHDR(&in[i].msg_hdr);
			if (h && h->cmsg_type == IP_PKTINFO) {
				struct in_pktinfo *p = (struct in_pktinfo *)CMSG_DATA(h);
				p->ipi_ifindex = 0;
				in[i].msg_hdr.msg_controllen = CMSG_SPACE(sizeof *p);
			} else
				in[i].msg_hdr.msg_controllen = 0;
		}
		for (int sent = 0; sent < n;) {
			int k = sendmmsg(fd, in + sent, n - sent, MSG_DONTWAIT);
			if (k < 0 && errno != EAGAIN && errno != EINTR)
				break;
			if (k > 0)
				sent += k;
		}
	}
}
