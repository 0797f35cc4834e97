/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: kill -9, a full disk, an orderly end, the configuration.
 * argv[1] is the program, argv[2] the example of its configuration.
 */
#include "base/random.h"
#include "tests/collector/daemon_rig.h"

#include <sys/resource.h>

const char *daemon_program;
static const char *example;

static void test_kill_and_start_again(void **state)
{
	struct rig *r = *state;
	json_t *json;
	json_int_t version;
	uint32_t acks;

	two_node_trace(r, 1);
	json = trace_json(r, 1, NULL);
	version = number(json, "version");
	json_decref(json);
	daemon_end(r, SIGKILL);
	UNTIL(r, !r->agent.up);
	daemon_start(r);
	UNTIL(r, r->agent.up && r->coordinator.up);
	check_whole(r, 1);
	/* What was acknowledged and comes again is known, and answered. */
	acks = r->agent.nr_acks;
	ship(r, 1, A, "front", 1, false);
	UNTIL(r, r->agent.nr_acks == acks + 1);
	json = trace_json(r, 1, NULL);
	assert_int_equal(number(json, "version"), version);
	json_decref(json);
	/* Late data of a trace that was complete. */
	ship(r, 1, B, "later", 3, true);
	UNTIL(r, r->agent.nr_acks == acks + 2);
	json = trace_json(r, 1, NULL);
	assert_int_equal(number(json, "version"), version + 1);
	assert_int_equal(number(json, "spans"), 3);
	assert_string_equal(text(json, "mark"), "complete");
	json_decref(json);
	make_manifest(&scratch, (struct manifest_args){.trace = 1, .epoch = 6},
		      ANSWERS({B,
			       2,
			       HS_WIRE_STATE_CLOSED,
			       HS_WIRE_F_CRASHED,
			       2,
			       10,
			       {A}}));
	send_scratch(&r->coordinator);
	UNTIL(r, r->coordinator.last.epoch == 6);
	json = trace_json(r, 1, NULL);
	assert_string_equal(text(json, "mark"), "partial");
	assert_string_equal(
		text(json_array_get(json_object_get(json, "causes"), 0),
		     "cause"),
		"application died");
	assert_string_equal(
		text(json_array_get(json_object_get(json, "causes"), 0),
		     "node"),
		"0000000200000001");
	json_decref(json);
	assert_int_equal(count(r, "mark=partial"), 1);
}

/* Whatever was acknowledged before the kill is there after it. */
static void test_kill_under_load(void **state)
{
	struct rig *r = *state;

	for (uint32_t round = 0; round < 3; round++) {
		uint32_t before = r->agent.nr_acks;
		uint32_t sent = 0;
		uint64_t first = 100 + round * 1000;

		while (sent < 400 && r->agent.nr_acks < before + 100) {
			ship(r, first + sent, A, "front", first + sent, false);
			hs_transport_poll(r->agent.t, sent % 20 ? 0 : 1);
			sent++;
		}
		UNTIL(r, r->agent.nr_acks > before + 20);
		daemon_end(r, SIGKILL);
		UNTIL(r, !r->agent.up && !r->coordinator.up);
		daemon_start(r);
		UNTIL(r, r->agent.up && r->coordinator.up);
		for (uint32_t i = before; i < r->agent.nr_acks; i++) {
			json_t *json = trace_json(r, r->agent.acked[i], NULL);

			assert_int_equal(number(json, "spans"), 1);
			json_decref(json);
		}
	}
}

static bool disk_is(struct rig *r, const char *state)
{
	json_t *json;
	bool same;

	assert_int_equal(get(r, "GET", "/v1/status", &json), 200);
	same = !strcmp(text(json_object_get(json, "store"), "disk"), state);
	json_decref(json);
	return same;
}

/* Segment and index alike cannot grow for a while. */
static void test_a_full_disk_holds_acks_back(void **state)
{
	struct rig *r = *state;
	struct rlimit limit;
	struct rlimit small;

	two_node_trace(r, 1);
	assert_int_equal(prlimit(r->pid, RLIMIT_FSIZE, NULL, &limit), 0);
	small = limit;
	small.rlim_cur = 100;
	assert_int_equal(prlimit(r->pid, RLIMIT_FSIZE, &small, NULL), 0);
	for (uint64_t t = 2; t < 40; t++)
		ship(r, t, A, "front", t, false);
	UNTIL(r, disk_is(r, "full"));
	assert_int_equal(r->agent.nr_acks, 2);
	check_whole(r, 1);
	assert_int_equal(prlimit(r->pid, RLIMIT_FSIZE, &limit, NULL), 0);
	UNTIL(r, r->agent.nr_acks == 2 + 38);
	assert_true(disk_is(r, "ok"));
	daemon_end(r, SIGKILL);
	daemon_start(r);
	assert_int_equal(count(r, ""), 39);
}

/* Bytes that no compression makes less of. */
static void ship_noise(struct rig *r, uint64_t trace)
{
	static uint8_t noise[30000];
	struct hs_random random;

	hs_random_seed(&random, trace);
	hs_random_fill(&random, noise, sizeof(noise));
	make_slice(&scratch, (struct slice_args){.trace = trace,
						 .node = A,
						 .ship_key = trace,
						 .process = 1,
						 .handle = 1,
						 .length_bytes = sizeof(noise),
						 .final = 1,
						 .data = noise});
	send_scratch(&r->agent);
	for (int i = 0; i < 2; i++)
		hs_transport_poll(r->agent.t, 1);
}

/*
 * A slice that could not be kept ends its connection: a later one would count
 * in its place, and the trace be called whole without it.
 */
static void test_what_is_not_kept_cuts_off(void **state)
{
	struct rig *r = *state;
	struct rlimit limit;
	struct rlimit small;
	uint64_t nr = 100;

	two_node_trace(r, 1);
	assert_int_equal(prlimit(r->pid, RLIMIT_FSIZE, NULL, &limit), 0);
	small = limit;
	small.rlim_cur = 100;
	assert_int_equal(prlimit(r->pid, RLIMIT_FSIZE, &small, NULL), 0);
	while (r->agent.up && nr < 2000)
		ship_noise(r, nr++);
	UNTIL(r, !r->agent.up);
	assert_int_equal(r->agent.nr_acks, 2);
	assert_true(disk_is(r, "full"));
	assert_int_equal(prlimit(r->pid, RLIMIT_FSIZE, &limit, NULL), 0);
	check_whole(r, 1);
}

static void test_it_ends_when_asked(void **state)
{
	struct rig *r = *state;

	two_node_trace(r, 1);
	assert_int_equal(get(r, "POST", "/v1/stop", NULL), 200);
	assert_int_equal(daemon_end(r, 0), 0);
	assert_int_equal(access(r->socket, F_OK), -1);
	daemon_start(r);
	check_whole(r, 1);
	assert_int_equal(daemon_end(r, SIGTERM), 0);
}

static int run(const char *command, char *out, size_t out_bytes)
{
	/* NOLINTNEXTLINE(cert-env33-c): a line that stands in this file */
	FILE *p = popen(command, "r");
	size_t n;
	int status;

	assert_non_null(p);
	n = fread(out, 1, out_bytes - 1, p);
	out[n] = '\0';
	status = pclose(p);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_configuration(void **state)
{
	struct rig *r = *state;
	static char printed[65536];
	static char kept[65536];
	char command[700];
	FILE *f = fopen(example, "r");

	assert_non_null(f);
	kept[fread(kept, 1, sizeof(kept) - 1, f)] = '\0';
	fclose(f);
	snprintf(command, sizeof(command), "%s --print-config", daemon_program);
	assert_int_equal(run(command, printed, sizeof(printed)), 0);
	assert_string_equal(printed, kept);
	snprintf(command, sizeof(command), "%s --check-config --config %s 2>&1",
		 daemon_program, example);
	assert_int_equal(run(command, printed, sizeof(printed)), 0);
	config_write(r, "sotre: /tmp\n");
	snprintf(command, sizeof(command), "%s --config %s 2>&1",
		 daemon_program, r->config);
	assert_int_equal(run(command, printed, sizeof(printed)), 2);
	assert_non_null(strstr(printed, "c.yaml:6"));
	assert_non_null(strstr(printed, "store"));
	/* Two of them on one store. */
	config_write(r, "log: error\n");
	assert_int_equal(run(command, printed, sizeof(printed)), 1);
	assert_non_null(strstr(printed, "another collector"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_kill_and_start_again),
		T(test_kill_under_load),
		T(test_a_full_disk_holds_acks_back),
		T(test_what_is_not_kept_cuts_off),
		T(test_it_ends_when_asked),
		T(test_configuration),
	};

	if (argc != 3) {
		fprintf(stderr, "usage: %s HS-COLLECTOR EXAMPLE.YAML\n",
			argv[0]);
		return 2;
	}
	daemon_program = argv[1];
	example = argv[2];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
