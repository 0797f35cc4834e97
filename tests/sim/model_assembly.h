/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_assembly.h - what a collector has to make of what it took, said a
 * second time and as plainly as possible: no limits on time or space, no
 * hashes, no lists, bytes as bits
 *
 * It is folded from messages, and from what a store keeps of them; both must
 * come to the same.
 */
#ifndef HS_TESTS_SIM_MODEL_ASSEMBLY_H
#define HS_TESTS_SIM_MODEL_ASSEMBLY_H

#include "collector/assembly.h"

#define MDL_NODES    16u
#define MDL_BUFFERS  32u
#define MDL_CRUMBS   8u
#define MDL_NEAR     60u /* bytes of a buffer that are kept one by one */
#define MDL_FAR_FROM (HS_ASSEMBLY_BUFFER_MAX_BYTES - 4u)
#define MDL_NO_END   UINT32_MAX
#define MDL_CAUSES   256u

struct mdl_buffer {
	uint32_t process, handle, seq;
	uint64_t bits; /* of the first bytes */
	bool far;      /* the last four that a buffer may have */
	uint32_t end;
};

struct mdl_node {
	uint64_t id;
	bool answered;
	uint32_t rev;
	uint16_t state, flags, slice_flags;
	uint32_t nr_buffers; /* announced */
	uint64_t nr_bytes;
	uint32_t nr_crumbs;
	struct hs_wire_crumb crumbs[MDL_CRUMBS];
	uint32_t nr_arrived;
	struct mdl_buffer arrived[MDL_BUFFERS];
};

struct mdl_trace {
	struct hs_wire_trace_id id;
	uint32_t nr_nodes, nr_triggers;
	struct mdl_node nodes[MDL_NODES];
	struct hs_wire_trigger triggers[HS_WIRE_TRIGGERS_MAX];
	bool known, settled, cut, damaged;
	uint16_t sought;
};

/* What is counted, and the limits that it is counted against. */
struct mdl {
	struct hs_assembly_limits limits;
	uint64_t latest[64]; /* incarnations that were up, by node number */
	uint64_t answers_over, triggers_over, ranges_over;
};

enum mdl_result {
	MDL_NEW,
	MDL_KNOWN, /* nothing in it is new */
	MDL_BAD,   /* not what the format says */
	MDL_OVER,  /* over a limit of the trace */
};

/* Whether payloads are what wire_format.h says, looked at byte by byte. */
bool mdl_slice_ok(const void *payload, uint32_t bytes);
bool mdl_manifest_ok(const void *payload, uint32_t bytes);

/* What such a payload changes in the trace that it names. */
enum mdl_result mdl_slice(struct mdl *m, struct mdl_trace *t,
			  const struct hs_wire_slice *s);
enum mdl_result mdl_manifest(struct mdl *m, struct mdl_trace *t,
			     const void *payload);

/* Return: how many causes there are, each once. */
uint32_t mdl_causes(const struct mdl *m, const struct mdl_trace *t,
		    struct hs_assembly_cause *out);
enum hs_assembly_mark mdl_mark(const struct mdl *m, const struct mdl_trace *t);
/* Does @node still owe something that only it could send? */
bool mdl_owes(const struct mdl_node *node);
/* Does it name an incarnation before @node that is not in the trace? */
bool mdl_names_earlier(const struct mdl_trace *t, const struct mdl_node *node,
		       uint64_t later);
bool mdl_whole(const struct mdl_buffer *b);
uint64_t mdl_held(const struct mdl_buffer *b);
/* The same for two traces whose contents are the same in any order. */
uint64_t mdl_sum(const struct mdl_trace *t);

#endif
