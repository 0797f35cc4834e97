/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: an application that owns its domain and writes what it likes into
 * the memory that it shares with the agent, while the real agent (core, and of
 * the shell what touches applications) serves it and an honest domain.
 *
 * An input is a program for the hostile one: words written anywhere, entries,
 * slots, tails and headers that are nearly right, holes punched, deaths. In the
 * test's build every fetch of the agent goes through hs_shm_fetch_hook(), which
 * changes what is about to be read, so that two fetches of one address may
 * differ; libFuzzer's build has a thread that does the same from outside.
 *
 * After every round: the sums add up, no slice reaches beyond its domain, and
 * the agent did no more than so many fetches, however much it was offered. At
 * the end: the honest domain's traces are what was written, of no other
 * domain's bytes, and new ones work.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/kill/records.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/random.h"
#include "dataplane/fetch.h"

#define HOSTILE	      0u
#define HONEST	      1u
#define OPS_MAX	      400u
#define GUESTS_MAX    6u
#define HONEST_HI     0x0b0e57c0ffee5eedull
#define HONEST_POINTS 12u
#define POINT_BYTES   130u
#define TRIES	      1000u
#define FORGOTTEN_NS  400000000000ull
/*
 * A round's fetches of one guest: 4 lanes of 64 entries and their heads, 8
 * slots tried 4 times in 4 steps with their headers, rings, names, counters.
 */
#define FETCHES_MAX 1600u

struct input {
	const uint8_t *data;
	size_t left;
};

/* A range that the hostile one can write, as it and as the agent have it. */
struct span {
	const uint8_t *seen;
	uint8_t *mine;
	size_t bytes;
};

static struct node node;
static struct hs_guest *guest; /* the hostile one */
static struct span up, pool;
static struct hs_random dice;
static uint32_t fetches, mischief; /* of 256 fetches so many are changed */
/* Of fetches in a round, for the counters by operation: they are read once a
 * second, and once more when their process has died, its guest gone by then. */
static uint32_t tallies_max;
static bool running; /* its lanes' heads */
static uint64_t taken;
static uint32_t honest_domain; /* the core's number for it */

/* ---- between two fetches ------------------------------------------------- */

static uint64_t odd_value(uint64_t old)
{
	static const uint64_t edges[] = {
		0,	    1,		0xff,  0xffff, 0x7fffffff, 0xffffffff,
		1ull << 32, 1ull << 63, ~0ull, 64,     512,	   65536,
	};

	switch (hs_random_below(&dice, 5)) {
	case 0:
		return edges[hs_random_below(&dice, sizeof(edges) / 8)];
	case 1:
		return old + hs_random_below(&dice, 9) - 4;
	case 2:
		return old ^ 1ull << hs_random_below(&dice, 64);
	case 3:
		return old + hs_random_below(&dice, 128);
	default:
		return hs_random_u64(&dice);
	}
}

/* What was spoilt a moment ago is as it was: only one fetch has seen it. */
static struct {
	uint8_t *at;
	uint64_t word;
} undo;

static void spoil(struct span *s, size_t at)
{
	uint64_t word;

	at &= ~(size_t)7;
	if (at + 8 > s->bytes)
		return;
	memcpy(&word, s->mine + at, 8);
	undo.at = s->mine + at;
	undo.word = word;
	word = odd_value(word);
	memcpy(s->mine + at, &word, 8);
}

static void undo_some(void)
{
	if (undo.at && hs_random_u64(&dice) & 1)
		memcpy(undo.at, &undo.word, 8);
	undo.at = NULL;
}

/* A producer that is always ahead, by what can be. */
static void run_ahead(const void *at)
{
	for (uint32_t i = 0; i < guest->layout.nr_lanes; i++) {
		const struct hs_shm_lane *seen = hs_guest_lane(guest, i);
		uint64_t head =
			guest->lanes[i].tail + 1 +
			hs_random_below(&dice, guest->layout.lane_entries);

		if (at != &seen->head)
			continue;
		if (hs_random_below(&dice, 64) == 0)
			head += 1ull << 40;
		memcpy(up.mine + ((const uint8_t *)at - up.seen), &head, 8);
	}
}

static bool spoil_seen(struct span *s, const void *at, size_t size_bytes)
{
	const uint8_t *p = at;

	if (!s->mine || p < s->seen || p >= s->seen + s->bytes)
		return false;
	fetches++;
	undo_some();
	if (running)
		run_ahead(at);
	if (hs_random_below(&dice, 256) < mischief)
		spoil(s, (size_t)(p - s->seen) +
				 hs_random_below(&dice, size_bytes));
	return true;
}

/* libFuzzer's build has no such place, and no declaration either. */
void hs_shm_fetch_hook(const void *at, size_t size_bytes);
void hs_shm_fetch_hook(const void *at, size_t size_bytes)
{
	/* The honest one's memory is left alone, and not counted. */
	if (!spoil_seen(&up, at, size_bytes) &&
	    !spoil_seen(&pool, at, size_bytes))
		return;
	if (fetches > FETCHES_MAX + tallies_max)
		node_die("%u fetches in one round", fetches);
}

#ifdef HS_SHM_FETCH_HOOK
static void outside_begin(void)
{
}
static void outside_end(void)
{
}
static void spans_lock(void)
{
}
static void spans_unlock(void)
{
}
#else
/* Where fetches have no hook, a thread does what it can from outside. */
static pthread_mutex_t spans = PTHREAD_MUTEX_INITIALIZER;
static pthread_t outsider;
static bool stop;

static void spans_lock(void)
{
	pthread_mutex_lock(&spans);
}

static void spans_unlock(void)
{
	pthread_mutex_unlock(&spans);
}

static void *outside(void *unused)
{
	bool over = false;

	while (!over) {
		spans_lock();
		for (uint32_t i = 0; mischief && i < 64; i++) {
			struct span *s = i & 1 ? &up : &pool;

			if (s->mine)
				spoil(s, hs_random_below(&dice, s->bytes));
		}
		over = stop;
		spans_unlock();
	}
	return unused;
}

static void outside_begin(void)
{
	stop = false;
	if (pthread_create(&outsider, NULL, outside, NULL))
		node_die("no thread");
}

static void outside_end(void)
{
	spans_lock();
	stop = true;
	spans_unlock();
	pthread_join(outsider, NULL);
}
#endif

/* ---- the hostile one's doings -------------------------------------------- */

static uint64_t take(struct input *in, uint32_t nr)
{
	uint64_t v = 0;

	for (; nr && in->left; nr--, in->left--)
		v = v << 8 | *in->data++;
	return v;
}

static void span_map(struct span *s, const void *seen, int fd, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		node_die("mmap: %s", strerror(errno));
	*s = (struct span){seen, p, bytes};
}

static void span_unmap(struct span *s)
{
	if (s->mine)
		munmap(s->mine, s->bytes);
	*s = (struct span){NULL, NULL, 0};
}

static void enter(void)
{
	const struct hs_shm_hello hello = {
		.version_max = HS_SHM_VERSION,
		.stripes_max = HS_SHM_STRIPES_MAX,
		.service = "hostile",
	};
	struct hs_tenant *t = hs_tenant_get(
		&node.w, hs_agent_listener_get(&node.w.settings, HOSTILE), 0);

	/* No process that the kernel knows: its death is ours to tell. */
	guest = t ? hs_guest_make(&node.w, t, 1, 0, -1, &hello) : NULL;
	if (!guest)
		node_die("the hostile one is not taken in");
	span_map(&up, guest->up.base, guest->up.fd, guest->up.size_bytes);
	span_map(&pool, t->pools[0].base, t->pools[0].fd,
		 t->pools[0].size_bytes);
	taken = 0;
	tallies_max =
		2 * guest->layout.nr_operations *
		(3 + guest->layout.nr_stripes * (HS_SHM_TALLY_BUCKETS + 1));
}

static void work(void)
{
	fetches = 0;
	node_work(&node);
	node_keep(&node);
	node_check(&node);
	for (uint32_t i = 0; i < node.nr_slices; i++)
		if (node.slices[i].domain == honest_domain &&
		    node.slices[i].head.trace.hi != HONEST_HI)
			node_die("a slice of the honest domain for another's "
				 "trace");
	node_ack(&node);
	node_stored(&node);
	node_forget(&node);
}

/* It dies; another comes. */
static void leave_enter(void)
{
	node_dead(&node, guest);
	running = false;
	work();
	spans_lock();
	undo.at = NULL;
	span_unmap(&up);
	span_unmap(&pool);
	enter();
	spans_unlock();
}

static uint64_t stock_word(void)
{
	const uint8_t *ring =
		(const uint8_t *)guest->down.base + guest->layout.down_rings;
	uint64_t head, word;

	memcpy(&head, ring, 8);
	if (taken == head)
		return 0;
	memcpy(&word,
	       ring + sizeof(struct hs_shm_stock_ring) +
		       (taken & guest->rings[0].mask) * 8,
	       8);
	taken++;
	memcpy(up.mine + guest->layout.up_rings, &taken, 8);
	return word;
}

static void put_slot(struct input *in)
{
	uint32_t index = (uint32_t)take(in, 1) % guest->layout.nr_slots;
	struct hs_shm_slot *slot =
		(struct hs_shm_slot *)(up.mine + guest->layout.up_slots) +
		index;
	uint64_t word = take(in, 1) & 1 ? stock_word() : take(in, 8);
	uint64_t offset = (uint64_t)hs_shm_stock_ref(word) * 256;
	struct hs_shm_buffer header = {
		.magic = HS_SHM_BUF_MAGIC,
		.version = HS_SHM_VERSION,
		.header_bytes = sizeof(header),
		.stock_word = word,
		.trace_hi = 1,
		.trace_lo = take(in, 1),
		.handle = index,
		.committed = (uint32_t)take(in, 2),
		.first_record = (uint32_t)take(in, 1),
	};

	*slot = (struct hs_shm_slot){
		.use = (uint32_t)take(in, 1) | 1,
		.handle = index,
		.trace_hi = 1,
		.trace_lo = header.trace_lo,
		.buffer = word,
	};
	if (offset <= pool.bytes - sizeof(header))
		memcpy(pool.mine + offset, &header, sizeof(header));
}

static void put_entries(struct input *in)
{
	uint32_t lane = (uint32_t)take(in, 1) % guest->layout.nr_lanes;
	uint32_t nr = (uint32_t)take(in, 1) % 70;
	struct hs_shm_lane *l =
		(struct hs_shm_lane *)(up.mine + guest->layout.up_lanes +
				       lane * guest->layout.lane_stride);
	struct hs_shm_entry *ring = (struct hs_shm_entry *)(l + 1);

	for (uint32_t i = 0; i < nr; i++) {
		struct hs_shm_entry *e =
			&ring[(l->head + i) % guest->layout.lane_entries];
		uint64_t word = take(in, 1) & 3 ? stock_word() : take(in, 8);

		*e = (struct hs_shm_entry){
			.trace_hi = 1,
			.trace_lo = take(in, 1),
			.u.buffer = {hs_shm_stock_ref(word),
				     (uint32_t)take(in, 2)},
			.handle = (uint32_t)take(in, 1),
			.seq = (uint16_t)take(in, 1),
			.type = (uint8_t)(take(in, 1) % 9),
			.aux = (uint8_t)take(in, 1),
		};
		if (e->type > HS_SHM_ENTRY_END)
			e->u.arg = take(in, 1);
	}
	__atomic_store_n(&l->head, l->head + nr, __ATOMIC_RELEASE);
}

static void put_names(struct input *in)
{
	struct hs_shm_up *u = (struct hs_shm_up *)up.mine;

	u->nr_triggers = (uint32_t)take(in, 1);
	for (uint32_t i = 0; i < HS_SHM_NR_TRIGGERS; i++)
		u->triggers[i].name[0] = (char)('a' + take(in, 1) % 40);
}

static void punch(struct input *in)
{
	uint64_t which = take(in, 1);
	const struct span *s = which & 1 ? &up : &pool;
	int fd = which & 1 ? guest->up.fd : guest->tenant->pools[0].fd;
	off_t page = (off_t)(take(in, 2) % (s->bytes / 4096)) * 4096;

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page,
		      4096))
		node_die("no hole: %s", strerror(errno));
}

static void ask(struct input *in)
{
	struct hs_wire_trace_id id = {1, take(in, 1)};

	hs_agent_core_fire(node.w.core, "asked", &id, 1, node.w.now_ns);
}

static void op(struct input *in, uint32_t *nr_guests)
{
	switch (take(in, 1) % 12) {
	case 0:
		spoil(&up, take(in, 3) % up.bytes);
		break;
	case 1:
		spoil(&pool, take(in, 3) % pool.bytes);
		break;
	case 2:
	case 3:
	case 4:
		put_entries(in);
		break;
	case 5:
		put_slot(in);
		break;
	case 6:
		put_names(in);
		break;
	case 7:
		punch(in);
		break;
	case 8:
		ask(in);
		break;
	case 9:
		mischief = (uint32_t)take(in, 1) % 64;
		running = take(in, 1) & 1;
		break;
	case 10:
		if (take(in, 1) % 4 || ++*nr_guests == GUESTS_MAX)
			break;
		leave_enter();
		break;
	default:
		work();
	}
}

/* ---- the honest ones ----------------------------------------------------- */

static void fill(uint8_t *data, uint64_t lo, uint64_t i)
{
	struct hs_random r;

	hs_random_seed(&r, lo << 8 | i);
	hs_random_fill(&r, data, POINT_BYTES);
}

static void honest_open(void)
{
	struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = node_socket(&node, HONEST),
		.service = "honest",
		.max_traces = 16,
		.no_thread = true,
	};

	if (hs_client_open(&options))
		node_die("the honest client does not open");
	for (uint32_t i = 0; hs_client_poll(); i++) {
		if (i == TRIES)
			node_die("the honest client does not attach");
		node_serve(&node);
	}
	honest_domain = node_guest(&node, getpid())->tenant->index;
	node_work(&node);
}

static void honest_write(uint64_t lo)
{
	struct hs_trace_id id = {HONEST_HI, lo};
	struct hs_trace *t = hs_trace_begin(&id, NULL);
	uint8_t data[POINT_BYTES];

	for (uint64_t i = 0; i < HONEST_POINTS; i++) {
		fill(data, lo, i);
		hs_tracepoint(t, data, sizeof(data));
	}
	hs_trace_end(t);
}

static void honest_check(uint64_t lo)
{
	static struct records got;
	struct hs_wire_trace_id id = {HONEST_HI, lo};
	uint8_t data[POINT_BYTES];
	const struct node_answer *a;

	fetches = 0;
	node_fire(&node, &id, 1);
	a = node_answer(&node, id);
	if (a->state != HS_WIRE_STATE_CLOSED || a->flags)
		node_die("the honest trace %llu: state %u flags %#x",
			 (unsigned long long)lo, a->state, a->flags);
	for (uint32_t i = 0; i < node.nr_slices; i++)
		if ((node.slices[i].head.trace.hi == HONEST_HI) !=
		    (node.slices[i].domain == honest_domain))
			node_die("a slice of the wrong domain");
	records_read(&node, id, &got);
	if (got.nr != HONEST_POINTS)
		node_die("the honest trace has %u of %u records", got.nr,
			 HONEST_POINTS);
	for (uint64_t i = 0; i < HONEST_POINTS; i++) {
		fill(data, lo, i);
		if (got.hash[i] != records_point(data, sizeof(data)))
			node_die("the honest trace's record %llu has changed",
				 (unsigned long long)i);
	}
}

static void run(struct input *in)
{
	uint32_t nr_guests = 0;

	hs_random_seed(&dice, take(in, 4));
	mischief = (uint32_t)take(in, 1) % 64;
	node_make(&node);
	honest_open();
	honest_write(1);
	node_work(&node);
	enter();
	outside_begin();
	for (uint32_t i = 0; i < OPS_MAX && in->left; i++)
		op(in, &nr_guests);
	work();
	/* Those of its triggers that took places are old. */
	node.w.now_ns += FORGOTTEN_NS;
	for (uint32_t i = 0; i < 16; i++) {
		leave_enter();
		node.w.now_ns += FORGOTTEN_NS;
	}
	outside_end();
	mischief = 0;
	running = false;
	honest_check(1);
	honest_write(2);
	honest_check(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct input in = {data, len_bytes};

	hs_log_level_set(HS_LOG_ERROR);
	run(&in);
	hs_client_close();
	node_free(&node);
	undo.at = NULL;
	span_unmap(&up);
	span_unmap(&pool);
	return 0;
}

/* Rounds, entries, slots, names, a trigger: the driver changes them. */
static const uint8_t quiet[] = {1,  2, 3, 4,  0,  2, 0, 8, 1, 1, 1, 0,	200,
				1,  0, 2, 0,  11, 5, 0, 1, 1, 1, 0, 64, 3,
				11, 8, 1, 11, 11, 6, 3, 7, 1, 0, 0, 11};
static const uint8_t busy[] = {
	9,  8,	7,  6,	40, 2, 0, 60, 1,  1,  1,  0,  99, 1,  0, 2,  0,	 1,
	1,  1,	0,  99, 1,  0, 2, 0,  1,  2,  1,  0,  99, 1,  0, 2,  0,	 11,
	2,  1,	30, 1,	1,  1, 0, 99, 1,  0,  4,  0,  2,  11, 9, 63, 11, 10,
	0,  11, 8,  1,	11, 7, 0, 0,  1,  11, 0,  1,  2,  3,  1, 9,  9,	 9,
	11, 5,	1,  0,	1,  1, 0, 99, 64, 11, 11, 10, 4,  2,  3, 69, 11, 11,
};
const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{quiet, sizeof(quiet)},
	{busy, sizeof(busy)},
	{NULL, 0},
};
