/* SPDX-License-Identifier: Apache-2.0 */
/*
 * story.c - a timeline of messages and changes of state, for people: as text,
 * and as a file that ui.perfetto.dev opens
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "rdma/wire.h"
#include "tests/sim/sim.h"

const char *sim_type_name(uint16_t type)
{
	return hs_wire_type_name(type);
}

void sim_story(struct sim *s, uint32_t ep, const char *format, ...)
{
	char text[512], name[16];
	va_list ap;

	if (!s->text && !s->perfetto)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	sim_ep_name(s, ep, name);
	if (s->text)
		fprintf(s->text, "%12.6f  %-7s %s\n",
			(double)(s->now_ns - SIM_S) / 1e9, name, text);
	if (s->perfetto)
		fprintf(s->perfetto,
			"{\"name\":\"%s\",\"ph\":\"i\",\"s\":\"t\",\"pid\":1,"
			"\"tid\":%u,\"ts\":%.3f},\n",
			text, ep, (double)s->now_ns / 1e3);
}

void sim_story_open(struct sim *s, const char *path)
{
	uint32_t n = s->p.nr_nodes + s->p.nr_coords + s->p.nr_colls;
	char file[512], name[16];

	snprintf(file, sizeof(file), "%s.txt", path);
	s->text = fopen(file, "w");
	snprintf(file, sizeof(file), "%s.json", path);
	s->perfetto = fopen(file, "w");
	if (!s->perfetto)
		return;
	fprintf(s->perfetto, "{\"traceEvents\":[\n");
	for (uint32_t i = 0; i < n; i++) {
		sim_ep_name(s, i, name);
		fprintf(s->perfetto,
			"{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,"
			"\"tid\":%u,\"args\":{\"name\":\"%s\"}},\n",
			i, name);
	}
}

void sim_story_close(struct sim *s)
{
	if (s->text)
		fclose(s->text);
	if (s->perfetto) {
		fprintf(s->perfetto,
			"{\"name\":\"end\",\"ph\":\"i\",\"s\":"
			"\"g\",\"pid\":1,\"tid\":0,\"ts\":%.3f}"
			"]}\n",
			(double)s->now_ns / 1e3);
		fclose(s->perfetto);
	}
	s->text = s->perfetto = NULL;
}

static int put_trace(const struct sim *s, char *out, size_t room,
		     const struct hs_wire_trace_id *id)
{
	uint32_t t = ora_trace_find(s, id);

	if (t == UINT32_MAX)
		return snprintf(out, room, " trace ?%08x", (uint32_t)id->lo);
	return snprintf(out, room, " trace %u", t);
}

static size_t put_answers(const struct sim *s, struct hs_wire_reader *r,
			  uint32_t nr, char *out, size_t room)
{
	static const char *const states[] = {"unreachable", "gone", "unknown",
					     "open", "closed"};
	size_t used = 0;

	for (uint32_t i = 0; i < nr && used + 160 < room; i++) {
		const struct hs_wire_crumb *crumbs;
		const struct hs_wire_answer *a =
			hs_wire_take_answer(r, &crumbs);

		if (!a)
			break;
		used += (size_t)put_trace(s, out + used, room - used,
					  &a->trace);
		used += (size_t)snprintf(
			out + used, room - used,
			"@%u.%u rev %u %s flags %x %u buffers crumbs[",
			(uint32_t)(a->node >> 32), (uint32_t)a->node, a->rev,
			states[a->state <= 4 ? a->state : 0], a->flags,
			a->nr_buffers);
		for (uint32_t k = 0; k < a->nr_crumbs && used + 32 < room; k++)
			used += (size_t)snprintf(
				out + used, room - used, "%u.%u ",
				(uint32_t)(crumbs[k].node >> 32),
				(uint32_t)crumbs[k].node);
		used += (size_t)snprintf(out + used, room - used, "];");
	}
	return used;
}

static void details(const struct sim *s, const struct sim_message *m, char *out,
		    size_t room)
{
	struct hs_wire_reader r = hs_wire_reader_make(m->payload, m->bytes);
	const struct hs_wire_trigger *triggers;
	const struct hs_wire_group *g;
	const struct hs_wire_manifest *f;
	const struct hs_wire_slice *sl = (const void *)m->payload;

	out[0] = 0;
	switch (m->type) {
	case HS_WIRE_TRIGGER:
	case HS_WIRE_CRUMBS:
	case HS_WIRE_UPDATE:
		g = hs_wire_take_group(&r);
		if (g)
			put_answers(s, &r, g->nr, out, room);
		break;
	case HS_WIRE_COLLECT:
		g = hs_wire_take_group(&r);
		if (g)
			put_trace(s, out, room, (const void *)(g + 1));
		break;
	case HS_WIRE_MANIFEST:
		f = hs_wire_take_manifest(&r, &triggers);
		if (f)
			put_answers(s, &r, f->nr_answers, out, room);
		break;
	case HS_WIRE_SLICE:
		put_trace(s, out, room, &sl->trace);
		snprintf(out + strlen(out), room - strlen(out),
			 " process %u handle %u seq %u [%u, %u)%s", sl->process,
			 sl->handle, sl->seq, sl->offset,
			 sl->offset + sl->length_bytes,
			 sl->final ? " final" : "");
		break;
	default:
		break;
	}
}

void sim_story_message(struct sim *s, const struct sim_message *m, bool sent)
{
	char text[1200], from[16], to[16];

	sim_ep_name(s, m->from, from);
	sim_ep_name(s, m->to, to);
	details(s, m, text, sizeof(text));
	if (s->text)
		fprintf(s->text, "%12.6f  %-7s %s %s %-12s #%" PRIu64 "%s\n",
			(double)(s->now_ns - SIM_S) / 1e9, sent ? from : to,
			sent ? "->" : "<-", sent ? to : from,
			sim_type_name(m->type), m->flow, sent ? text : "");
	if (s->perfetto)
		fprintf(s->perfetto,
			"{\"name\":\"%s\",\"ph\":\"X\",\"dur\":1,\"pid\":1,"
			"\"tid\":%u,\"ts\":%.3f,\"args\":{\"what\":\"%s\"}},\n"
			"{\"name\":\"m\",\"cat\":\"m\",\"ph\":\"%s\",\"bp\":"
			"\"e\",\"id\":%" PRIu64 ",\"pid\":1,\"tid\":%u,\"ts\":"
			"%.3f},\n",
			sim_type_name(m->type), sent ? m->from : m->to,
			(double)s->now_ns / 1e3, text, sent ? "s" : "f",
			m->flow, sent ? m->from : m->to,
			(double)s->now_ns / 1e3);
}
