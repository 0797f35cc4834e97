/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal drawing, down to the character, and in bad company.
 */
#include "util.h"

#include <string.h>

#include "model/draw.h"
#include "model/tree.h"

static struct hs_model_trace *trace_new(void)
{
	struct hs_model_trace *trace = hs_model_trace_new(NULL);
	uint32_t index;

	trace->id[15] = 1;
	hs_model_resource_add(trace, hs_model_str("svc"), &index);
	return trace;
}

static struct hs_model_span *span_new(struct hs_model_trace *trace, uint32_t id,
				      uint32_t parent, int64_t start_us,
				      int64_t end_us)
{
	uint8_t bytes[8] = {[4] = (uint8_t)(id >> 24),
			    [5] = (uint8_t)(id >> 16),
			    [6] = (uint8_t)(id >> 8),
			    [7] = (uint8_t)id};
	struct hs_model_span *span;

	assert_int_equal(hs_model_span_add(trace, bytes, 0, &span), 0);
	span->name = hs_model_str("op");
	span->start_ns = start_us * 1000;
	span->duration_ns = (end_us - start_us) * 1000;
	span->has_parent = parent != 0;
	span->parent_id[4] = (uint8_t)(parent >> 24);
	span->parent_id[5] = (uint8_t)(parent >> 16);
	span->parent_id[6] = (uint8_t)(parent >> 8);
	span->parent_id[7] = (uint8_t)parent;
	return span;
}

static struct hs_model_text drawn;

static const char *draw(const struct hs_model_trace *trace,
			struct hs_model_draw_options options)
{
	hs_model_text_destroy(&drawn);
	assert_int_equal(hs_model_trace_draw(trace, &options, &drawn), 0);
	return drawn.ptr;
}

static void to_the_character(void **state)
{
	struct hs_model_trace *trace = trace_new();

	span_new(trace, 1, 0, 0, 100);
	span_new(trace, 3, 1, 50, 100)->status = HS_MODEL_STATUS_ERROR;
	span_new(trace, 2, 1, 0, 50);
	span_new(trace, 4, 2, 10, 20);
	assert_string_equal(
		draw(trace, (struct hs_model_draw_options){.width_columns = 51,
							   .ascii = true}),
		"trace 00000000000000000000000000000001  svc op\n"
		"4 spans, 1 service, 1 error, 100us, from "
		"1970-01-01T00:00:00.000000Z\n"
		"                                   0         100us\n"
		"svc op                       100us ###############\n"
		"|-svc op                    50.0us ########\n"
		"| `-svc op                  10.0us  ##\n"
		"`-! svc op                  50.0us        ########\n");
	assert_non_null(strstr(draw(trace, (struct hs_model_draw_options){0}),
			       "\xe2\x94\x94\xe2\x94\x80"));
	assert_null(strchr(drawn.ptr, '\033'));
	assert_non_null(strstr(
		draw(trace, (struct hs_model_draw_options){.colour = true}),
		"\033[31m"));
	assert_non_null(strstr(
		draw(trace, (struct hs_model_draw_options){.max_lines = 1,
							   .ascii = true}),
		"~ 3 more\n"));
	hs_model_trace_free(trace);
}

static void bad_company(void **state)
{
	struct hs_model_trace *trace = trace_new();
	struct hs_model_span *span;
	uint32_t width;

	draw(trace, (struct hs_model_draw_options){0});
	assert_non_null(strstr(drawn.ptr, "no spans"));
	span_new(trace, 1, 99, 10, 20); /* parent missing */
	span_new(trace, 2, 3, 0, 5);	/* a cycle of two */
	span_new(trace, 3, 2, 1, 4);
	span_new(trace, 4, 4, 30, 20);	    /* own parent, ends early */
	span_new(trace, 5, 1, 500, 900);    /* outside of its parent */
	span = span_new(trace, 6, 1, 0, 1); /* before its parent */
	span->name = hs_model_str("\033[2J\r\x7f\xc2\x9b\xe2\x80\xae\xffx");
	span_new(trace, 7, 0, INT64_MAX / 1000, INT64_MAX / 1000);
	for (width = 0; width < 200; width += 13)
		draw(trace,
		     (struct hs_model_draw_options){.width_columns = width});
	assert_non_null(strstr(drawn.ptr, "parent missing"));
	assert_non_null(strstr(drawn.ptr, "parent is below"));
	/* Nothing that a terminal would obey. */
	assert_null(strchr(drawn.ptr, '\033'));
	assert_null(strchr(drawn.ptr, '\r'));
	assert_null(strstr(drawn.ptr, "\xc2\x9b"));
	assert_null(strstr(drawn.ptr, "\xe2\x80\xae"));
	assert_non_null(strstr(drawn.ptr, "?[2J?????x"));
	hs_model_trace_free(trace);
}

static void deep_and_wide(void **state)
{
	struct hs_model_trace *trace = trace_new();
	struct hs_model_tree tree;
	uint32_t i, at, nr = 0;

	for (i = 1; i <= 100000; i++)
		span_new(trace, i, i - 1, i, 200000);
	assert_int_equal(hs_model_tree_init(&tree, trace), 0);
	for (at = tree.first_root; at != HS_MODEL_TREE_NONE;
	     at = hs_model_tree_next(&tree, at))
		assert_int_equal(tree.nodes[at].depth, nr++);
	assert_int_equal(nr, 100000);
	hs_model_tree_destroy(&tree);
	draw(trace, (struct hs_model_draw_options){.ascii = true});
	assert_non_null(strstr(drawn.ptr, "[99999] svc op"));
	/* Closing the chain must not hang anybody. */
	trace->spans[0]->has_parent = true;
	memcpy(trace->spans[0]->parent_id, trace->spans[99999]->id, 8);
	assert_int_equal(hs_model_tree_init(&tree, trace), 0);
	assert_int_equal(tree.nodes[0].mark, HS_MODEL_TREE_CUT);
	assert_int_equal(tree.nodes[99999].depth, 99999);
	hs_model_tree_destroy(&tree);
	hs_model_trace_free(trace);
}

static void shared_ids(void **state)
{
	struct hs_model_trace *trace = trace_new();
	struct hs_model_tree tree;

	span_new(trace, 1, 0, 0, 100)->kind = HS_MODEL_KIND_CLIENT;
	span_new(trace, 1, 0, 10, 90)->kind = HS_MODEL_KIND_SERVER;
	span_new(trace, 2, 1, 20, 80);
	assert_int_equal(hs_model_tree_init(&tree, trace), 0);
	assert_int_equal(tree.nodes[2].parent, 1);
	hs_model_tree_destroy(&tree);
	hs_model_trace_free(trace);
}

static void durations(void **state)
{
	char text[24];

	assert_string_equal(hs_model_duration_format(0, text), "0ns");
	assert_string_equal(hs_model_duration_format(999, text), "999ns");
	assert_string_equal(hs_model_duration_format(1500, text), "1.50us");
	assert_string_equal(hs_model_duration_format(12345678, text), "12.3ms");
	assert_string_equal(hs_model_duration_format(1240000000, text),
			    "1.24s");
	assert_string_equal(hs_model_duration_format(-1500, text), "-1.50us");
	hs_model_duration_format(INT64_MIN, text);
}

static int forget(void **state)
{
	hs_model_text_destroy(&drawn);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_the_character),
		cmocka_unit_test(bad_company),
		cmocka_unit_test(deep_and_wide),
		cmocka_unit_test(shared_ids),
		cmocka_unit_test(durations),
	};

	return cmocka_run_group_tests(tests, NULL, forget);
}
