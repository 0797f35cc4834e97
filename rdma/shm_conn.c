/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shm_conn.c - the bytes of one connection through shared memory
 *
 * The socket says who is there, hands the memories over, rings where there is
 * no other bell (shm_bell.c), and ends with the other process, however that
 * ends. One byte is sent for a sleep of the other side, so who has that many
 * unread does not read: rings are read when many came, and not each time, since
 * the socket is watched for edges.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdpass.h"
#include "rdma/shm.h"

/* One peer that sends without end must not keep the others waiting. */
#define TURN_BYTES  (4 * (size_t)HS_RING_BYTES)
#define RINGS_HELD  32u	  /* unread; a socket takes a few hundred */
#define RINGS_A_SEC 1000u /* for nothing */

/* Tell the other side our memory; it keeps it while it has it mapped. */
static int say_hello(struct hs_shm_conn *c)
{
	const struct hs_ring_hello hello = {
		.magic = HS_RING_MAGIC,
		.version = HS_RING_VERSION,
		.ring_bytes = HS_RING_BYTES,
		.words_bytes = HS_RING_WORDS_BYTES,
	};
	int rc = hs_memfd_create(&c->ours, "hs-ring", HS_RING_MEMORY_BYTES, 0);

	if (!rc)
		rc = hs_fdpass_send(c->fd, &hello, sizeof(hello), &c->ours.fd,
				    1);
	if (c->ours.fd >= 0)
		close(c->ours.fd);
	c->ours.fd = -1;
	return rc;
}

struct hs_shm_conn *hs_shm_conn_create(struct hs_shm *t, int fd,
				       struct hs_dial *dial)
{
	struct hs_shm_conn *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return NULL;
	c->fd = fd;
	c->ours.fd = c->theirs.fd = c->shown.fd = -1;
	c->handed = c->bell_in = c->bell_out = -1;
	c->kin = hs_shm_bell_kin(fd);
	t->sockets.hub.stats.system_calls += 3;
	rc = hs_link_init(&c->link, &t->sockets.hub, dial);
	if (!rc) {
		rc = say_hello(c);
		if (rc) {
			hs_link_fini(&c->link);
			if (dial)
				dial->link = NULL;
		}
	}
	if (!rc)
		return c;
	hs_memfd_close(&c->ours);
	free(c);
	errno = -rc;
	return NULL;
}

static void forget_late(struct hs_shm_conn *c)
{
	struct hs_shm_conn **at = &((struct hs_shm *)c->link.hub)->late;

	while (*at && *at != c)
		at = &(*at)->late_next;
	if (*at)
		*at = c->late_next;
}

void hs_shm_conn_release(struct hs_link *l)
{
	struct hs_shm_conn *c = (struct hs_shm_conn *)l;

	forget_late(c);
	hs_shm_window_close(c);
	hs_shm_bell_close(c);
	hs_link_fini(l);
	hs_memfd_close(&c->ours);
	hs_memfd_close(&c->theirs);
	close(c->fd); /* epoll forgets it with the last descriptor */
	free(c);
}

static void cut(struct hs_shm_conn *c, const char *reason)
{
	hs_link_cut(&c->link, HS_TRANSPORT_CUT_GARBAGE, reason);
}

/* No fault of its own, and it may come again. */
static void no_descriptor(struct hs_shm_conn *c)
{
	hs_link_cut(&c->link, HS_TRANSPORT_CUT_FULL,
		    "no descriptor is left here for its memory");
}

static const char *hello_wrong(const struct hs_ring_hello *h, ssize_t n,
			       size_t nr_fds)
{
	if (n != (ssize_t)sizeof(*h) || h->magic != HS_RING_MAGIC)
		return "it says nothing of a shared memory";
	if (h->version != HS_RING_VERSION || h->reserved ||
	    h->ring_bytes != HS_RING_BYTES ||
	    h->words_bytes != HS_RING_WORDS_BYTES)
		return "its rings are of another version";
	return nr_fds == 1 ? NULL : "it hands over no memory";
}

static const char *attach(struct hs_shm_conn *c, int fd)
{
	int rc = hs_memfd_attach(&c->theirs, fd, HS_RING_MEMORY_BYTES,
				 HS_MEMFD_READ_ONLY | HS_MEMFD_POPULATE);

	if (rc) {
		close(fd);
		return rc == -EPERM ? "its memory is not sealed"
				    : "its memory cannot be mapped";
	}
	close(c->theirs.fd);
	c->theirs.fd = -1;
	if (c->theirs.size_bytes == HS_RING_MEMORY_BYTES && !c->theirs.is_huge)
		return NULL;
	hs_memfd_close(&c->theirs);
	return "its memory is of another size";
}

static void hear_hello(struct hs_shm_conn *c)
{
	struct hs_ring_hello hello;
	const char *wrong;
	size_t nr_fds;
	ssize_t n;
	int fd;

	c->link.hub->stats.system_calls++;
	n = hs_fdpass_recv(c->fd, &hello, sizeof(hello), &fd, 1, &nr_fds);
	if (n == -EAGAIN)
		return;
	if (n == 0 || n == -ECONNRESET) {
		hs_link_doom(&c->link);
		return;
	}
	if (n == -EMFILE) {
		no_descriptor(c);
		return;
	}
	wrong = hello_wrong(&hello, n, nr_fds);
	if (wrong && nr_fds)
		close(fd);
	if (!wrong)
		wrong = attach(c, fd);
	if (wrong) {
		cut(c, wrong);
		return;
	}
	hs_shm_ring_make(&c->ring, c->ours.base, c->theirs.base);
	hs_link_connected(&c->link);
}

void hs_shm_conn_flush(struct hs_link *l)
{
	struct hs_shm_conn *c = (struct hs_shm_conn *)l;
	struct iovec iov[2];
	size_t put;

	if (l->state == HS_LINK_DOOMED || l->state == HS_LINK_CONNECTING)
		return;
	/* More rounds of them than belong into one turn. */
	if (c->nr_reads)
		hs_hub_dirty(l);
	put = hs_shm_ring_put(&c->ring, iov, hs_link_peek(l, iov, SIZE_MAX));
	if (put) {
		hs_link_took(l, put);
		if (hs_shm_ring_publish(&c->ring))
			hs_shm_bell_ring(c);
	}
	if (c->ring.wrong)
		cut(c, c->ring.wrong);
	hs_link_flushed(l);
}

/* Words, and perhaps one memory; what is wrong with them, or NULL. */
static const char *take_words(struct hs_shm_conn *c, const uint8_t *words,
			      ssize_t nr, size_t nr_fds, int fd)
{
	size_t nr_memories = 0, nr_bells = 0;
	const char *wrong = NULL;

	for (ssize_t i = 0; i < nr; i++) {
		nr_memories += words[i] == HS_RING_MEMORY;
		nr_bells += words[i] == HS_RING_EVENTFD;
		if (words[i] < HS_RING_BELL || words[i] > HS_RING_EVENTFD)
			wrong = "it says what is no ring";
	}
	if (!wrong && nr_memories + nr_bells != nr_fds)
		wrong = "it says a memory, and hands over none, or otherwise";
	if (!wrong && nr_bells)
		return hs_shm_bell_take(c, fd);
	if (!wrong && nr_fds &&
	    (!c->link.hub->windows.readable || c->handed >= 0 ||
	     c->shown_bytes))
		wrong = "it hands over a memory that nobody asked for";
	if (!wrong && nr_fds)
		c->handed = fd;
	else if (nr_fds)
		close(fd);
	return wrong;
}

void hs_shm_conn_hear(struct hs_shm_conn *c)
{
	uint8_t words[4 * RINGS_HELD];
	const char *wrong = NULL;
	size_t heard = 0, nr_fds;
	ssize_t n;

	c->heard = hs_shm_ring_reasons(&c->ring);
	do {
		int fd = -1;

		/* It ends at a memory, and there may be more behind that. */
		c->link.hub->stats.system_calls++;
		n = hs_fdpass_recv(c->fd, words, sizeof(words), &fd, 1,
				   &nr_fds);
		if (n > 0) {
			heard += (size_t)n;
			wrong = take_words(c, words, n, nr_fds, fd);
		} else if (n == -EPROTO) {
			wrong = "it hands over more than one memory at once";
		}
	} while (nr_fds && !wrong && heard < sizeof(words));
	if (wrong)
		cut(c, wrong);
	else if (n == -EMFILE)
		no_descriptor(c);
	else if (heard >= sizeof(words))
		hs_link_cut(&c->link, HS_TRANSPORT_CUT_FLOOD,
			    "it rings without end");
}

/* All of them, when so many may have come that the socket could fill. */
static void hear_rings(struct hs_shm_conn *c, bool ended)
{
	uint32_t reasons = hs_shm_ring_reasons(&c->ring);

	if (ended || reasons - c->heard >= RINGS_HELD)
		hs_shm_conn_hear(c);
}

static void be_late(struct hs_shm_conn *c)
{
	struct hs_shm *t = (struct hs_shm *)c->link.hub;

	if (c->late)
		return;
	c->late = true;
	c->late_next = t->late;
	t->late = c;
}

void hs_shm_conn_read(struct hs_shm_conn *c)
{
	struct hs_link *l = &c->link;
	size_t left = TURN_BYTES;

	while (l->state != HS_LINK_DOOMED && l->state != HS_LINK_CONNECTING) {
		uint8_t *to;
		size_t room = hs_link_room(l, &to);
		size_t n = hs_shm_ring_get(&c->ring, to,
					   room < left ? room : left);

		if (n) {
			if (hs_shm_ring_taken(&c->ring))
				hs_shm_bell_ring(c);
			hs_link_came(l, n);
			left -= n;
		} else if (hs_shm_ring_sleep(&c->ring)) {
			break;
		}
		if (!left) {
			be_late(c);
			break;
		}
	}
	if (c->ring.wrong)
		cut(c, c->ring.wrong);
}

/* What rings without a reason costs us as much as it costs the other side. That
 * we had read already what it rang for is no fault: bytes went by since. */
static void count_idle(struct hs_shm_conn *c)
{
	uint64_t now = c->link.hub->now_ns;
	uint64_t progress = c->ring.tail + c->ring.tail_seen;

	if (now - c->idle_ns >= HS_NS_PER_SEC || c->progress != progress) {
		c->idle_ns = now;
		c->progress = progress;
		c->nr_idle = 0;
	}
	if (++c->nr_idle > RINGS_A_SEC)
		hs_link_cut(&c->link, HS_TRANSPORT_CUT_FLOOD,
			    "it rings without end");
}

void hs_shm_conn_event(struct hs_link *l, uint32_t events)
{
	struct hs_shm_conn *c = (struct hs_shm_conn *)l;
	bool ended = events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR);
	uint64_t tail;

	if (l->state == HS_LINK_CONNECTING) {
		hear_hello(c);
		if (l->state == HS_LINK_CONNECTING)
			return;
	}
	if (l->state == HS_LINK_DOOMED)
		return;
	/* Before we sleep: one that came after would be read here unheard. */
	hear_rings(c, ended);
	tail = c->ring.tail;
	hs_shm_conn_read(c);
	if (hs_shm_bell_awaited(c)) {
		hs_shm_conn_hear(c);
		hs_shm_conn_read(c);
	}
	if (l->out.used_bytes)
		hs_shm_conn_flush(l);
	if (tail == c->ring.tail)
		count_idle(c);
	/* What came before a hang-up was read: a turn is worth more than there
	 * is room for in the ring. */
	if (ended && l->state != HS_LINK_DOOMED)
		hs_link_doom(l);
}
