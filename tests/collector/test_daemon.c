/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what comes over the network is found over HTTP; wrong questions and
 * malformed messages. argv[1] is the program.
 */
#include <dirent.h>

#include "base/turns.h"
#include "tests/base/sched_attr.h"
#include "tests/collector/daemon_rig.h"

const char *daemon_program;

static void test_a_trace_comes_and_is_found(void **state)
{
	struct rig *r = *state;
	json_t *json;

	for (uint64_t t = 1; t <= 4; t++)
		two_node_trace(r, t);
	assert_int_equal(r->coordinator.last.epoch, 5);
	assert_int_equal(r->coordinator.last.version, 3);
	for (uint64_t t = 1; t <= 4; t++)
		check_whole(r, t);
	assert_int_equal(count(r, ""), 4);
	/* What its spans add up to follows when the disk leaves time. */
	UNTIL(r, count(r, "service=back") == 4);
	assert_int_equal(count(r, "service=none"), 0);
	assert_int_equal(count(r, "trigger=slow"), 2);
	assert_int_equal(count(r, "error=true"), 2);
	assert_int_equal(count(r, "mark=complete&limit=3"), 3);
	assert_int_equal(count(r, "mark=partial"), 0);
	assert_int_equal(count(r, "min_duration=6ms"), 0);
	assert_int_equal(count(r, "max_duration=5ms"), 4);
	assert_int_equal(count(r, "since=1700000000000002000"), 3);
	assert_int_equal(count(r, "until=1700000000000002000"), 1);
	json = trace_json(r, 1, "jaeger");
	assert_int_equal(json_array_size(json_object_get(json, "data")), 1);
	json_decref(json);
	json = trace_json(r, 1, "otlp");
	assert_int_equal(
		json_array_size(json_object_get(json, "resourceSpans")), 2);
	json_decref(json);
	json = trace_json(r, 1, "perfetto");
	assert_true(json_array_size(json_object_get(json, "traceEvents")) > 2);
	json_decref(json);
}

/* Whoever shares its cores waits for none of its threads for long. */
static void test_its_threads_have_short_turns(void **state)
{
	const struct rig *r = *state;
	int nr = 0;
	char path[64];
	struct dirent *e;
	DIR *d;

	if (!has_slices())
		skip();
	snprintf(path, sizeof(path), "/proc/%d/task", (int)r->pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		struct attr t;

		if (e->d_name[0] == '.')
			continue;
		assert_int_equal(attr_of(atoi(e->d_name), &t), 0);
		assert_int_equal(t.runtime_ns, HS_TURNS_SHORT_NS);
		nr++;
	}
	closedir(d);
	assert_true(nr >= 3); /* the disk's, and who packs, among them */
}

static void refused(struct rig *r, const char *path, int status,
		    const char *part)
{
	json_t *json;

	assert_int_equal(get(r, "GET", path, &json), status);
	assert_non_null(strstr(text(json, "error"), part));
	json_decref(json);
}

static void test_causes_name_the_node(void **state)
{
	struct rig *r = *state;
	const json_t *cause;
	json_t *json;

	make_manifest(&scratch, (struct manifest_args){.trace = 1},
		      ANSWERS({A, 1, HS_WIRE_STATE_UNKNOWN, 0, 0, 0, {0}}));
	send_scratch(&r->coordinator);
	UNTIL(r, r->coordinator.nr_manifest_acks == 1);
	json = trace_json(r, 1, NULL);
	assert_string_equal(text(json, "mark"), "partial");
	cause = json_array_get(json_object_get(json, "causes"), 0);
	assert_string_equal(text(cause, "cause"), "unknown");
	assert_string_equal(text(cause, "name"), "node-1");
	json_decref(json);
	assert_int_equal(get(r, "GET", "/v1/traces?mark=partial", &json), 200);
	cause = json_array_get(json_object_get(json, "traces"), 0);
	cause = json_array_get(json_object_get(cause, "causes"), 0);
	assert_string_equal(text(cause, "name"), "node-1");
	json_decref(json);
}

static void test_wrong_questions(void **state)
{
	struct rig *r = *state;

	refused(r, "/v1/traces?limit=0", 400, "1 to 1000000");
	refused(r, "/v1/traces?limit=-5", 400, "limit");
	refused(r, "/v1/traces?mark=whole", 400, "open, complete or partial");
	refused(r, "/v1/traces?error=maybe", 400, "true or false");
	refused(r, "/v1/traces?min_duration=fast", 400, "200ms");
	refused(r, "/v1/traces/xyz", 400, "hexadecimal");
	refused(r, "/v1/traces/0123?format=xml", 400, "perfetto");
	refused(r, "/v1/traces/0123", 404, "no trace");
}

static void test_malformed(void **state)
{
	struct rig *r = *state;
	json_t *json;

	make_slice(&scratch, (struct slice_args){.trace = 1,
						 .node = A,
						 .ship_key = 9,
						 .length_bytes = 50});
	scratch.data[sizeof(struct hs_wire_slice)] ^= 1;
	send_scratch(&r->agent);
	UNTIL(r, r->agent.nr_refused == 1);
	make_slice(&scratch, (struct slice_args){.trace = 1,
						 .node = A,
						 .ship_key = 9,
						 .length_bytes = 50});
	for (uint32_t cut = 0; cut < scratch.bytes; cut += 8) {
		struct iovec iov = {scratch.data, cut};

		assert_int_equal(hs_transport_send(r->agent.t, r->agent.peer,
						   HS_WIRE_SLICE, &iov, 1),
				 0);
	}
	two_node_trace(r, 5);
	check_whole(r, 5);
	assert_int_equal(get(r, "GET", "/v1/status", &json), 200);
	assert_true(number(json_object_get(json, "losses"),
			   "slices_malformed") > 10);
	assert_int_equal(number(json_object_get(json, "traces"), "complete"),
			 1);
	assert_string_equal(text(json_object_get(json, "store"), "disk"), "ok");
	assert_int_equal(json_array_size(json_object_get(json, "peers")), 2);
	json_decref(json);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_a_trace_comes_and_is_found),
		T(test_causes_name_the_node),
		T(test_its_threads_have_short_turns),
		T(test_wrong_questions),
		T(test_malformed),
	};

	if (argc != 3) {
		fprintf(stderr, "usage: %s HS-COLLECTOR EXAMPLE.YAML\n",
			argv[0]);
		return 2;
	}
	daemon_program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
