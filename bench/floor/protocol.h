// What both floors do with bytes: a canned reply for each blank line, a fixed handshake, frames that are echoed or sent to
// all subscribers. The file that includes this one moves the bytes: put, room and drop are its own.
//
// It trusts its peer in everything: masked frames of whole messages, no control frames, handshakes in one read.
#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { MAXFD = 1 << 16, BUFFER = 1 << 21, HTTP_READ = 1 << 14 }; // the replies to HTTP_READ bytes fit into BUFFER

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
static char in[BUFFER];
static int closing;

static char *room(void);                          // for BUFFER bytes, which put may be given next
static void put(int fd, const char *p, size_t n); // sends n bytes, and keeps what the socket does not take
static void drop(int fd);

static void die(const char *what) {
	perror(what);
	exit(1);
}

static int listen_on(int port) {
	int one = 1, l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(l, (struct sockaddr *)&a, sizeof a) < 0) die("bind");
	if (listen(l, 4096) < 0) die("listen");
	return l;
}

// forget clears what is kept of a connection.
static void forget(int fd) {
	struct conn *c = &conns[fd];
	if (c->sub) {
		for (int i = 0; i < nsubs; i++)
			if (subs[i] == fd) subs[i--] = subs[--nsubs];
	}
	free(c->in);
	free(c->out);
	memset(c, 0, sizeof *c);
}

// keep_rest adds n bytes to what waits for the socket.
static void keep_rest(struct conn *c, const char *p, size_t n) {
	c->out = realloc(c->out, c->out_len + n);
	memcpy(c->out + c->out_len, p, n);
	c->out_len += n;
}

static const char keep[] = "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
	"Content-Length: 13\r\n\r\nHello, World!";
static const char once[] = "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
	"Content-Length: 13\r\nConnection: close\r\n\r\nHello, World!";

// on_http replies to each blank line.
static void on_http(int fd, const char *p, size_t n) {
	static const char blank[] = "\r\n\r\n";
	struct conn *c = &conns[fd];
	const char *reply = closing ? once : keep;
	size_t len = (closing ? sizeof once : sizeof keep) - 1, used = 0;
	char *out = room();
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

// on_handshake accepts whatever has a blank line at its end. The reply is right for the key of RFC 6455 §1.3.
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
	char *out = room();
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
