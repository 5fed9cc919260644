// floor-uring is the floor over io_uring instead of epoll: what the kernel alone costs a loop that is told of results, not
// of readiness.
//
//	floor-uring http PORT  a canned reply for each blank line
//	floor-uring ws PORT    a fixed handshake; /ws echoes frames, what comes on /sub is sent to every /sub
//
// One receive of each connection is always under way, and takes its buffers from a ring of them. All sends of a turn and the
// wait for the next one are a single system call. A send completes inside that call, or it fails: so its bytes may be
// overwritten in the next turn, and only failures have a completion. Needs Linux 6.1.
#define _GNU_SOURCE
#include "protocol.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	ENTRIES = 4096,                       // of the submission queue
	COMPLETIONS = 1 << 15,                // of the completion queue
	TODO = 2 * COMPLETIONS,
	BUFFERS = 256,                        // of HTTP_READ bytes each, for what is received
	GROUP = 0,                            // the kernel's number of them
	ARENA = 64 << 20,                     // bytes that the sends of a turn may have
	ACCEPT = 1, RECEIVE, SEND, WRITABLE,  // what a completion is about, above the descriptor in its user_data
};

struct completion {
	uint64_t user_data;
	int32_t res;
	uint32_t flags;
};

static int ring, listener, http;
static unsigned *sq_tail, *cq_head, *cq_tail, *cq_mask;
static unsigned tail, submitted; // of the submission queue: what is filled in, what the kernel has taken
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;
static struct io_uring_buf_ring *buffers;
static uint16_t buffers_tail;
static char received[BUFFERS][HTTP_READ];
static char arena[ARENA];
static size_t used; // of the arena
static unsigned batch = 1, batch_of[MAXFD]; // number of the submission, and of the last one that had a send of a connection
static struct { const char *p; unsigned n; } sends[ENTRIES]; // by the entry of the submission queue
static struct completion todo[TODO];
static int ntodo;

// enter submits what is filled in, and waits for so many completions.
static void enter(unsigned wait_for) {
	__atomic_store_n(sq_tail, tail, __ATOMIC_RELEASE);
	batch++;
	do {
		int n = syscall(SYS_io_uring_enter, ring, tail - submitted, wait_for, wait_for > 0 ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
		if (n < 0 && errno != EINTR) die("io_uring_enter");
		if (n > 0) submitted += n;
	} while (submitted != tail);
}

// keep_unsent keeps what a send has left. An earlier one of the same connection may have left something too.
static void keep_unsent(int fd, unsigned index, int sent) {
	struct conn *c = &conns[fd];
	if (sent < 0 && sent != -EAGAIN) return; // the receive that is under way finds the end
	if (sent < 0) sent = 0;
	if (c->out_len == 0) todo[ntodo++] = (struct completion){.user_data = (uint64_t)WRITABLE << 32 | fd};
	keep_rest(c, sends[index].p + sent, sends[index].n - sent);
}

// reap takes all completions. Those of sends are dealt with at once, before their bytes are overwritten.
static void reap(void) {
	unsigned head = *cq_head, end = __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE);
	if (ntodo + (end - head) > TODO) die("too many completions");
	for (; head != end; head++) {
		struct io_uring_cqe *c = &cqes[head & *cq_mask];
		if ((c->user_data >> 32 & 0xff) == SEND) keep_unsent((int)c->user_data, c->user_data >> 40, c->res);
		else todo[ntodo++] = (struct completion){c->user_data, c->res, c->flags};
	}
	__atomic_store_n(cq_head, head, __ATOMIC_RELEASE);
}

static void flush_sends(void) {
	enter(0);
	reap();
}

// entry returns a cleared entry of the submission queue.
static struct io_uring_sqe *entry(int op, int what, int fd) {
	if (tail - submitted == ENTRIES) flush_sends();
	struct io_uring_sqe *e = &sqes[tail++ & (ENTRIES - 1)];
	memset(e, 0, sizeof *e);
	e->opcode = op;
	e->fd = fd;
	e->user_data = (uint64_t)what << 32 | (uint32_t)fd;
	return e;
}

static void accept_all(void) {
	struct io_uring_sqe *e = entry(IORING_OP_ACCEPT, ACCEPT, listener);
	e->ioprio = IORING_ACCEPT_MULTISHOT;
	e->accept_flags = SOCK_NONBLOCK;
}

static void receive(int fd) {
	struct io_uring_sqe *e = entry(IORING_OP_RECV, RECEIVE, fd);
	e->ioprio = IORING_RECV_MULTISHOT;
	e->flags = IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE;
	e->buf_group = GROUP;
}

// enlist makes a descriptor known to the ring under its own number, or forgets it: the ring then need not look it up.
static void enlist(int fd, int as) {
	struct io_uring_files_update u = {.offset = fd, .fds = (uintptr_t)&as};
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES_UPDATE, &u, 1) < 0) die("io_uring_register: file");
}

static void drop(int fd) {
	forget(fd);
	enlist(fd, -1);
	close(fd);
}

// room begins the arena anew when the sends that refer to it have gone.
static char *room(void) {
	if (used + BUFFER > ARENA) {
		flush_sends();
		used = 0;
	}
	return arena + used;
}

// put has one send of a connection in a batch at most, so that two cannot overtake each other.
static void put(int fd, const char *p, size_t n) {
	struct conn *c = &conns[fd];
	if (batch_of[fd] == batch) flush_sends();
	if (c->out_len > 0) {
		keep_rest(c, p, n);
		return;
	}
	struct io_uring_sqe *e = entry(IORING_OP_SEND, SEND, fd);
	unsigned index = e - sqes;
	sends[index].p = p;
	sends[index].n = n;
	batch_of[fd] = batch;
	e->user_data |= (uint64_t)index << 40;
	e->addr = (uintptr_t)p;
	e->len = n;
	e->msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL;
	e->flags = IOSQE_CQE_SKIP_SUCCESS | IOSQE_FIXED_FILE;
	if (p >= arena && p < arena + ARENA && p + n > arena + used) used = p + n - arena;
}

// on_writable sends what was kept, and waits again if the socket does not take all.
static void on_writable(int fd) {
	struct conn *c = &conns[fd];
	if (c->out_len == 0) return;
	ssize_t sent = send(fd, c->out, c->out_len, MSG_NOSIGNAL);
	if (sent > 0) {
		c->out_len -= sent;
		memmove(c->out, c->out + sent, c->out_len);
	}
	if (c->out_len > 0) entry(IORING_OP_POLL_ADD, WRITABLE, fd)->poll32_events = POLLOUT;
}

static void on_accept(int fd) {
	int one = 1;
	if (fd < 0) return;
	if (fd >= MAXFD) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	enlist(fd, fd);
	receive(fd);
}

// give returns a buffer to the kernel.
static void give(int id) {
	struct io_uring_buf *b = &buffers->bufs[buffers_tail++ & (BUFFERS - 1)];
	b->addr = (uintptr_t)received[id];
	b->len = HTTP_READ;
	b->bid = id;
	__atomic_store_n(&buffers->tail, buffers_tail, __ATOMIC_RELEASE);
}

// on_receive has n bytes in a buffer. A rest that was kept goes before them.
static void on_receive(int fd, int n, unsigned flags) {
	struct conn *c = &conns[fd];
	if (n > 0) {
		int id = flags >> IORING_CQE_BUFFER_SHIFT;
		size_t have = c->in_len;
		const char *p = received[id];
		if (have > 0) {
			memcpy(in, c->in, have);
			memcpy(in + have, p, n);
			p = in;
		}
		if (http) on_http(fd, p, n);
		else if (!c->open) on_handshake(fd, p, n);
		else on_frames(fd, p, have + n);
		give(id);
	}
	if (n <= 0 && n != -ENOBUFS) drop(fd);
	else if (!(flags & IORING_CQE_F_MORE)) receive(fd);
}

static void set_up(void) {
	struct io_uring_params p = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
		.cq_entries = COMPLETIONS,
	};
	ring = syscall(SYS_io_uring_setup, ENTRIES, &p);
	if (ring < 0) die("io_uring_setup");
	size_t sq = p.sq_off.array + p.sq_entries * sizeof(unsigned), cq = p.cq_off.cqes + p.cq_entries * sizeof *cqes;
	char *m = mmap(NULL, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, ENTRIES * sizeof *sqes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	if (m == MAP_FAILED || sqes == MAP_FAILED) die("mmap");
	sq_tail = (unsigned *)(m + p.sq_off.tail);
	cq_head = (unsigned *)(m + p.cq_off.head);
	cq_tail = (unsigned *)(m + p.cq_off.tail);
	cq_mask = (unsigned *)(m + p.cq_off.ring_mask);
	cqes = (struct io_uring_cqe *)(m + p.cq_off.cqes);
	for (unsigned i = 0; i < ENTRIES; i++) ((unsigned *)(m + p.sq_off.array))[i] = i;

	buffers = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffers == MAP_FAILED) die("mmap");
	struct io_uring_buf_reg b = {.ring_addr = (uintptr_t)buffers, .ring_entries = BUFFERS, .bgid = GROUP};
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_PBUF_RING, &b, 1) < 0) die("io_uring_register: buffers");
	for (int i = 0; i < BUFFERS; i++) give(i);

	struct rlimit limit; // of descriptors, and so of files that may be registered
	getrlimit(RLIMIT_NOFILE, &limit);
	struct io_uring_rsrc_register f = {.nr = limit.rlim_cur < MAXFD ? limit.rlim_cur : MAXFD, .flags = IORING_RSRC_REGISTER_SPARSE};
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES2, &f, sizeof f) < 0) die("io_uring_register: files");
}

static void serve(void) {
	accept_all();
	for (;;) {
		enter(1);
		used = 0;
		reap();
		for (int i = 0; i < ntodo; i++) {
			int fd = (int)todo[i].user_data;
			switch (todo[i].user_data >> 32) {
			case ACCEPT:
				on_accept(todo[i].res);
				if (!(todo[i].flags & IORING_CQE_F_MORE)) accept_all();
				break;
			case RECEIVE:
				on_receive(fd, todo[i].res, todo[i].flags);
				break;
			case WRITABLE:
				on_writable(fd);
			}
		}
		ntodo = 0;
	}
}

int main(int argc, char **argv) {
	int port = argc > 2 ? atoi(argv[2]) : 0;
	if (port <= 0) {
		fprintf(stderr, "usage: floor-uring http|ws PORT\n");
		return 2;
	}
	http = strcmp(argv[1], "http") == 0;
	set_up();
	listener = listen_on(port);
	serve();
}
