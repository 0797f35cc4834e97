/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what a peer says by a script's bytes; see shm_peer.h. */
#include "tests/fuzz/shm_peer.h"

#include <string.h>
#include <sys/socket.h>

#include "base/fdpass.h"
#include "rdma/shm.h"

static size_t take_fds(const struct peer *o, struct input *in,
		       int fds[HS_FDPASS_MAX_FDS])
{
	static const uint8_t counts[8] = {
		1, 1, 1, 1, 1, 0, 2, HS_FDPASS_MAX_FDS,
	};
	uint8_t b = (uint8_t)take(in, 1);
	enum kind k = (b & 31) % KINDS;
	int fd = kind_fd(k);

	if (k == RING)
		fd = o->ours.fd;
	else if (k == THEIR_RING)
		fd = o->theirs.fd;
	else if (k == THEIR_BELL)
		fd = o->bell;
	else if (k == THEIR_TABLE)
		fd = o->table;
	for (size_t i = 0; i < counts[b >> 5]; i++)
		fds[i] = fd;
	return fd < 0 ? 0 : counts[b >> 5];
}

/* Good, bent at a byte, cut short, or with words behind it. */
void says_hello(struct peer *o, struct input *in)
{
	struct {
		struct hs_ring_hello hello;
		uint8_t behind[16];
	} h = {
		.hello = {HS_RING_MAGIC, HS_RING_VERSION, 0, HS_RING_BYTES,
			  HS_RING_WORDS_BYTES},
		.behind = {HS_RING_BELL, HS_RING_BELL, HS_RING_MEMORY,
			   HS_RING_EVENTFD},
	};
	uint8_t how = (uint8_t)take(in, 1);
	size_t nr = sizeof(h.hello), nr_fds;
	int fds[HS_FDPASS_MAX_FDS];

	if (how & 0x80)
		nr = 1 + (how & 31);
	else if (how)
		((uint8_t *)&h)[(how - 1u) % nr] ^= (uint8_t)take(in, 1);
	nr_fds = take_fds(o, in, fds);
	peer_words(o, &h, nr, fds, nr_fds);
}

/* With 0x80 the last one is urgent, and carries nothing. */
void says_words(struct peer *o, struct input *in)
{
	uint8_t how = (uint8_t)take(in, 1), words[8];
	size_t nr = 1 + (how & 7), nr_fds;
	int fds[HS_FDPASS_MAX_FDS];

	for (size_t i = 0; i < nr; i++)
		words[i] = (uint8_t)take(in, 1);
	nr_fds = take_fds(o, in, fds);
	if (how & 0x80 && o->fd >= 0)
		(void)send(o->fd, words, nr,
			   MSG_OOB | MSG_NOSIGNAL | MSG_DONTWAIT);
	else
		peer_words(o, words, nr, fds, nr_fds);
}

static void says_window(struct peer *o, struct input *in)
{
	static const uint64_t sizes[] = {
		SHOWN_BYTES,
		SHOWN_BYTES + 1,
		SHOWN_BYTES - 92,
		SHOWN_BYTES / 2,
		SHOWN_BYTES + 4096,
		HS_RING_MEMORY_BYTES,
		0,
		HS_SHM_SHOWN_MAX_BYTES,
		HS_SHM_SHOWN_MAX_BYTES + 1,
		UINT64_MAX,
	};
	uint64_t size = sizes[take(in, 1) % (sizeof(sizes) / sizeof(sizes[0]))];
	uint32_t about = (uint32_t)take(in, 1);
	struct {
		struct hs_wire_window window;
		uint8_t about[128];
	} said = {.window = {.size_bytes = size, .about_bytes = about}};

	peer_say(o, HS_WIRE_WINDOW, &said,
		 (uint32_t)sizeof(said.window) + (about & 127));
}

void says_message(struct peer *o, struct input *in)
{
	const struct hs_wire_ping ping = {1, 2};
	uint8_t what = (uint8_t)take(in, 1), some[256];
	uint32_t nr;

	switch (what % 0x80 % SAYS) {
	case SAY_HELLO:
		what = (uint8_t)take(in, 1);
		peer_say_hello(o, what >> 4, what & 15);
		break;
	case SAY_WINDOW:
		says_window(o, in);
		break;
	case SAY_PING:
		peer_say(o, what & 0x80 ? HS_WIRE_PONG : HS_WIRE_PING, &ping,
			 sizeof(ping));
		break;
	case SAY_ANY:
		what = (uint8_t)take(in, 1);
		nr = (uint32_t)take(in, 1);
		for (uint32_t i = 0; i < nr; i++)
			some[i] = (uint8_t)take(in, 1);
		peer_say(o, what % 32, some, nr);
		break;
	case SAY_GAP:
		o->seq += take(in, 1);
		/* fall through */
	default:
		peer_say(o, HS_WIRE_LEAVE, "12345678", 8);
	}
}

void says_bytes(struct peer *o, struct input *in)
{
	uint32_t nr = (uint32_t)take(in, 1);
	uint8_t some[256];

	for (uint32_t i = 0; i < nr; i++)
		some[i] = (uint8_t)take(in, 1);
	peer_put(o, some, nr);
}

/* Of what it has written and read, and into what is not its own. */
void says_lie(struct peer *o, struct input *in)
{
	static const uint64_t steps[] = {
		1,
		16,
		HS_RING_BYTES,
		HS_RING_BYTES + 1,
		1ull << 32,
		1ull << 63,
		-1ull,
		-16ull,
		-(uint64_t)HS_RING_BYTES,
	};
	struct hs_ring_words *w = o->ours.base;
	uint8_t which = (uint8_t)take(in, 1);
	uint64_t step = steps[take(in, 1) % (sizeof(steps) / sizeof(steps[0]))];
	size_t at;

	switch (which % LIES) {
	case LIE_HEAD:
		w->head += step;
		break;
	case LIE_TAIL:
		w->tail += step;
		break;
	case LIE_NAPS:
		w->naps += (uint32_t)step;
		break;
	case LIE_THIRST:
		w->thirst += (uint32_t)step;
		break;
	case LIE_SKIP:
		o->ring.head += step;
		break;
	default:
		at = take(in, 2) * sizeof(step) % HS_RING_MEMORY_BYTES;
		if (o->theirs.base)
			memcpy((uint8_t *)o->theirs.base + at, &step,
			       sizeof(step));
	}
}

void says_end(struct peer *o, struct input *in)
{
	static const int hows[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
	uint64_t how = take(in, 1) % 4;

	if (how == 3)
		peer_hang_up(o);
	else if (o->fd >= 0)
		(void)shutdown(o->fd, hows[how]);
}
