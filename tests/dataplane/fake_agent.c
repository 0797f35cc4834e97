/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see fake_agent.h. */
#include "fake_agent.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MUST(cond)                                                             \
	do {                                                                   \
		if (!(cond)) {                                                 \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, \
				#cond, strerror(errno));                       \
			abort();                                               \
		}                                                              \
	} while (0)

struct fake_config fake_config_default(void)
{
	return (struct fake_config){
		.class_bytes = {1024, 4096},
		.nr_rings = 2,
		.ring_words = 256,
		.nr_lanes = 4,
		.lane_entries = 256,
		.nr_slots = 64,
		.nr_operations = 16,
		.nr_stripes = 3,
		.pool_bytes = 4u << 20,
		.node_id = 0x0000000a00000001ull,
	};
}

static uint64_t up_to_line(uint64_t v)
{
	return (v + 63) & ~63ull;
}

static void layout_make(struct fake_agent *a)
{
	const struct fake_config *c = &a->config;
	struct hs_shm_down *d = &a->layout;
	uint32_t nr_classes = 0;

	memset(d, 0, sizeof(*d));
	d->magic = HS_SHM_DOWN_MAGIC;
	d->version = c->version ? c->version : HS_SHM_VERSION;
	d->header_bytes = sizeof(*d);
	d->node_id = c->node_id;
	d->process = a->process;
	d->pool_bytes = c->pool_bytes;
	memcpy(d->class_bytes, c->class_bytes, sizeof(d->class_bytes));
	d->nr_rings = c->nr_rings;
	d->ring_words = c->ring_words;
	d->nr_lanes = c->nr_lanes;
	d->lane_entries = c->lane_entries;
	d->nr_slots = c->nr_slots;
	while (nr_classes < HS_SHM_NR_CLASSES && c->class_bytes[nr_classes])
		nr_classes++;
	if (d->version == 1)
		nr_classes = 1;
	else
		d->nr_classes = nr_classes;
	if (d->version != 1)
		d->nr_nodes = c->nr_nodes ? c->nr_nodes : 1;
	d->ring_stride = hs_shm_ring_offset(c->ring_words, nr_classes);
	d->lane_stride = up_to_line(sizeof(struct hs_shm_lane) +
				    c->lane_entries * 32ull);
	d->down_rings = HS_SHM_DOWN_STATUS + sizeof(struct hs_shm_status);
	d->down_tails = d->down_rings + c->nr_rings * d->ring_stride;
	d->down_rules = d->down_tails + c->nr_lanes * 64ull;
	d->down_bytes = d->down_rules + sizeof(struct hs_shm_rules);
	d->up_rings = up_to_line(sizeof(struct hs_shm_up));
	d->up_slots = d->up_rings + c->nr_rings * nr_classes * 64ull;
	d->up_lanes = d->up_slots + c->nr_slots * 64ull;
	d->up_bytes = d->up_lanes + c->nr_lanes * d->lane_stride;
	if (c->nr_operations) {
		d->nr_operations = c->nr_operations;
		d->nr_stripes = c->nr_stripes;
		d->up_watch = d->up_bytes;
		d->up_bytes +=
			hs_shm_watch_bytes(c->nr_operations, c->nr_stripes);
	}
}

static uint8_t *memory_make(const struct fake_agent *a, const char *name,
			    uint64_t bytes, int *fd)
{
	void *p;

	*fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	MUST(*fd >= 0);
	MUST(ftruncate(*fd, (off_t)bytes) == 0);
	if (!a->config.unsealed)
		MUST(fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	MUST(p != MAP_FAILED);
	return p;
}

static void memory_new(struct fake_agent *a)
{
	static uint32_t processes;

	a->process = ++processes;
	a->token = 0x7000 + a->process;
	a->pool_used = 0;
	layout_make(a);
	a->up_bytes = a->layout.up_bytes;
	if (a->config.small_up)
		a->up_bytes -= 4096;
	a->down = memory_make(a, "down", a->layout.down_bytes, &a->fds[0]);
	a->up = memory_make(a, "up", a->up_bytes, &a->fds[1]);
	a->pool = memory_make(a, "pool", a->layout.pool_bytes, &a->fds[2]);
	a->nr_fds = 3;
	for (; a->nr_fds < 2 + a->layout.nr_nodes; a->nr_fds++) {
		MUST(a->nr_fds < 2 + FAKE_NODES_MAX);
		a->fds[a->nr_fds] = dup(a->fds[2]);
		MUST(a->fds[a->nr_fds] >= 0);
	}
	memcpy(a->down, &a->layout, sizeof(a->layout));
}

static void memory_drop(struct fake_agent *a)
{
	munmap(a->down, a->layout.down_bytes);
	munmap(a->up, a->up_bytes);
	munmap(a->pool, a->layout.pool_bytes);
	for (uint32_t i = 0; i < a->nr_fds; i++)
		close(a->fds[i]);
}

void fake_agent_start(struct fake_agent *a, const struct fake_config *config)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(a, 0, sizeof(*a));
	a->config = config ? *config : fake_config_default();
	a->conn = -1;
	snprintf(a->dir, sizeof(a->dir), "/tmp/hs-fake-XXXXXX");
	MUST(mkdtemp(a->dir));
	snprintf(a->path, sizeof(a->path), "%s/s", a->dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", a->path);
	a->listener = socket(AF_UNIX,
			     SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	MUST(a->listener >= 0);
	MUST(bind(a->listener, (struct sockaddr *)&address, sizeof(address)) ==
	     0);
	MUST(listen(a->listener, 16) == 0);
	a->entries = calloc(FAKE_ENTRIES_MAX, sizeof(*a->entries));
	a->entry_lane = calloc(FAKE_ENTRIES_MAX, sizeof(*a->entry_lane));
	MUST(a->entries && a->entry_lane);
	memory_new(a);
}

void fake_agent_hang_up(struct fake_agent *a)
{
	if (a->conn >= 0)
		close(a->conn);
	a->conn = -1;
}

void fake_agent_renew(struct fake_agent *a)
{
	fake_agent_hang_up(a);
	memory_drop(a);
	memory_new(a);
}

void fake_agent_stop(struct fake_agent *a)
{
	fake_agent_hang_up(a);
	close(a->listener);
	unlink(a->path);
	rmdir(a->dir);
	memory_drop(a);
	free(a->entries);
	free(a->entry_lane);
}

static void answer(struct fake_agent *a, const struct hs_shm_hello *hello)
{
	struct hs_shm_welcome w = {
		.magic = HS_SHM_HELLO_MAGIC,
		.version = (uint16_t)a->layout.version,
		.verdict = a->config.verdict,
		.process = a->process,
		.resume_token = a->token,
		.node_id = a->config.node_id,
		.down_bytes = a->layout.down_bytes,
		.up_bytes = a->layout.up_bytes,
		.pool_bytes = a->layout.pool_bytes,
	};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(a->fds))];
	} control = {0};
	struct iovec iov = {&w, sizeof(w)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cmsg;

	if (hello->resume_process) {
		bool known = a->config.knows_resume &&
			     hello->resume_process == a->process &&
			     hello->resume_token == a->token;

		w.verdict =
			known ? HS_SHM_VERDICT_RESUMED : HS_SHM_VERDICT_UNKNOWN;
	}
	if (w.verdict == HS_SHM_VERDICT_NEW) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(a->nr_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(a->nr_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), a->fds, a->nr_fds * sizeof(int));
	}
	(void)sendmsg(a->conn, &msg, MSG_NOSIGNAL);
}

void fake_agent_serve(struct fake_agent *a)
{
	int fd = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		fake_agent_hang_up(a);
		a->conn = fd;
	}
	if (a->conn < 0)
		return;
	if (recv(a->conn, &a->hello, sizeof(a->hello), 0) ==
	    (ssize_t)sizeof(a->hello)) {
		a->nr_hellos++;
		answer(a, &a->hello);
	}
}

/* The ring of a class within a stock; version 1 has one for all. */
static uint32_t ring_class(const struct fake_agent *a, uint64_t word)
{
	uint32_t size_class = hs_shm_stock_class(word);

	return size_class < a->layout.nr_classes ? size_class : 0;
}

static struct hs_shm_stock_ring *ring_at(const struct fake_agent *a,
					 uint32_t ring, uint32_t size_class)
{
	return (void *)(a->down + a->layout.down_rings +
			ring * a->layout.ring_stride +
			hs_shm_ring_offset(a->layout.ring_words, size_class));
}

void fake_agent_recall(struct fake_agent *a, uint32_t ring, uint32_t size_class,
		       uint64_t recall)
{
	__atomic_store_n(&ring_at(a, ring, size_class)->recall, recall,
			 __ATOMIC_SEQ_CST);
}

void fake_agent_stock_word(struct fake_agent *a, uint32_t ring, uint64_t word)
{
	uint32_t size_class = ring_class(a, word);
	struct hs_shm_stock_ring *r = ring_at(a, ring, size_class);
	uint64_t *words = (uint64_t *)(r + 1);
	uint64_t head = r->head;
	uint32_t mask = hs_shm_ring_words(a->layout.ring_words, size_class) - 1;

	words[head & mask] = word;
	__atomic_store_n(&r->head, head + 1, __ATOMIC_RELEASE);
}

void fake_agent_stock(struct fake_agent *a, uint32_t ring, uint32_t size_class,
		      uint32_t nr)
{
	uint32_t size = a->layout.class_bytes[size_class];

	MUST(size);
	while (nr--) {
		MUST(a->pool_used + size <= a->layout.pool_bytes);
		memset(a->pool + a->pool_used, 0xdb, size);
		fake_agent_stock_word(
			a, ring,
			hs_shm_stock_word((uint32_t)(a->pool_used /
						     HS_SHM_REF_UNIT_BYTES),
					  size_class, 0, ++a->generation));
		a->pool_used += size;
	}
}

void fake_agent_stock_all(struct fake_agent *a, uint32_t size_class,
			  uint32_t nr)
{
	for (uint32_t i = 0; i < a->layout.nr_rings; i++)
		fake_agent_stock(a, i, size_class, nr);
}

void fake_agent_calibrate(struct fake_agent *a, uint64_t number,
			  uint64_t tsc_base, uint64_t ns_base)
{
	struct hs_shm_status *status = (void *)(a->down + HS_SHM_DOWN_STATUS);

	__atomic_store_n(&status->calibration, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&status->tsc_base, tsc_base, __ATOMIC_SEQ_CST);
	__atomic_store_n(&status->ns_base, ns_base, __ATOMIC_SEQ_CST);
	__atomic_store_n(&status->ticks_to_ns_mult, 1ull << 32,
			 __ATOMIC_SEQ_CST);
	__atomic_store_n(&status->calibration, number, __ATOMIC_SEQ_CST);
}

struct hs_shm_rules *fake_agent_rules(struct fake_agent *a)
{
	return (void *)(a->down + a->layout.down_rules);
}

const struct hs_shm_watch *fake_agent_watch(const struct fake_agent *a)
{
	return (const void *)(a->up + a->layout.up_watch);
}

const struct hs_shm_operation *fake_agent_operation(const struct fake_agent *a,
						    const char *service,
						    const char *name)
{
	const struct hs_shm_operation *o =
		(const void *)(fake_agent_watch(a) + 1);

	for (uint32_t i = 0; i < a->layout.nr_operations; i++) {
		if (o[i].ready && !strcmp(o[i].service, service) &&
		    !strcmp(o[i].name, name))
			return &o[i];
	}
	return NULL;
}

uint64_t fake_agent_tally(const struct fake_agent *a, uint32_t number,
			  struct hs_shm_tally *out)
{
	const struct hs_shm_operation *o =
		(const void *)(fake_agent_watch(a) + 1);
	const struct hs_shm_tally *t =
		(const void *)(o + a->layout.nr_operations);
	uint64_t nr = 0;

	memset(out, 0, sizeof(*out));
	for (uint32_t s = 0; s < a->layout.nr_stripes; s++) {
		const struct hs_shm_tally *one =
			&t[s * a->layout.nr_operations + number];

		/* As an agent does: what is not said to be in use is not read.
		 */
		if (!(fake_agent_watch(a)->stripes >> s & 1))
			continue;
		out->errors += one->errors;
		for (uint32_t i = 0; i < HS_SHM_TALLY_BUCKETS; i++) {
			out->buckets[i] += one->buckets[i];
			nr += one->buckets[i];
		}
	}
	return nr;
}

void fake_agent_drain(struct fake_agent *a)
{
	for (uint32_t i = 0; i < a->layout.nr_lanes; i++) {
		const struct hs_shm_lane *lane = fake_agent_lane(a, i);
		const struct hs_shm_entry *e = (const void *)(lane + 1);
		struct hs_shm_lane_tail *t =
			(struct hs_shm_lane_tail *)(a->down +
						    a->layout.down_tails) +
			i;
		uint64_t head = __atomic_load_n(&lane->head, __ATOMIC_ACQUIRE);
		uint64_t tail = t->tail;

		MUST(head - tail <= a->layout.lane_entries);
		for (; tail != head; tail++) {
			MUST(a->nr_entries < FAKE_ENTRIES_MAX);
			a->entry_lane[a->nr_entries] = i;
			a->entries[a->nr_entries++] =
				e[tail & (a->layout.lane_entries - 1)];
		}
		__atomic_store_n(&t->tail, tail, __ATOMIC_RELEASE);
	}
}

const struct hs_shm_up *fake_agent_up(const struct fake_agent *a)
{
	return (const struct hs_shm_up *)a->up;
}

const struct hs_shm_slot *fake_agent_slot(const struct fake_agent *a,
					  uint32_t index)
{
	return (const struct hs_shm_slot *)(a->up + a->layout.up_slots) + index;
}

const struct hs_shm_lane *fake_agent_lane(const struct fake_agent *a,
					  uint32_t index)
{
	return (const void *)(a->up + a->layout.up_lanes +
			      index * a->layout.lane_stride);
}

uint64_t fake_agent_nulls(const struct fake_agent *a)
{
	const struct hs_shm_stock_tail *t =
		(const void *)(a->up + a->layout.up_rings);
	uint64_t sum = 0;

	for (uint32_t i = 0;
	     i < a->layout.nr_rings *
			 (a->layout.nr_classes ? a->layout.nr_classes : 1);
	     i++)
		sum += t[i].nulls;
	return sum;
}

uint32_t fake_agent_count(const struct fake_agent *a, uint8_t type)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->nr_entries; i++)
		n += a->entries[i].type == type;
	return n;
}

const struct hs_shm_entry *fake_agent_entry(const struct fake_agent *a,
					    uint8_t type, uint32_t n)
{
	for (uint32_t i = 0; i < a->nr_entries; i++) {
		if (a->entries[i].type == type && n-- == 0)
			return &a->entries[i];
	}
	return NULL;
}

size_t fake_agent_buffers(const struct fake_agent *a, struct hs_trace_id id,
			  uint32_t handle, struct hs_record_buffer *out,
			  size_t max)
{
	size_t nr = 0;

	for (uint32_t i = 0; i < a->nr_entries && nr < max; i++) {
		const struct hs_shm_entry *e = &a->entries[i];

		if ((e->type != HS_SHM_ENTRY_BUFFER &&
		     e->type != HS_SHM_ENTRY_END) ||
		    e->trace_hi != id.hi || e->trace_lo != id.lo ||
		    (handle && e->handle != handle) ||
		    e->u.buffer.ref == HS_SHM_NO_BUFFER)
			continue;
		out[nr++] = (struct hs_record_buffer){
			.data = a->pool + (uint64_t)e->u.buffer.ref *
						  HS_SHM_REF_UNIT_BYTES,
			.size_bytes = e->u.buffer.committed & 0x0fffffffu,
			.seq = e->seq,
		};
	}
	/* Entries of a handle that moved between lanes come lane by lane. */
	for (size_t i = 1; i < nr; i++) {
		struct hs_record_buffer b = out[i];
		size_t k = i;

		for (; k && out[k - 1].seq > b.seq; k--)
			out[k] = out[k - 1];
		out[k] = b;
	}
	return nr;
}
