/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: buffers in found memory, and traces out of them; see salvage.h. */
#include "tools/salvage.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/ledger.h"
#include "hs/shm_format.h"
#include "model/record_trace.h"

#define UNIT_BYTES	HS_SHM_REF_UNIT_BYTES
#define TRACE_MAX_BYTES (512ull << 20)
#define PAIR_SAMPLES	4096u
#define POOL_ROUNDING	(2ull << 20) /* pools come in huge pages */
#define LEDGER_BEFORE	3u
_Static_assert(HS_LEDGER_VERSION == LEDGER_BEFORE + 1, "look at it again");
_Static_assert(offsetof(struct hs_ledger_domain, nr_buffers) == 12 &&
		       offsetof(struct hs_ledger_domain, buffer_bytes) == 16 &&
		       offsetof(struct hs_ledger_domain, buffers_offset) == 24,
	       "as in version 3");

int hs_salvage_make(struct hs_salvage *s)
{
	memset(s, 0, sizeof(*s));
	s->areas = calloc(HS_SALVAGE_AREAS_MAX, sizeof(*s->areas));
	return s->areas ? 0 : -ENOMEM;
}

void hs_salvage_free(struct hs_salvage *s)
{
	for (uint32_t i = 0; i < s->nr_areas; i++) {
		munmap((void *)s->areas[i].base, s->areas[i].size_bytes);
		close(s->areas[i].fd);
	}
	free(s->areas);
	free(s->buffers);
	memset(s, 0, sizeof(*s));
}

static uint64_t magic_of(const struct hs_salvage_area *a)
{
	uint64_t magic = 0;

	if (a->size_bytes >= sizeof(magic))
		memcpy(&magic, a->base, sizeof(magic));
	return magic;
}

static bool is_pool(const struct hs_salvage_area *a)
{
	return strstr(a->name, "pool") != NULL;
}

/*
 * The ledger's head if it is one that can be read, else NULL. Of version 3 all
 * that is looked at here is the same.
 */
static const struct hs_ledger_domain *ledger_of(const struct hs_salvage_area *a)
{
	const struct hs_ledger_domain *l = (const void *)a->base;

	if (magic_of(a) != HS_LEDGER_DOMAIN_MAGIC ||
	    a->size_bytes < sizeof(*l) ||
	    (l->version != HS_LEDGER_VERSION && l->version != LEDGER_BEFORE))
		return NULL;
	if (l->buffer_bytes < sizeof(struct hs_shm_buffer) ||
	    l->buffer_bytes % UNIT_BYTES || l->buffers_offset % 8 ||
	    l->buffers_offset > a->size_bytes ||
	    l->nr_buffers > (a->size_bytes - l->buffers_offset) /
				    sizeof(struct hs_ledger_buffer))
		return NULL;
	return l;
}

static const struct hs_ledger_buffer *lines_of(const struct hs_ledger_domain *l)
{
	return (const void *)((const uint8_t *)l + l->buffers_offset);
}

/* A copy of the header at @offset, if one can be there. */
static bool header_at(const struct hs_salvage_area *pool, uint64_t offset,
		      struct hs_shm_buffer *out)
{
	if (offset > pool->size_bytes ||
	    sizeof(*out) > pool->size_bytes - offset)
		return false;
	memcpy(out, pool->base + offset, sizeof(*out));
	__asm__ volatile("" ::: "memory");
	return out->magic == HS_SHM_BUF_MAGIC &&
	       out->header_bytes == sizeof(*out) &&
	       hs_shm_stock_generation(out->stock_word) &&
	       (uint64_t)hs_shm_stock_ref(out->stock_word) * UNIT_BYTES ==
		       offset &&
	       (out->trace_hi | out->trace_lo) &&
	       out->committed >= sizeof(*out) &&
	       out->committed <= pool->size_bytes - offset;
}

static int take(struct hs_salvage *s, const struct hs_salvage_buffer *b)
{
	if (s->nr_buffers == s->cap_buffers) {
		size_t cap = s->cap_buffers ? 2 * s->cap_buffers : 1024;
		void *more = realloc(s->buffers, cap * sizeof(*s->buffers));

		if (!more)
			return -ENOMEM;
		s->buffers = more;
		s->cap_buffers = cap;
	}
	s->buffers[s->nr_buffers++] = *b;
	return 0;
}

/* ---- with a ledger ---------------------------------------------------------
 */

/*
 * How many of the ledger's traces are where it says, in this pool.
 * @held: out, how many there are, up to a limit
 */
static uint32_t agreement(const struct hs_salvage_area *pool,
			  const struct hs_ledger_domain *l, uint32_t *held)
{
	const struct hs_ledger_buffer *lines = lines_of(l);
	struct hs_shm_buffer h;
	uint32_t nr = 0;

	*held = 0;
	for (uint32_t i = 0; i < l->nr_buffers && *held < PAIR_SAMPLES; i++) {
		const struct hs_ledger_buffer *b = &lines[i];

		if (hs_ledger_word_state(b->word) != HS_LEDGER_HELD)
			continue;
		++*held;
		nr += header_at(pool, (uint64_t)i * l->buffer_bytes, &h) &&
		      h.trace_hi == b->trace_hi && h.trace_lo == b->trace_lo &&
		      hs_shm_stock_generation(h.stock_word) ==
			      hs_ledger_word_generation(b->word);
	}
	return nr;
}

/*
 * Who holds the memory may not say which ledger is of which pool, but they
 * know each other's traces. One without any that is as large will do as well
 * where no pool can be that of a ledger that cannot be read: it says that
 * nothing is held here.
 */
static const struct hs_ledger_domain *
find_ledger(const struct hs_salvage *s, const struct hs_salvage_area *pool)
{
	const struct hs_ledger_domain *best = NULL;
	uint32_t most = 0, held;

	for (uint32_t i = 0; i < s->nr_areas; i++) {
		const struct hs_ledger_domain *l = ledger_of(&s->areas[i]);
		uint32_t n = l ? agreement(pool, l, &held) : 0;

		if (n > most) {
			most = n;
			best = l;
		} else if (l && !best && !held && !s->nr_ledgers_odd &&
			   (uint64_t)l->nr_buffers * l->buffer_bytes <=
				   pool->size_bytes &&
			   pool->size_bytes - (uint64_t)l->nr_buffers *
						      l->buffer_bytes <
				   POOL_ROUNDING) {
			best = l;
		}
	}
	return best;
}

static int take_held(struct hs_salvage *s, const struct hs_salvage_area *pool,
		     const struct hs_ledger_domain *l, uint32_t i)
{
	const struct hs_ledger_buffer *b = &lines_of(l)[i];
	uint64_t offset = (uint64_t)i * l->buffer_bytes;
	struct hs_salvage_buffer out = {
		.trace_hi = b->trace_hi,
		.trace_lo = b->trace_lo,
		.process = hs_ledger_word_process(b->word),
		.handle = b->handle,
		.seq = b->seq,
		.size_bytes = b->committed,
		.flags = b->flags,
	};

	if (offset > pool->size_bytes ||
	    b->committed > pool->size_bytes - offset)
		return 0;
	out.data = pool->base + offset;
	return take(s, &out);
}

/* A process had it: what it had committed counts, if it is of this turn. */
static int take_open(struct hs_salvage *s, const struct hs_salvage_area *pool,
		     const struct hs_ledger_domain *l, uint32_t i)
{
	uint64_t word = lines_of(l)[i].word;
	uint64_t offset = (uint64_t)i * l->buffer_bytes;
	struct hs_shm_buffer h;

	if (!header_at(pool, offset, &h) ||
	    hs_shm_stock_generation(h.stock_word) !=
		    hs_ledger_word_generation(word) ||
	    h.process != hs_ledger_word_process(word))
		return 0;
	return take(s, &(struct hs_salvage_buffer){
			       .trace_hi = h.trace_hi,
			       .trace_lo = h.trace_lo,
			       .process = h.process,
			       .handle = h.handle,
			       .seq = h.seq,
			       .size_bytes = h.committed,
			       .data = pool->base + offset,
			       .open = true,
		       });
}

static int scan_ledger(struct hs_salvage *s, const struct hs_salvage_area *pool,
		       const struct hs_ledger_domain *l)
{
	const struct hs_ledger_buffer *lines = lines_of(l);
	int rc = 0;

	for (uint32_t i = 0; i < l->nr_buffers && !rc; i++)
		switch (hs_ledger_word_state(lines[i].word)) {
		case HS_LEDGER_HELD:
			rc = take_held(s, pool, l, i);
			break;
		case HS_LEDGER_STOCKED:
			rc = take_open(s, pool, l, i);
			break;
		case HS_LEDGER_FREE:
		case HS_LEDGER_FREEING: /* at the collector */
			break;
		}
	return rc;
}

/* ---- by headers alone -------------------------------------------------------
 */

static int scan_headers(struct hs_salvage *s,
			const struct hs_salvage_area *pool)
{
	struct hs_shm_buffer h;
	size_t last = s->nr_buffers, first = s->nr_buffers;
	uint64_t last_offset = 0;
	int rc = 0;

	for (uint64_t at = 0; at < pool->size_bytes && !rc; at += UNIT_BYTES) {
		if (!header_at(pool, at, &h))
			continue;
		/* The one before ends here at the latest. */
		if (s->nr_buffers > first &&
		    s->buffers[last].size_bytes > at - last_offset) {
			s->buffers[last].size_bytes =
				(uint32_t)(at - last_offset);
			s->buffers[last].cut = true;
		}
		last = s->nr_buffers;
		last_offset = at;
		rc = take(s, &(struct hs_salvage_buffer){
				     .trace_hi = h.trace_hi,
				     .trace_lo = h.trace_lo,
				     .process = h.process,
				     .handle = h.handle,
				     .seq = h.seq,
				     .size_bytes = h.committed,
				     .data = pool->base + at,
				     .hinted = true,
			     });
	}
	return rc;
}

/* ---- all of it
 * --------------------------------------------------------------- */

#define ORDER(field)                                                           \
	do {                                                                   \
		if (x->field != y->field)                                      \
			return x->field < y->field ? -1 : 1;                   \
	} while (0)

static int by_stream(const void *a, const void *b)
{
	const struct hs_salvage_buffer *x = a, *y = b;

	ORDER(trace_hi);
	ORDER(trace_lo);
	ORDER(process);
	ORDER(handle);
	ORDER(seq);
	ORDER(data);
	return 0;
}

static void take_node(struct hs_salvage *s, const struct hs_salvage_area *a)
{
	struct hs_ledger_node node;
	struct hs_shm_down down;

	if (magic_of(a) == HS_LEDGER_NODE_MAGIC &&
	    a->size_bytes >= sizeof(node)) {
		memcpy(&node, a->base, sizeof(node));
		s->node_id = node.node_id;
	} else if (magic_of(a) == HS_SHM_DOWN_MAGIC && !s->node_id &&
		   a->size_bytes >= sizeof(down)) {
		memcpy(&down, a->base, sizeof(down));
		s->node_id = down.node_id;
	}
}

int hs_salvage_scan(struct hs_salvage *s)
{
	int rc = 0;

	for (uint32_t i = 0; i < s->nr_areas; i++) {
		const struct hs_salvage_area *a = &s->areas[i];

		take_node(s, a);
		if (magic_of(a) == HS_LEDGER_DOMAIN_MAGIC && ledger_of(a))
			s->nr_ledgers++;
		else if (magic_of(a) == HS_LEDGER_DOMAIN_MAGIC)
			s->nr_ledgers_odd++;
	}
	for (uint32_t i = 0; i < s->nr_areas && !rc; i++) {
		const struct hs_salvage_area *a = &s->areas[i];
		const struct hs_ledger_domain *l;

		if (!is_pool(a))
			continue;
		s->nr_pools++;
		l = find_ledger(s, a);
		rc = l ? scan_ledger(s, a, l) : scan_headers(s, a);
	}
	if (s->nr_buffers)
		qsort(s->buffers, s->nr_buffers, sizeof(*s->buffers),
		      by_stream);
	return rc;
}

static bool same_trace(const struct hs_salvage_buffer *a,
		       const struct hs_salvage_buffer *b)
{
	return a->trace_hi == b->trace_hi && a->trace_lo == b->trace_lo;
}

/* Whether @b, behind @a in the same trace, goes on where @a ended. */
static bool follows(const struct hs_salvage_buffer *a,
		    const struct hs_salvage_buffer *b)
{
	if (a->process == b->process && a->handle == b->handle)
		return b->seq == a->seq + 1;
	return b->seq == 0;
}

static void look(const struct hs_salvage_buffer *buffers, size_t nr,
		 struct hs_salvage_trace *out)
{
	out->gaps = buffers[0].seq != 0;
	for (size_t i = 0; i < nr; i++) {
		out->nr_bytes += buffers[i].size_bytes;
		out->lost |= buffers[i].flags & HS_WIRE_F_LOST;
		out->open |= buffers[i].open;
		out->hinted |= buffers[i].hinted;
		out->gaps |= buffers[i].cut;
		if (i)
			out->gaps |= !follows(&buffers[i - 1], &buffers[i]);
	}
	out->nr_buffers = nr;
}

static int warn(struct hs_model_trace *trace, const char *text)
{
	if (!trace->nr_spans)
		return 0;
	return hs_model_span_add_warning(trace, trace->spans[0],
					 hs_model_str(text));
}

static int mark(struct hs_salvage_trace *t)
{
	int rc = 0;

	if (t->gaps)
		rc = warn(t->model, "salvaged: parts of this trace are "
				    "missing on this node");
	if (!rc && t->lost)
		rc = warn(t->model, "salvaged: parts of this trace were "
				    "dropped on this node");
	if (!rc && t->open)
		rc = warn(t->model, "salvaged: this trace was still being "
				    "written");
	if (!rc && t->hinted)
		rc = warn(t->model, "salvaged: no ledger says what belonged "
				    "to this trace");
	return rc;
}

/* All of it into memory that nobody else writes, then the model's. */
static int decode(const struct hs_salvage *s,
		  const struct hs_salvage_buffer *buffers, size_t nr,
		  struct hs_salvage_trace *out)
{
	struct hs_record_slice *slices = calloc(nr, sizeof(*slices));
	uint8_t *copy = malloc(out->nr_bytes ? out->nr_bytes : 1);
	struct hs_record_trace_stats stats = {0};
	uint64_t at = 0;
	int rc = slices && copy ? 0 : -ENOMEM;

	for (size_t i = 0; i < nr && !rc; i++) {
		memcpy(copy + at, buffers[i].data, buffers[i].size_bytes);
		slices[i] = (struct hs_record_slice){
			.node = s->node_id,
			.process = buffers[i].process,
			.handle = buffers[i].handle,
			.seq = buffers[i].seq,
			.data = copy + at,
			.size_bytes = buffers[i].size_bytes,
		};
		at += buffers[i].size_bytes;
	}
	if (!rc)
		rc = hs_record_trace_build(slices, nr, out->model, &stats);
	free(slices);
	free(copy);
	return rc;
}

int hs_salvage_next(const struct hs_salvage *s, size_t at, size_t *next,
		    struct hs_salvage_trace *out)
{
	const struct hs_salvage_buffer *first = &s->buffers[at];
	uint64_t be[2];
	int rc = 0;

	memset(out, 0, sizeof(*out));
	for (*next = at + 1; *next < s->nr_buffers; (*next)++)
		if (!same_trace(first, &s->buffers[*next]))
			break;
	look(first, *next - at, out);
	out->model = hs_model_trace_new(NULL);
	if (!out->model)
		return -ENOMEM;
	be[0] = htobe64(first->trace_hi);
	be[1] = htobe64(first->trace_lo);
	memcpy(out->model->id, be, sizeof(be));
	out->model->resolution_ns = 1;
	if (out->nr_bytes > TRACE_MAX_BYTES)
		out->gaps = true;
	else
		rc = decode(s, first, *next - at, out);
	if (!rc)
		rc = mark(out);
	if (rc == -E2BIG) /* over a limit of the model: what fits is there */
		rc = 0;
	if (rc) {
		hs_model_trace_free(out->model);
		out->model = NULL;
	}
	return rc;
}
