/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shm_window.c - memory that peers read, and reading of theirs (ADRs 38 and 66)
 *
 * Who lets itself be read has that memory as a memfd that nobody else can write
 * to, and sends its descriptor through the connection's socket, then WINDOW
 * through the ring. Who reads maps it for reading, once its seals, its size and
 * its pages are what WINDOW says, and takes a copy of what it wants: between
 * two turns, as over verbs, so that read_done() is never called by read().
 *
 * What is mapped can be changed at any time: it is a hint, and judged as a
 * copy. Pages that are read where a hole is would come out of our own account.
 * Who has sealed a memory against future writes, as we do, cannot make holes in
 * it any more, so one without that seal, or with a hole before it, is not read.
 * What is mapped of all peers' memories at a time is bounded.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "base/log.h"
#include "rdma/shm.h"

#define LINE_BYTES 64u /* of a cache */

int hs_shm_windows(struct hs_transport *t, const struct hs_transport_windows *w)
{
	if (w->data && (!w->memory || w->memory->base != w->data ||
			w->memory->size_bytes < w->size_bytes))
		return -EOPNOTSUPP;
	return hs_hub_windows(t, w);
}

static void refused(struct hs_shm_conn *c, const char *why)
{
	c->link.hub->stats.windows_refused++;
	hs_log_limited(HS_LOG_INFO, "shm", "no memory to read: %s peer=%u", why,
		       c->link.id);
}

void hs_shm_window_open(struct hs_link *l)
{
	struct hs_shm_conn *c = (struct hs_shm_conn *)l;
	const struct hs_transport_windows *w = &l->hub->windows;
	const struct hs_wire_window told = {.size_bytes = w->size_bytes,
					    .about_bytes = w->about_bytes};
	struct iovec iov[2] = {{(void *)(uintptr_t)&told, sizeof(told)},
			       {(void *)(uintptr_t)w->about, w->about_bytes}};
	const uint8_t word = HS_RING_MEMORY;
	int rc;

	if (!w->data || !l->peer_reads || l->peer.role != w->reader)
		return;
	l->hub->stats.system_calls++;
	rc = hs_fdpass_send(c->fd, &word, 1, &w->memory->fd, 1);
	if (!rc)
		rc = hs_link_queue(l, HS_WIRE_WINDOW, iov, 2, true);
	if (rc) {
		refused(c, strerror(-rc));
		return;
	}
	c->shows = true;
	l->hub->stats.nr_windows++;
}

/* What is wrong with the memory that it handed over; NULL: nothing. */
static const char *map(struct hs_shm_conn *c, uint64_t size_bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct stat st;
	int rc;

	if (size_bytes > HS_SHM_SHOWN_MAX_BYTES)
		return "WINDOW on more than anybody shows";
	rc = hs_memfd_attach(&c->shown, c->handed,
			     (size_bytes + page - 1) / page * page,
			     HS_MEMFD_READ_ONLY);
	if (rc == -EPERM)
		return "WINDOW on a memory that is not sealed";
	if (rc)
		return "WINDOW on a memory that cannot be mapped";
	c->handed = -1;
	if (c->shown.size_bytes < size_bytes || c->shown.is_huge)
		return "WINDOW on a memory of another size";
	if (fstat(c->shown.fd, &st) ||
	    (uint64_t)st.st_blocks * 512 < c->shown.size_bytes)
		return "WINDOW on a memory with holes";
	return NULL;
}

/* No page of it is missing, and none can be taken out (shmem_fallocate()): the
 * seal is looked at first. Kernels before 5.14 may call a page a hole that its
 * owner has and never wrote to; then all is learned from answers. */
static bool stays_whole(const struct hs_shm_conn *c)
{
	int seals = fcntl(c->shown.fd, F_GET_SEALS);

	return seals >= 0 && seals & F_SEAL_FUTURE_WRITE &&
	       lseek(c->shown.fd, 0, SEEK_HOLE) == (off_t)c->shown.size_bytes;
}

const char *hs_shm_window_told(struct hs_link *l,
			       const struct hs_wire_window *window,
			       const void *about)
{
	struct hs_shm_conn *c = (struct hs_shm_conn *)l;
	struct hs_shm *t = (struct hs_shm *)l->hub;
	struct hs_hub *h = l->hub;
	const char *wrong;

	if (c->shown_bytes)
		return "WINDOW twice";
	if (c->handed < 0)
		hs_shm_conn_hear(c); /* it was sent before */
	if (l->state == HS_LINK_DOOMED)
		return NULL;
	if (c->handed < 0)
		return "WINDOW without a memory";
	if (window->size_bytes <= HS_SHM_SHOWN_MAX_BYTES &&
	    window->size_bytes > HS_SHM_SHOWN_MAX_BYTES - t->shown_bytes) {
		refused(c, "all peers together show more than is mapped");
		close(c->handed);
		c->handed = -1;
		return NULL;
	}
	wrong = map(c, window->size_bytes);
	if (wrong) {
		hs_memfd_close(&c->shown);
		return wrong;
	}
	if (!stays_whole(c)) {
		refused(c, "it may have holes");
		hs_memfd_close(&c->shown);
		return NULL;
	}
	close(c->shown.fd);
	c->shown.fd = -1;
	c->shown_bytes = window->size_bytes;
	t->shown_bytes += window->size_bytes;
	h->stats.nr_windows++;
	return h->windows.readable(h->ctx, l->id, about, window->about_bytes,
				   window->size_bytes)
		       ? "WINDOW on what is nothing of ours"
		       : NULL;
}

void hs_shm_window_close(struct hs_shm_conn *c)
{
	struct hs_shm *t = (struct hs_shm *)c->link.hub;

	t->sockets.hub.stats.nr_windows -= c->shows + (c->shown_bytes != 0);
	for (struct hs_shm_conn **at = &t->readers; *at;)
		if (*at == c)
			*at = c->reads_next;
		else
			at = &(*at)->reads_next;
	t->shown_bytes -= c->shown_bytes;
	c->shown_bytes = 0;
	hs_memfd_close(&c->shown);
	if (c->handed >= 0)
		close(c->handed);
	c->handed = -1;
}

int hs_shm_read(struct hs_link *l, uint64_t offset_bytes, uint32_t size_bytes,
		uint64_t cookie)
{
	struct hs_shm_conn *c = (struct hs_shm_conn *)l;
	struct hs_shm *t = (struct hs_shm *)l->hub;

	if (!c->shown_bytes)
		return -EOPNOTSUPP;
	if (!size_bytes || size_bytes > HS_TRANSPORT_READ_MAX_BYTES ||
	    offset_bytes > c->shown_bytes ||
	    size_bytes > c->shown_bytes - offset_bytes)
		return -EINVAL;
	if (c->nr_reads == HS_SHM_READS)
		return -EAGAIN;
	/* The lines are on their way when its turn comes. */
	for (uint32_t at = 0; at < size_bytes; at += LINE_BYTES)
		__builtin_prefetch((const uint8_t *)c->shown.base +
				   offset_bytes + at);
	c->reads[c->nr_reads++] =
		(struct hs_shm_read){offset_bytes, cookie, size_bytes};
	if (!c->reads_listed) {
		c->reads_listed = true;
		c->reads_next = t->readers;
		t->readers = c;
	}
	hs_hub_dirty(l);
	return 0;
}

static void reads_of(struct hs_shm_conn *c)
{
	struct hs_hub *h = c->link.hub;
	struct hs_shm_read reads[HS_SHM_READS];
	uint8_t copy[HS_TRANSPORT_READ_MAX_BYTES]
		__attribute__((aligned(sizeof(uint64_t))));
	uint32_t nr = c->nr_reads;

	memcpy(reads, c->reads, nr * sizeof(reads[0]));
	c->nr_reads = 0; /* what is asked for meanwhile is of the next round */
	for (uint32_t i = 0; i < nr && c->link.state == HS_LINK_UP; i++) {
		const struct hs_shm_read *r = &reads[i];

		/* Once: nobody looks at what may change. */
		memcpy(copy, (const uint8_t *)c->shown.base + r->offset_bytes,
		       r->size_bytes);
		h->stats.reads++;
		h->windows.read_done(h->ctx, c->link.id, r->cookie, copy,
				     r->size_bytes);
	}
}

/*
 * A chain of nodes is read from end to end before anybody is rung: who wakes up
 * in the middle takes the processor, and its next one waits.
 */
void hs_shm_reads_do(struct hs_hub *h)
{
	struct hs_shm *t = (struct hs_shm *)h;

	for (uint32_t n = 0; n < HS_SHM_READ_ROUNDS && t->readers; n++) {
		struct hs_shm_conn *list = t->readers;

		t->readers = NULL;
		while (list) {
			struct hs_shm_conn *c = list;

			list = c->reads_next;
			c->reads_listed = false;
			reads_of(c);
		}
	}
}
