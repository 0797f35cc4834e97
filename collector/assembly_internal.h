/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assembly_internal.h - the tables of an assembly, for its own files
 *
 * Everything is an index into an array that create carved out of the caller's
 * memory; index 0 is nobody, so that zeroed memory is empty.
 */
#ifndef HS_COLLECTOR_ASSEMBLY_INTERNAL_H
#define HS_COLLECTOR_ASSEMBLY_INTERNAL_H

#include "collector/assembly.h"

#define HS_ASSEMBLY_NR_RANGES 4u
#define HS_ASSEMBLY_END_NONE  UINT32_MAX
#define HS_ASSEMBLY_NR_LATEST 16384u /* nodes; power of two */

struct hs_asm_range {
	uint32_t from;
	uint32_t to;
};

struct hs_asm_buffer {
	uint32_t next_hash;
	uint32_t next_node; /* the free list too */
	uint32_t node;
	uint32_t process;
	uint32_t handle;
	uint32_t seq;
	uint32_t end; /* bytes when whole; HS_ASSEMBLY_END_NONE */
	uint32_t nr_ranges;
	struct hs_asm_range ranges[HS_ASSEMBLY_NR_RANGES]; /* sorted, apart */
};

struct hs_asm_crumb {
	struct hs_wire_crumb crumb;
	uint32_t next;
	uint32_t reserved;
};

struct hs_asm_node {
	uint64_t id;
	uint64_t nr_bytes;
	uint64_t arrived_bytes;
	uint32_t next_hash;
	uint32_t next_trace;
	uint32_t trace;
	uint32_t rev;
	uint32_t nr_buffers;
	uint32_t nr_crumbs;
	uint32_t crumbs;
	uint32_t buffers;
	uint32_t arrived_buffers;
	uint16_t state;
	uint16_t flags;	      /* of the answer */
	uint16_t slice_flags; /* of everything that arrived */
	bool answered;
};

struct hs_asm_trigger {
	struct hs_wire_trigger trigger;
	uint32_t next;
	uint32_t reserved;
};

struct hs_asm_trace {
	struct hs_wire_trace_id id;
	uint64_t version;
	uint64_t nr_bytes;
	uint64_t seq; /* when it last changed or was loaded: durable with it */
	uint32_t next_hash;
	uint32_t lru_newer;
	uint32_t lru_older;
	uint32_t next_dirty;
	uint32_t nodes;
	uint32_t triggers;
	uint32_t nr_nodes;
	uint32_t nr_answers;
	uint32_t nr_triggers;
	uint32_t nr_buffers;
	uint32_t nr_crumbs;
	uint32_t nr_pending;
	enum hs_assembly_mark mark;
	bool used;
	bool dirty;	  /* on the dirty list */
	bool union_dirty; /* what store_union would write has changed */
	bool marked;	  /* mark is of this version */
	bool settled;
	uint16_t sought; /* of the question that says most */
	bool cut;	 /* over a limit of this collector */
	bool damaged;	 /* unreadable in the store */
};

struct hs_asm_ack {
	uint64_t seq;
	uint32_t trace;
	uint32_t peer;
	bool manifest;
	union {
		uint64_t ship_key;
		struct hs_wire_manifest_ack manifest_ack;
	} u;
};

struct hs_assembly {
	struct hs_assembly_limits limits;
	struct hs_assembly_ops ops;
	void *ctx;
	struct hs_asm_trace *traces;
	struct hs_asm_node *nodes;
	struct hs_asm_buffer *buffers;
	struct hs_asm_crumb *crumbs;
	struct hs_asm_trigger *triggers;
	struct hs_asm_ack *acks; /* a ring */
	uint32_t *trace_table;
	uint32_t *node_table;
	uint32_t *buffer_table;
	uint64_t *latest; /* incarnations that are or were up, by number */
	uint32_t trace_mask;
	uint32_t node_mask;
	uint32_t buffer_mask;
	uint32_t free_trace;
	uint32_t free_node;
	uint32_t free_buffer;
	uint32_t free_crumb;
	uint32_t free_trigger;
	uint32_t nr_free_nodes;
	uint32_t nr_free_buffers;
	uint32_t nr_free_crumbs;
	uint32_t nr_free_triggers;
	uint32_t newest;
	uint32_t oldest;
	uint32_t dirty;
	uint32_t keep; /* trace at work: not to be dropped */
	uint32_t ack_head;
	uint32_t nr_acks;
	uint64_t seq;
	uint64_t durable;
	uint8_t *blob;
	size_t blob_bytes;
	struct hs_assembly_stats stats;
};

/* In front of the manifest within a stored union. */
struct hs_asm_union {
	uint32_t format; /* 1 */
	uint32_t cut;
	uint64_t version;
	uint32_t manifest_bytes; /* 0: no coordinator spoke yet */
	uint32_t reserved;
};

/* assembly_table.c */
uint32_t hs_asm_trace_find(struct hs_assembly *a,
			   const struct hs_wire_trace_id *id);
int hs_asm_trace_get(struct hs_assembly *a, const struct hs_wire_trace_id *id,
		     bool make, uint32_t *out);
void hs_asm_trace_drop(struct hs_assembly *a, uint32_t t);
uint32_t hs_asm_node_find(const struct hs_assembly *a, uint32_t t,
			  uint64_t node);
bool hs_asm_node_later(const struct hs_assembly *a, uint32_t t, uint64_t node);
bool hs_asm_node_past(const struct hs_assembly *a, uint64_t node);
uint32_t hs_asm_node_add(struct hs_assembly *a, uint32_t t, uint64_t node);
uint32_t hs_asm_buffer_find(const struct hs_assembly *a, uint32_t n,
			    const struct hs_wire_slice *s);
uint32_t hs_asm_buffer_add(struct hs_assembly *a, uint32_t n,
			   const struct hs_wire_slice *s);
void hs_asm_crumbs_free(struct hs_assembly *a, uint32_t n);
bool hs_asm_reserve(struct hs_assembly *a, uint32_t nr_nodes,
		    uint32_t nr_buffers, uint32_t nr_crumbs,
		    uint32_t nr_triggers);
void hs_asm_change(struct hs_assembly *a, uint32_t t, bool of_union);

/* assembly_slice.c */
int hs_asm_slice(struct hs_assembly *a, uint32_t peer, const void *payload,
		 uint32_t payload_bytes);
/* assembly_manifest.c */
int hs_asm_manifest(struct hs_assembly *a, uint32_t peer, const void *payload,
		    uint32_t payload_bytes);
uint32_t hs_asm_union_write(struct hs_assembly *a, uint32_t t);
/* assembly.c */
bool hs_asm_ack_room(const struct hs_assembly *a);
void hs_asm_ack_put(struct hs_assembly *a, const struct hs_asm_ack *ack);
/* assembly_mark.c */
void hs_asm_mark(struct hs_assembly *a, uint32_t t);

#endif
