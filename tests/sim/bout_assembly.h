/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_assembly.h - an assembly in the ring: its model, its store, its due
 * acknowledgements
 */
#ifndef HS_TESTS_SIM_BOUT_ASSEMBLY_H
#define HS_TESTS_SIM_BOUT_ASSEMBLY_H

#include "tests/sim/bout.h"
#include "tests/sim/model_assembly.h"

#define NR_TRACES  6u
#define NR_RECORDS 1024u
#define NR_DUES	   1024u
#define NR_STEPS   260u
#define PAYLOAD	   16384u

struct bout_record {
	uint32_t trace;
	bool is_union, rotten;
	uint32_t bytes;
	uint8_t *data; /* a slice's head, or a union */
};

struct bout_due {
	uint32_t peer, trace;
	bool manifest;
	struct hs_wire_slice slice;
	struct hs_wire_manifest_ack ack;
	uint32_t flushes; /* that had been made when it came */
};

struct bout_rig {
	struct sim *s;
	struct hs_random r;
	struct mdl m;
	struct hs_assembly *a;
	void *memory;
	bool ample, reloaded;
	bool store_fails, load_fails, change_fails, load_failed;
	struct mdl_trace traces[NR_TRACES];
	bool dirty[NR_TRACES];	/* changed since it was flushed */
	bool unsure[NR_TRACES]; /* the disk lost something of it */
	bool raised[NR_TRACES];
	bool there[NR_TRACES]; /* in memory, before the last step */
	uint64_t versions[NR_TRACES];
	uint64_t touched[NR_TRACES];
	uint64_t clock;
	struct bout_record records[NR_RECORDS];
	uint32_t nr_records, nr_synced;
	struct bout_due dues[NR_DUES];
	uint32_t nr_dues;
	uint32_t refused_acks;
	uint32_t flushes;
	bool flushed;
	uint64_t flushed_seq;
	uint32_t flushed_records;
	uint32_t flushed_number;
	uint64_t flushed_new, nr_new, nr_new_durable; /* messages */
	struct hs_assembly_stats want;
	uint64_t payload[PAYLOAD / 8];
};

#define BOUT "bout of the assembly: "

/* bout_assembly.c: its store, and what comes to it */
extern const struct hs_assembly_ops bout_assembly_ops;
uint32_t bout_trace_of(const struct bout_rig *g,
		       const struct hs_wire_trace_id *id);
void bout_fold(struct bout_rig *g, uint32_t t, uint32_t nr,
	       struct mdl_trace *out);
uint32_t bout_make_slice(struct bout_rig *g, uint32_t t);
uint32_t bout_break_slice(struct bout_rig *g, uint32_t bytes);
uint32_t bout_make_manifest(struct bout_rig *g, uint32_t t);
uint64_t bout_a_node(struct bout_rig *g);

/* bout_assembly_run.c */
void bout_assembly_sync(struct bout_rig *g);
/* bout_assembly_view.c */
bool bout_assembly_compare(struct bout_rig *g, uint32_t t);
void bout_assembly_stats(struct bout_rig *g);

#endif
