/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see rig.h. */
#include "rig.h"

#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/client.h"

#define BYSTANDER_POINTS 12u
#define BYSTANDER_BYTES	 130u
#define TRIES		 20000u

const struct hs_wire_trace_id rig_ended = {0xb5, 1};
const struct hs_wire_trace_id rig_open = {0xb5, 2};

void rig_fill(void *data, size_t size_bytes, uint64_t seed)
{
	uint8_t *p = data;

	for (size_t i = 0; i < size_bytes; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (uint8_t)(seed >> 56);
	}
}

void rig_client_open(const char *socket, const char *service)
{
	struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = socket,
		.service = service,
		.max_traces = RIG_MAX_TRACES,
		.no_thread = true,
	};

	if (hs_client_open(&options))
		node_die("the client does not open");
}

static void points(struct hs_trace *t, uint64_t lo)
{
	uint8_t data[BYSTANDER_BYTES];

	for (uint64_t i = 0; i < BYSTANDER_POINTS; i++) {
		rig_fill(data, sizeof(data), lo << 8 | i);
		hs_tracepoint(t, data, sizeof(data));
	}
}

static void bystander(const char *socket)
{
	struct hs_trace_id ended = {rig_ended.hi, rig_ended.lo};
	struct hs_trace_id open = {rig_open.hi, rig_open.lo};
	struct hs_trace *t;

	rig_client_open(socket, "bystander");
	for (uint32_t i = 0; hs_client_poll() && i < TRIES; i++)
		usleep(100);
	/* Stock comes with the node's rounds. */
	usleep(10000);
	t = hs_trace_begin(&ended, NULL);
	points(t, ended.lo);
	hs_trace_end(t);
	points(hs_trace_begin(&open, NULL), open.lo);
	step_board->ready = 1;
	for (;;)
		pause();
}

static void bystander_start(struct rig *r)
{
	r->bystander = step_clone();
	if (r->bystander == 0)
		bystander(node_socket(&r->n, 0));
	for (uint32_t i = 0; !step_board->ready; i++) {
		if (i == TRIES)
			node_die("the bystander does not get ready");
		node_serve(&r->n);
		node_round(&r->n);
		usleep(100);
	}
}

static void client_start(struct rig *r)
{
	struct hs_attachment *at;

	rig_client_open(node_socket(&r->n, 0), "victim");
	for (uint32_t i = 0; hs_client_poll(); i++) {
		if (i == TRIES)
			node_die("the client does not attach");
		node_serve(&r->n);
	}
	node_round(&r->n);
	/* What a tick is worth is in its memory by now. */
	hs_client_poll();
	step_keep_client(RIG_MAX_TRACES);
	r->client = node_guest(&r->n, getpid());
	at = hs_client_attachment();
	if (!r->client || !at)
		node_die("the client is not known to the node");
	step_add(&r->clients, at->up, at->up_bytes);
	step_add(&r->clients, at->pools[0], at->pool_bytes);
}

void *rig_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		node_die("no memory");
	return p;
}

static void node_start(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	/* Large memory comes zeroed from the kernel, not byte by byte. */
	mallopt(M_MMAP_THRESHOLD, 65536);
	step_init();
	node_make(&r->n);
	bystander_start(r);
}

static void agents_add(struct rig *r)
{
	step_add(&r->agents, r->n.w.node_ledger.base,
		 r->n.w.node_ledger.size_bytes);
	for (uint32_t d = 0; d < NODE_DOMAINS; d++)
		if (r->n.w.tenants[d])
			step_add(&r->agents, r->n.w.tenants[d]->ledger.base,
				 r->n.w.tenants[d]->ledger.size_bytes);
	for (uint32_t i = 0; i < r->n.w.nr_guests; i++)
		if (r->n.w.guests[i])
			step_add(&r->agents, r->n.w.guests[i]->down.base,
				 r->n.w.guests[i]->down.size_bytes);
	step_save(&r->agents);
}

void rig_make_node(struct rig *r)
{
	node_start(r);
	agents_add(r);
}

void rig_make(struct rig *r)
{
	node_start(r);
	client_start(r);
	agents_add(r);
	step_save(&r->clients);
}

void rig_free(struct rig *r)
{
	kill(r->bystander, SIGKILL);
	step_wait(r->bystander);
	for (uint32_t d = 0; d < NODE_DOMAINS; d++)
		unlink(node_socket(&r->n, d));
	rmdir(r->n.dir);
}

static void points_check(const struct node *n, struct hs_wire_trace_id id)
{
	static struct records got;
	uint8_t data[BYSTANDER_BYTES];

	records_read(n, id, &got);
	if (got.nr != BYSTANDER_POINTS)
		node_die("the bystander's trace %llu has %u of %u records",
			 (unsigned long long)id.lo, got.nr, BYSTANDER_POINTS);
	for (uint64_t i = 0; i < BYSTANDER_POINTS; i++) {
		rig_fill(data, sizeof(data), id.lo << 8 | i);
		if (got.hash[i] != records_point(data, sizeof(data)))
			node_die("the bystander's record %llu has changed",
				 (unsigned long long)i);
	}
}

void rig_bystander_check(struct node *n, bool buried)
{
	struct hs_wire_trace_id id = buried ? rig_open : rig_ended;
	const struct node_answer *a;

	node_fire(n, &id, 1);
	a = node_answer(n, id);
	if (a->state != HS_WIRE_STATE_CLOSED ||
	    a->flags != (buried ? HS_WIRE_F_CRASHED : 0))
		node_die("the bystander's trace %llu: state %u flags %#x",
			 (unsigned long long)id.lo, a->state, a->flags);
	points_check(n, id);
}
