/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: peers over shared memory that say what they like through their
 * sockets, and write what they like into the memories, while a real transport
 * serves them: a coordinator's that reads tables, an agent's that shows one, or
 * one that does neither.
 *
 * An input is a script: connections, HELLOs that are bent, words with
 * descriptors that are none of what they should be, messages and garbage in the
 * ring, counters that lie, rings for nothing, what the transport's owner asks
 * meanwhile, ends. The transport is polled in between, without waiting.
 *
 * Once the peers have hung up it has no link, window or byte of theirs any
 * more, no descriptor and no mapping; and a good peer gets up, is heard, is
 * read and reads. A socket that is handed over is not tried: who has it holds
 * the other end of it, which has not ended then.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/shm_peer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "rdma/shm.h"

#define OPS_MAX	   64u
#define TURNS	   32 /* in which all is done that has to be */
#define PEERS	   2u
#define LINKS	   4u
#define FED_BYTES  4096u
#define MANY_BYTES 32768u

/* The first byte: what the transport is, and what is made of it. */
#define READS	    0x00u
#define SHOWS	    0x01u
#define NEITHER	    0x02u
#define READS_NONE  0x03u /* it takes no table for its own */
#define WHAT(c)	    ((c)&3u)
#define STRANGERS   0x04u /* who may be peers, and are not kin */
#define NEARLY_FULL 0x08u /* others show nearly all that is mapped */
#define DESTROYED   0x10u /* while its peers are there */
#define OTHERS	    (HS_SHM_SHOWN_MAX_BYTES - SHOWN_BYTES + 1)

/* How often an op of rings does it: so often, with a turn for each. */
#define TIMES(b) (((b)&0x7fu) * 8)
#define TURNING	 0x80u

static struct hs_transport *t;
static struct hs_shm *shm; /* the same */
static int port;
static uint8_t config;
static struct peer peers[PEERS];
static uint32_t current;
static struct hs_memfd table; /* that ours shows */
static uint32_t nr_up, nr_down, nr_messages, nr_told, nr_done;
static uint32_t last_up, nr_follow, nr_feed;
static uint8_t read_byte;

/* ---- the transport ------------------------------------------------------- */

static void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	(void)ctx;
	nr_up++;
	last_up = peer->peer;
}

static void on_down(void *ctx, uint32_t peer)
{
	(void)ctx, (void)peer;
	nr_down++;
}

/* More comes as fast as it is read, so that a turn is not enough for it. */
static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	static const uint8_t fed[FED_BYTES];

	(void)ctx, (void)type, (void)payload, (void)payload_bytes;
	nr_messages++;
	if (nr_feed == 0)
		return;
	if (--nr_feed)
		peer_say(&peers[current], HS_WIRE_LEAVE, fed, sizeof(fed));
	else
		(void)hs_transport_cut(t, peer);
}

/* All that may be read can be. */
static int readable(void *ctx, uint32_t peer, const void *about,
		    uint32_t about_bytes, uint64_t size_bytes)
{
	(void)ctx, (void)about, (void)about_bytes;
	nr_told++;
	if (hs_transport_read(t, peer, size_bytes - 1, 1, 0))
		die("what is told to be readable is not");
	return WHAT(config) == READS_NONE ? -EPROTO : 0;
}

static void read_done(void *ctx, uint32_t peer, uint64_t cookie,
		      const void *bytes, uint32_t size_bytes)
{
	(void)ctx, (void)cookie;
	nr_done++;
	read_byte = ((const uint8_t *)bytes)[size_bytes - 1];
	if (nr_follow && nr_follow--)
		(void)hs_transport_read(t, peer, nr_done % SHOWN_BYTES, 8, 0);
}

static void transport_open(void)
{
	static const struct hs_transport_events events = {on_up, on_down,
							  on_message, NULL};
	const struct hs_transport_self self = {
		.role = WHAT(config) == SHOWS ? HS_WIRE_ROLE_AGENT
					      : HS_WIRE_ROLE_COORDINATOR,
		.node = 77,
		.name = "victim"};
	const struct hs_transport_limits limits = {
		.nr_peers = LINKS,
		.send_queue_bytes = 1 << 16,
		.idle_timeout_ns = 3600 * HS_NS_PER_SEC};
	const struct hs_transport_windows reads = {.readable = readable,
						   .read_done = read_done};
	const struct hs_transport_windows shows = {
		.memory = &table,
		.data = table.base,
		.size_bytes = SHOWN_BYTES,
		.reader = HS_WIRE_ROLE_COORDINATOR};

	nr_up = nr_down = nr_follow = nr_feed = last_up = 0;
	t = hs_transport_shm_create(&self, &limits, &events, NULL);
	if (!t)
		die("no transport: %s", strerror(errno));
	shm = (struct hs_shm *)t;
	if (WHAT(config) != NEITHER &&
	    hs_transport_windows(t, WHAT(config) == SHOWS ? &shows : &reads))
		die("no windows");
	if (config & NEARLY_FULL)
		shm->shown_bytes = OTHERS;
	port = hs_transport_listen(t, "127.0.0.1:0");
	if (port <= 0)
		die("it does not listen: %s", strerror(-port));
}

static struct hs_transport_stats stats(void)
{
	struct hs_transport_stats st;

	hs_transport_stats(t, &st);
	return st;
}

/* Who was taken now has not been heard yet: nobody knows that it was kin. Of
 * strangers no bell is taken, and of nobody a memory that is not asked for. */
static void look_at(struct hs_shm_conn *c)
{
	if (config & STRANGERS)
		c->kin = false;
	if (config & STRANGERS && c->bell_in >= 0)
		die("a stranger's bell");
	if (!shm->sockets.hub.windows.readable && c->handed >= 0)
		die("a memory that nobody asked for");
	if ((c->theirs.base && c->theirs.size_bytes != HS_RING_MEMORY_BYTES) ||
	    c->shown_bytes > c->shown.size_bytes)
		die("a memory of another size");
}

static void turn(void)
{
	struct hs_link **links = shm->sockets.hub.links;
	int rc = hs_transport_poll(t, 0);

	if (rc)
		die("poll: %s", strerror(-rc));
	for (uint32_t i = 0; i < PEERS; i++)
		peers[i].seen = true;
	for (uint32_t i = 0; i < LINKS; i++)
		if (links[i])
			look_at((struct hs_shm_conn *)links[i]);
}

#define until(cond)                                                            \
	do {                                                                   \
		for (int turns_ = 0; !(cond); turns_++) {                      \
			if (turns_ == TURNS)                                   \
				die("never came true: %s", #cond);             \
			turn();                                                \
		}                                                              \
	} while (0)

/* ---- the script ---------------------------------------------------------- */

static void op_rings(struct peer *o, struct input *in)
{
	uint8_t how = (uint8_t)take(in, 1);

	for (uint32_t i = 0; i <= TIMES(how); i++) {
		peer_ring(o);
		if (how & TURNING)
			turn();
	}
}

/* By the eventfd; or so that ours cannot ring by its own. */
static void op_bell(const struct peer *o, struct input *in)
{
	const uint64_t one = 1, full = UINT64_MAX - 1;
	uint8_t how = (uint8_t)take(in, 1);

	if (how == 1 && o->bell >= 0) {
		(void)!write(o->bell, &full, sizeof(full));
		return;
	}
	for (uint32_t i = 0; i <= TIMES(how); i++) {
		(void)!write(kind_fd(EVENTFD), &one, sizeof(one));
		if (how & TURNING)
			turn();
	}
}

/* The transport's owner has something to say: 4 and more times, so much (1), to
 * who asks each time to be rung (2); and then cuts it off (0x80). */
static void op_send(struct peer *o, struct input *in)
{
	static uint8_t bytes[MANY_BYTES];
	struct hs_ring_words *w = o->ours.base;
	uint8_t how = (uint8_t)take(in, 1);
	struct iovec iov = {bytes, how & 1 ? sizeof(bytes) : 8};
	uint32_t nr = (how & 0x7cu) * (how & 1 ? 1 : 3);

	for (uint32_t i = 0; i < nr; i++) {
		w->naps += how >> 1 & 1;
		(void)hs_transport_send(t, last_up, HS_WIRE_SLICE, &iov, 1);
		hs_transport_flush(t);
	}
	if (how & 0x80)
		(void)hs_transport_cut(t, last_up);
}

static void op_read(struct input *in)
{
	static const uint64_t offsets[] = {0, 64, SHOWN_BYTES - 8, SHOWN_BYTES,
					   UINT64_MAX};
	static const uint32_t sizes[] = {8, 128, 512, 0, 513, UINT32_MAX};
	uint64_t offset = offsets[take(in, 1) % 5];
	uint32_t size = sizes[take(in, 1) % 6];
	uint8_t how = (uint8_t)take(in, 1);
	struct hs_shm_conn *c =
		(struct hs_shm_conn *)hs_hub_link(&shm->sockets.hub, last_up);

	nr_follow = how & 0x80 ? how : 0;
	for (uint32_t i = 0; i <= (how & 63u); i++)
		if (!hs_transport_read(t, last_up, offset, size, i) &&
		    (offset > c->shown_bytes || size > c->shown_bytes - offset))
			die("what is behind the end is read");
}

/* A turn without a descriptor that is left. Who was not taken yet would have to
 * wait for a time. */
static void op_no_place(void)
{
	for (uint32_t i = 0; i < PEERS; i++)
		if (!peers[i].seen)
			return;
	kept_no_more(true);
	turn();
	kept_no_more(false);
}

static void op(struct input *in)
{
	static void (*const says[OPS])(struct peer *, struct input *) = {
		[HELLO] = says_hello, [WORDS] = says_words,
		[SAY] = says_message, [BYTES] = says_bytes,
		[LIE] = says_lie,     [RINGS] = op_rings,
		[END] = says_end,     [SEND] = op_send,
	};
	uint8_t b = (uint8_t)take(in, 1);
	enum op which = (b & 0x7f) % OPS;
	struct peer *o = &peers[current];

	if (says[which])
		says[which](o, in);
	else if (which == DIAL)
		peer_dial(o, port);
	else if (which == HEAR)
		peer_hear(o);
	else if (which == BELL)
		op_bell(o, in);
	else if (which == READ)
		op_read(in);
	else if (which == FEED)
		nr_feed = (uint32_t)take(in, 1);
	else if (which == PEER)
		current = (current + 1) % PEERS;
	else if (which == NO_PLACE)
		op_no_place();
	if (!(b & AND))
		turn();
}

/* ---- what has to be true behind it --------------------------------------- */

static void is_kept(uint32_t before)
{
	uint32_t now = kept();

	if (now != before)
		die("%u descriptors and memories, %u before", now, before);
}

static void nothing_is_left(void)
{
	/* Some may have come and gone, and not been taken. */
	turn();
	until(stats().nr_peers == 0);
	if (nr_up != nr_down)
		die("%u came up, %u went down", nr_up, nr_down);
	if (stats().nr_windows ||
	    shm->shown_bytes != (config & NEARLY_FULL ? OTHERS : 0))
		die("%u windows are left, %llu bytes", stats().nr_windows,
		    (unsigned long long)shm->shown_bytes);
	if (shm->late || shm->readers || shm->sockets.hub.nr_unproven)
		die("a connection that is gone is waited for");
}

/* By a transport that reads: its table, unless that is not wanted. */
static void is_read(struct peer *o)
{
	const struct hs_wire_window w = {.size_bytes = SHOWN_BYTES};
	const uint8_t word = HS_RING_MEMORY;
	const int fd = kind_fd(SHOWN);
	uint32_t told = nr_told, done;
	uint64_t refused = stats().windows_refused;

	peer_words(o, &word, 1, &fd, 1);
	peer_say(o, HS_WIRE_WINDOW, &w, sizeof(w));
	if (config & NEARLY_FULL) {
		until(stats().windows_refused == refused + 1);
		return;
	}
	until(nr_told == told + 1);
	if (WHAT(config) == READS_NONE)
		return;
	hs_transport_flush(t);
	done = nr_done;
	if (hs_transport_read(t, last_up, SHOWN_BYTES - 8, 8, 0))
		die("what a good peer shows cannot be read");
	hs_transport_flush(t);
	if (nr_done != done + 1 || read_byte != SHOWN_FILL)
		die("what a good peer shows is not what was read");
}

static void a_good_peer_is_up(struct peer *o)
{
	const struct hs_ring_hello h = {HS_RING_MAGIC, HS_RING_VERSION, 0,
					HS_RING_BYTES, HS_RING_WORDS_BYTES};
	uint32_t before = nr_up;

	peer_dial(o, port);
	turn();
	peer_hear(o);
	if (!o->theirs.base)
		die("a good peer hears no HELLO");
	peer_words(o, &h, sizeof(h), &o->ours.fd, 1);
	peer_say_hello(o,
		       WHAT(config) == SHOWS ? HS_WIRE_ROLE_COORDINATOR
					     : HS_WIRE_ROLE_AGENT,
		       HS_WIRE_HELLO_F_READS | HS_WIRE_HELLO_F_BELLS);
	until(nr_up == before + 1);
	peer_hear(o);
}

static void a_good_peer(void)
{
	struct peer *o = &peers[0];
	const uint8_t word = HS_RING_EVENTFD;
	const int bell = kind_fd(EVENTFD);
	uint32_t before = nr_messages;
	uint8_t byte = 0;

	nr_feed = nr_follow = 0;
	a_good_peer_is_up(o);
	if ((o->bell < 0) != ((config & STRANGERS) != 0))
		die("a bell for who is no kin, or none for who is");
	if (WHAT(config) == SHOWS &&
	    (o->table < 0 || pread(o->table, &byte, 1, 100) != 1 ||
	     byte != SHOWN_FILL))
		die("a good peer cannot read");
	if (o->bell >= 0)
		peer_words(o, &word, 1, &bell, 1);
	peer_say(o, HS_WIRE_LEAVE, "12345678", 8);
	until(nr_messages == before + 1);
	if (shm->sockets.hub.windows.readable)
		is_read(o);
	peer_hang_up(o);
}

static void make(void)
{
	hs_log_level_set(HS_LOG_ERROR);
	kinds_make();
	for (uint32_t i = 0; i < PEERS; i++)
		peer_make(&peers[i]);
	if (hs_memfd_create(&table, "table", SHOWN_BYTES, HS_MEMFD_OURS))
		die("no table");
	memset(table.base, SHOWN_FILL, SHOWN_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct input in = {data, len_bytes};
	uint32_t before, with;

	if (!table.base)
		make();
	kinds_forget();
	config = (uint8_t)take(&in, 1);
	current = 0;
	before = kept();
	transport_open();
	with = kept();
	for (uint32_t i = 0; i < OPS_MAX && in.left; i++)
		op(&in);
	if (config & DESTROYED)
		hs_transport_destroy(t);
	for (uint32_t i = 0; i < PEERS; i++)
		peer_hang_up(&peers[i]);
	if (config & DESTROYED) {
		is_kept(before);
		transport_open();
	}
	nothing_is_left();
	is_kept(with);
	a_good_peer();
	nothing_is_left();
	is_kept(with);
	hs_transport_destroy(t);
	return 0;
}

/* ---- seeds --------------------------------------------------------------- */

#define GREETS(role, flags)                                                    \
	DIAL, HELLO, 0, RING, HEAR, SAY, SAY_HELLO, (role) << 4 | (flags), HEAR
#define DO(...)	    __VA_ARGS__
#define AGENT	    HS_WIRE_ROLE_AGENT
#define COORDINATOR HS_WIRE_ROLE_COORDINATOR
#define WORD(w, fd) WORDS, 0, (w), (fd)
#define SHOW(fd, of)                                                           \
	AND | WORDS, 0, HS_RING_MEMORY, (fd), SAY, SAY_WINDOW, (of), 0

/* Two whole conversations, of one that is read and of one that reads. */
static const uint8_t is_read_whole[] = {
	READS,
	GREETS(AGENT, 6),
	WORD(HS_RING_EVENTFD, EVENTFD),
	SHOW(SHOWN, 0),
	DO(READ, 1, 1, 3),
	DO(READ, 2, 0, 0x90),
	DO(SEND, 8),
	HEAR,
	DO(SAY, SAY_LEAVE),
	DO(BELL, 2),
	DO(AND | SAY, SAY_PING),
	DO(END, 1),
	DO(END, 3),
};
static const uint8_t reads_whole[] = {
	SHOWS,
	GREETS(COORDINATOR, 6),
	WORD(HS_RING_EVENTFD, EVENTFD),
	DO(SEND, 0x11),
	HEAR,
	HEAR,
	DO(SAY, SAY_LEAVE),
	DO(BELL, 0),
	DO(BELL, 1),
	DO(SEND, 6),
	DO(END, 3),
};
/* Before it is taken it has said all, and hung up; one hears nothing; no
 * descriptor is left; one rings for nothing. */
static const uint8_t all_at_once[] = {
	NEITHER | STRANGERS,
	AND | DIAL,
	DO(AND | HELLO, 0, RING),
	DO(AND | SAY, SAY_HELLO, AGENT << 4 | 4),
	DO(AND | WORDS, 1, HS_RING_BELL, HS_RING_EVENTFD, EVENTFD),
	DO(AND | END, 3),
	TURN,
	GREETS(AGENT, 0),
	PEER,
	GREETS(COORDINATOR, 0),
	DO(SEND, 0x7e),
	PEER,
	DO(AND | WORDS, 0, HS_RING_MEMORY, SHOWN),
	NO_PLACE,
	GREETS(AGENT, 0),
	DO(RINGS, 0xff),
};
/* More than a turn takes; all ends with reads under way. */
static const uint8_t ends_below_them[] = {
	READS | DESTROYED,
	GREETS(AGENT, 4),
	SHOW(SHOWN, 0),
	DO(FEED, 200),
	DO(SAY, SAY_LEAVE),
	DO(AND | LIE, LIE_HEAD, 7),
	PEER,
	GREETS(AGENT, 4),
	WORD(HS_RING_EVENTFD, THEIR_BELL),
	SHOW(SHOWN_ODD, 2),
	DO(FEED, 255),
	DO(SAY, SAY_LEAVE),
	DO(READ, 0, 0, 0xff),
	DO(AND | READ, 0, 0, 9),
};
/* There is no room for its table; HELLOs that are none; a bell before it is
 * up, and no descriptor for a table. */
static const uint8_t bent_hellos[] = {
	READS | NEARLY_FULL,
	GREETS(AGENT, 2),
	SHOW(SHOWN, 0),
	SHOW(SHOWN_SIZE_SEALED, 3),
	DIAL,
	DO(HELLO, 5, 1, RING),
	DIAL,
	DO(HELLO, 0x8f, RING),
	DIAL,
	DO(HELLO, 0, NO_FD),
	DIAL,
	DO(HELLO, 0, MANY(SHOWN)),
	DIAL,
	DO(HELLO, 0, TWO(RING)),
	DIAL,
	DO(HELLO, 0, THEIR_RING),
	DIAL,
	DO(HELLO, 0, RING),
	WORD(HS_RING_EVENTFD, EVENTFD),
	DO(RINGS, TURNING | 5),
	DO(SAY, SAY_HELLO, AGENT << 4 | 4),
	DO(BELL, 0),
	GREETS(AGENT, 4),
	DO(AND | WORDS, 0, HS_RING_MEMORY, SHOWN),
	NO_PLACE,
};
/* Of what it has read; in a ring that is not its own to write. */
static const uint8_t lies[] = {
	SHOWS | STRANGERS,
	GREETS(COORDINATOR, 2),
	DO(AND | LIE, LIE_TAIL, 3),
	DO(SEND, 0x35),
	GREETS(COORDINATOR, 2),
	DO(LIE, LIE_THEIRS, 1, 0, 0),
	DO(SAY, SAY_ANY, HS_WIRE_TALLY, 4, 1, 2, 3, 4),
	DO(LIE, LIE_SKIP, 1),
	DO(SAY, SAY_GAP, 1),
	DIAL,
	DO(HELLO, 0, RING_UNSEALED),
	DIAL,
	DO(HELLO, 0, RING_SHORT),
};
/* Tables that are not mapped, and one that is. */
static const uint8_t bent_tables[] = {
	READS,
	GREETS(AGENT, 0),
	SHOW(SHOWN_SIZE_SEALED, 0),
	SHOW(SHOWN_HOLE, 0),
	SHOW(SHOWN_ODD, 2),
	DO(READ, 0, 2, 40),
	SHOW(SHOWN, 0),
	GREETS(AGENT, 0),
	SHOW(SHOWN_MISSES, 0),
	GREETS(AGENT, 0),
	SHOW(SHOWN_UNSEALED, 0),
	GREETS(AGENT, 0),
	SHOW(TWO(SHOWN), 0),
	GREETS(AGENT, 0),
	SHOW(PIPE_ENDED, 0),
};
const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{is_read_whole, sizeof(is_read_whole)},
	{reads_whole, sizeof(reads_whole)},
	{all_at_once, sizeof(all_at_once)},
	{ends_below_them, sizeof(ends_below_them)},
	{bent_hellos, sizeof(bent_hellos)},
	{lies, sizeof(lies)},
	{bent_tables, sizeof(bent_tables)},
	{NULL, 0},
};
