/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see lend_ring.h. */
#include "ship/lend_ring.h"

#include <errno.h>
#include <string.h>

#define LINE_BYTES 64u

static uint32_t head_bytes(bool ip6)
{
	return ip6 ? HS_LEND_HEAD6_BYTES : HS_LEND_HEAD_BYTES;
}

uint32_t hs_lend_slot_bytes(uint32_t frame_bytes, bool ip6)
{
	return (frame_bytes + head_bytes(ip6) + LINE_BYTES - 1) / LINE_BYTES *
	       LINE_BYTES;
}

size_t hs_lend_memory_bytes(uint32_t nr_slots, uint32_t frame_bytes, bool ip6)
{
	return HS_LEND_WORDS_BYTES +
	       (size_t)nr_slots * hs_lend_slot_bytes(frame_bytes, ip6);
}

void hs_lend_ring_make(struct hs_lend_ring *r, bool producer, uint32_t *mine,
		       const uint32_t *theirs, void *memory, uint32_t nr,
		       uint32_t frame_bytes, bool ip6)
{
	*r = (struct hs_lend_ring){
		.mine = mine,
		.theirs = theirs,
		.slots = (uint8_t *)memory + HS_LEND_WORDS_BYTES,
		.nr = nr,
		.slot_bytes = hs_lend_slot_bytes(frame_bytes, ip6),
		.head_bytes = head_bytes(ip6),
		.frame_bytes = frame_bytes,
		.limit = producer ? nr : 0,
		.producer = producer,
	};
}

static struct hs_lend_slot *slot(const struct hs_lend_ring *r)
{
	return (struct hs_lend_slot *)(r->slots +
				       (size_t)(r->at & (r->nr - 1)) *
					       r->slot_bytes);
}

/* Behind its head. */
static uint8_t *frame_of(const struct hs_lend_ring *r)
{
	return (uint8_t *)slot(r) + r->head_bytes;
}

static bool of_ip6(const struct hs_lend_ring *r)
{
	return r->head_bytes == HS_LEND_HEAD6_BYTES;
}

/* How far this end may go by the other's counter. */
static void look(struct hs_lend_ring *r)
{
	/* lend.R1 acquire, pairs lend.W1: the frames before the head that
	 * counts them; a frame was read before the tail that gives it back. */
	uint32_t theirs = __atomic_load_n(r->theirs, __ATOMIC_ACQUIRE);
	uint32_t between = r->producer ? r->at - theirs : theirs - r->at;

	if (between > r->nr)
		r->broken = true;
	else
		r->limit = r->producer ? theirs + r->nr : theirs;
}

static bool ready(struct hs_lend_ring *r)
{
	if (r->broken)
		return false;
	if (r->at != r->limit)
		return true;
	look(r);
	return !r->broken && r->at != r->limit;
}

void *hs_lend_ring_room(struct hs_lend_ring *r)
{
	return ready(r) ? frame_of(r) : NULL;
}

void hs_lend_ring_put(struct hs_lend_ring *r, const struct hs_ship_place *place,
		      uint32_t bytes)
{
	uint32_t ip = 0;

	if (of_ip6(r))
		memcpy(((struct hs_lend_slot6 *)slot(r))->ip, &place->ip,
		       sizeof(place->ip));
	else
		ip = hs_ship_ip_to_v4(&place->ip);
	/* lend.C1 relaxed: announced by lend.W1. */
	__atomic_store_n(&slot(r)->word,
			 (uint64_t)ip | (uint64_t)place->port << 32 |
				 (uint64_t)bytes << 48,
			 __ATOMIC_RELAXED);
	r->at++;
}

/* As it stands in a slot, which may change. */
static struct hs_ship_place place_of(const struct hs_lend_ring *r,
				     uint64_t word)
{
	struct hs_ship_place out = {.port = (uint16_t)(word >> 32)};

	if (of_ip6(r))
		memcpy(&out.ip, ((const struct hs_lend_slot6 *)slot(r))->ip,
		       sizeof(out.ip));
	else
		out.ip = hs_ship_ip_v4((uint32_t)word);
	return out;
}

bool hs_lend_ring_next(struct hs_lend_ring *r, struct hs_lend_frame *out)
{
	while (ready(r)) {
		/* lend.C2 relaxed: announced by lend.W1, or a lie. */
		uint64_t word =
			__atomic_load_n(&slot(r)->word, __ATOMIC_RELAXED);

		*out = (struct hs_lend_frame){
			.place = place_of(r, word),
			.data = frame_of(r),
			.bytes = (uint32_t)(word >> 48),
		};
		if (out->bytes <= r->frame_bytes)
			return true;
		r->skipped++;
		r->at++;
	}
	return false;
}

void hs_lend_ring_taken(struct hs_lend_ring *r)
{
	r->at++;
}

void hs_lend_ring_publish(struct hs_lend_ring *r)
{
	if (r->said == r->at)
		return;
	r->said = r->at;
	/* lend.W1 release, pairs lend.R1: frames before the head, and their
	 * reading before the tail. */
	__atomic_store_n(r->mine, r->at, __ATOMIC_RELEASE);
}

uint32_t hs_lend_ring_waiting(struct hs_lend_ring *r)
{
	uint32_t ahead;

	if (!r->broken)
		look(r);
	ahead = r->limit - r->at;
	if (r->broken)
		return 0;
	return r->producer ? r->nr - ahead : ahead;
}

/* Where it is, by the version that its length says. */
static bool own_of(const struct hs_lend_hello6 *hello, bool ip6,
		   struct hs_ship_place *own)
{
	own->port = hello->base.port;
	if (!ip6)
		own->ip = hs_ship_ip_v4(hello->base.ip);
	else
		memcpy(&own->ip, hello->ip, sizeof(own->ip));
	if (!own->port || (hello->base.ip == 0) != ip6)
		return false;
	return !ip6 ||
	       (hs_ship_ip_is_host(&own->ip) && !hs_ship_ip_is_v4(&own->ip));
}

enum hs_lend_refusal hs_lend_hello_check(struct hs_lend_hello6 *hello6,
					 size_t bytes, uint32_t frame_bytes,
					 struct hs_ship_place *own)
{
	struct hs_lend_hello *hello = &hello6->base;
	char *end = memchr(hello->name, 0, sizeof(hello->name));
	bool ip6 = bytes == sizeof(*hello6);
	uint32_t version = ip6 ? HS_LEND_VERSION_IP6 : HS_LEND_VERSION_IP4;

	if ((!ip6 && bytes != sizeof(*hello)) ||
	    hello->magic != HS_LEND_MAGIC || !end ||
	    hello->version_min > hello->version_max ||
	    !own_of(hello6, ip6, own))
		return HS_LEND_REFUSED_HELLO;
	if (hello->version_min > version || hello->version_max < version)
		return HS_LEND_REFUSED_VERSION;
	if (hello->frame_bytes <
	    frame_bytes - (ip6 ? HS_LEND_IP6_MORE_BYTES : 0))
		return HS_LEND_REFUSED_FRAME;
	for (char *c = hello->name; c < end; c++)
		if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
			*c = '?';
	return HS_LEND_WELCOME;
}

int hs_lend_welcome_check(const struct hs_lend_welcome *w, size_t bytes,
			  uint32_t frame_bytes, const size_t memory_bytes[2],
			  bool ip6)
{
	size_t want;

	if (bytes != sizeof(*w) || w->magic != HS_LEND_MAGIC)
		return -EBADMSG;
	if (w->refused)
		return w->refused;
	if (w->version != (ip6 ? HS_LEND_VERSION_IP6 : HS_LEND_VERSION_IP4))
		return HS_LEND_REFUSED_VERSION;
	if (w->frame_bytes < HS_LEND_FRAME_MIN ||
	    w->frame_bytes > HS_LEND_FRAME_MAX ||
	    w->frame_bytes > frame_bytes ||
	    w->slot_bytes != hs_lend_slot_bytes(w->frame_bytes, ip6) ||
	    w->nr_slots < HS_LEND_SLOTS_MIN ||
	    w->nr_slots > HS_LEND_SLOTS_MAX || w->nr_slots & (w->nr_slots - 1))
		return -EBADMSG;
	want = hs_lend_memory_bytes(w->nr_slots, w->frame_bytes, ip6);
	return memory_bytes[0] < want || memory_bytes[1] < want ? -EBADMSG : 0;
}

const char *hs_lend_refusal_text(int refusal)
{
	static const char *const texts[] = {
		[HS_LEND_WELCOME] = "welcome",
		[HS_LEND_REFUSED_VERSION] = "no version that both speak",
		[HS_LEND_REFUSED_BUSY] = "another application lends its port",
		[HS_LEND_REFUSED_FRAME] =
			"its frames are smaller than ship.mtu wants",
		[HS_LEND_REFUSED_USER] = "its user is not among ship.lenders",
		[HS_LEND_REFUSED_MEMORY] = "no memory",
		[HS_LEND_REFUSED_HELLO] = "its HELLO makes no sense",
		[HS_LEND_REFUSED_FAMILY] =
			"no collector has an address of its family",
	};

	if (refusal < 0 || refusal >= (int)(sizeof(texts) / sizeof(texts[0])))
		return "an answer that makes no sense";
	return texts[refusal];
}
