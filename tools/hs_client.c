/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs-client - an application under remote control, for trying things and for
 * tests: commands on standard input, one answer a line on standard output.
 *
 *   open SOCKET [SERVICE]      attach [SECONDS]        (wait for the agent)
 *   begin H [ID] [CTX]         end H                   (H: a name for it)
 *   span H NAME [PARENT]       finish H ID             (prints the span's id)
 *   attr H ID KEY VALUE        event H ID NAME
 *   error H ID                 tracepoint H TEXT
 *   inject H [ID]              (prints a context as hex)
 *   reply H                    (prints a reply's context as hex)
 *   replied H CTX              forward H NODE
 *   trigger NAME ID [ID...]    node                    (prints this node's)
 *   fill H BYTES               stats
 *   fork SCRIPT                (a child runs "SCRIPT", ';' between commands)
 *   closefrom FD               exec PROGRAM...
 *   close                      crash                   (SIGKILL to itself)
 *   sleep MS                   echo TEXT               quit
 *
 * Every answer begins with "ok" or "error". Nothing here is a promise to
 * anybody; scripts/tests beside this version may rely on it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "hs/hindsight.h"

#define HANDLES_MAX 64
#define SPANS_MAX   256
#define WORDS_MAX   40
#define LINE_MAX    8192

struct handle {
	char name[32];
	struct hs_trace *trace;
	struct hs_trace_id id;
	struct hs_span spans[SPANS_MAX];
	uint32_t nr_spans;
};

static struct handle handles[HANDLES_MAX];
static bool quit;

static void run_line(char *line);

static struct handle *find(const char *name)
{
	uint32_t i;

	for (i = 0; i < HANDLES_MAX; i++) {
		if (handles[i].name[0] && !strcmp(handles[i].name, name))
			return &handles[i];
	}
	return NULL;
}

static struct handle *need(const char *name)
{
	struct handle *h = find(name);

	if (!h)
		printf("error no handle %s\n", name);
	return h;
}

static struct hs_span *need_span(struct handle *h, const char *text)
{
	uint64_t id = strtoull(text, NULL, 16);
	uint32_t i;

	for (i = 0; h && i < h->nr_spans; i++) {
		if (h->spans[i].id == id)
			return &h->spans[i];
	}
	if (h)
		printf("error no span %s\n", text);
	return NULL;
}

static void ok(void)
{
	puts("ok");
}

static void say(bool good)
{
	puts(good ? "ok" : "error");
}

static int parse_id(const char *text, struct hs_trace_id *id)
{
	return hs_hex_u128_parse(text, strlen(text), &id->hi, &id->lo);
}

static void print_context(const struct hs_context *context)
{
	uint8_t bytes[HS_CONTEXT_FULL_BYTES];
	char text[2 * HS_CONTEXT_FULL_BYTES + 1] = "";
	size_t size = hs_context_encode_full(context, bytes);

	hs_hex_encode(text, bytes, size);
	printf("ok %s\n", text);
}

static int parse_context(const char *text, struct hs_context *context)
{
	uint8_t bytes[HS_CONTEXT_FULL_BYTES];
	size_t len = strlen(text);

	if (len > 2 * sizeof(bytes) || len % 2 ||
	    hs_hex_decode(bytes, len / 2, text, len))
		return -EINVAL;
	return hs_context_decode(bytes, len / 2, context);
}

static void do_open(int nr, char **words)
{
	struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = words[1],
		.service = nr > 2 ? words[2] : "hs-client",
	};

	say(!hs_client_open(&options));
}

static void do_close(int nr, char **words)
{
	hs_client_close();
	ok();
}

static void do_attach(int nr, char **words)
{
	double seconds = nr > 1 ? strtod(words[1], NULL) : 10;
	uint64_t end_ns = hs_clock_mono_ns() + (uint64_t)(seconds * 1e9);
	const struct timespec wait = {.tv_nsec = 5000000};

	while (!hs_client_attached() && hs_clock_mono_ns() < end_ns)
		nanosleep(&wait, NULL);
	say(hs_client_attached());
}

/* The second and third word may be an id, a context, or both. */
static void do_begin(int nr, char **words)
{
	struct hs_context context = {0};
	struct hs_trace_id id = {0};
	bool has_id = false, has_context = false;
	struct handle *h = NULL;
	char text[33];
	int i;

	for (i = 2; i < nr; i++) {
		if (strlen(words[i]) <= 32 && !parse_id(words[i], &id))
			has_id = true;
		else if (!parse_context(words[i], &context))
			has_context = true;
	}
	for (i = 0; i < HANDLES_MAX && !h; i++) {
		if (!handles[i].name[0])
			h = &handles[i];
	}
	if (!h || find(words[1])) {
		puts("error no free handle of that name");
		return;
	}
	memset(h, 0, sizeof(*h));
	snprintf(h->name, sizeof(h->name), "%s", words[1]);
	h->trace = hs_trace_begin(has_id ? &id : NULL,
				  has_context ? &context : NULL);
	h->id = hs_trace_id_get(h->trace);
	hs_hex_u128_encode(text, h->id.hi, h->id.lo);
	printf("ok %s\n", text);
}

static void do_end(int nr, char **words)
{
	struct handle *h = need(words[1]);

	if (!h)
		return;
	hs_trace_end(h->trace);
	h->name[0] = 0;
	ok();
}

static void do_span(int nr, char **words)
{
	struct handle *h = need(words[1]);
	struct hs_span *span;

	if (!h)
		return;
	if (h->nr_spans == SPANS_MAX) {
		puts("error too many spans");
		return;
	}
	span = &h->spans[h->nr_spans++];
	hs_span_start(h->trace, span, words[2],
		      nr > 3 ? strtoull(words[3], NULL, 16) : 0);
	printf("ok %016llx\n", (unsigned long long)span->id);
}

static void do_finish(int nr, char **words)
{
	struct hs_span *span = need_span(need(words[1]), words[2]);

	if (!span)
		return;
	hs_span_end(span);
	ok();
}

static void do_attr(int nr, char **words)
{
	struct hs_span *span = need_span(need(words[1]), words[2]);

	if (!span)
		return;
	hs_span_attr_str(span, words[3], words[4]);
	ok();
}

static void do_event(int nr, char **words)
{
	struct hs_span *span = need_span(need(words[1]), words[2]);

	if (!span)
		return;
	hs_span_event(span, words[3], NULL, 0);
	ok();
}

static void do_error(int nr, char **words)
{
	struct hs_span *span = need_span(need(words[1]), words[2]);

	if (!span)
		return;
	hs_span_status(span, HS_SPAN_STATUS_ERROR, nr > 3 ? words[3] : NULL);
	ok();
}

static void do_tracepoint(int nr, char **words)
{
	struct handle *h = need(words[1]);

	if (!h)
		return;
	hs_tracepoint(h->trace, words[2], strlen(words[2]));
	ok();
}

/* Raw bytes, a kilobyte at a time, so that buffers fill and move on. */
static void do_fill(int nr, char **words)
{
	struct handle *h = need(words[1]);
	size_t left = strtoul(words[2], NULL, 10);
	char block[1024];

	if (!h)
		return;
	memset(block, 'x', sizeof(block));
	while (left) {
		size_t n = left < sizeof(block) ? left : sizeof(block);

		hs_tracepoint(h->trace, block, n);
		left -= n;
	}
	ok();
}

static void do_inject(int nr, char **words)
{
	struct handle *h = need(words[1]);
	struct hs_context context;

	if (!h)
		return;
	hs_context_inject(h->trace, nr > 2 ? strtoull(words[2], NULL, 16) : 0,
			  &context);
	print_context(&context);
}

static void do_reply(int nr, char **words)
{
	struct handle *h = need(words[1]);
	struct hs_context context;

	if (!h)
		return;
	hs_context_reply_inject(h->trace, &context);
	print_context(&context);
}

static void do_replied(int nr, char **words)
{
	struct handle *h = need(words[1]);
	struct hs_context context;

	if (!h)
		return;
	if (parse_context(words[2], &context)) {
		puts("error no context");
		return;
	}
	hs_context_reply_extract(h->trace, &context);
	ok();
}

static void do_forward(int nr, char **words)
{
	struct handle *h = need(words[1]);

	if (!h)
		return;
	hs_context_forward(h->trace, strtoull(words[2], NULL, 16));
	ok();
}

static void do_trigger(int nr, char **words)
{
	struct hs_trigger *trigger = hs_trigger_define(words[1]);
	struct hs_trace_id ids[WORDS_MAX];
	size_t nr_ids = 0;
	int i;

	for (i = 2; i < nr; i++) {
		if (parse_id(words[i], &ids[nr_ids++])) {
			puts("error no trace id");
			return;
		}
	}
	say(trigger && hs_trigger_fire(trigger, &ids[0], ids + 1, nr_ids - 1));
}

static void do_node(int nr, char **words)
{
	printf("ok %016llx\n", (unsigned long long)hs_client_node());
}

static void do_stats(int nr, char **words)
{
	struct hs_client_stats s;

	hs_client_stats_get(&s);
	printf("ok buffers_null=%llu entries_lost=%llu handles_lost=%llu "
	       "calls_nested=%llu calls_stale=%llu values_cut=%llu "
	       "triggers_limited=%llu attachments=%llu\n",
	       (unsigned long long)s.buffers_null,
	       (unsigned long long)s.entries_lost,
	       (unsigned long long)s.handles_lost,
	       (unsigned long long)s.calls_nested,
	       (unsigned long long)s.calls_stale,
	       (unsigned long long)s.values_cut,
	       (unsigned long long)s.triggers_limited,
	       (unsigned long long)s.attachments);
}

/* The child's answers come before the parent's own "ok". */
static void do_fork(int nr, char **words)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		char *rest = words[1], *line;

		while ((line = strsep(&rest, ";")))
			run_line(line);
		fflush(stdout);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	printf("%s %d\n", pid > 0 ? "ok" : "error", status);
}

static void do_closefrom(int nr, char **words)
{
	closefrom((int)strtol(words[1], NULL, 10));
	ok();
}

static void do_exec(int nr, char **words)
{
	fflush(stdout);
	words[nr] = NULL;
	execvp(words[1], words + 1);
	printf("error %s\n", strerror(errno));
}

static void do_crash(int nr, char **words)
{
	raise(SIGKILL);
}

static void do_sleep(int nr, char **words)
{
	long ms = strtol(words[1], NULL, 10);
	const struct timespec wait = {.tv_sec = ms / 1000,
				      .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&wait, NULL);
	ok();
}

static void do_echo(int nr, char **words)
{
	printf("ok %s\n", words[1]);
}

static void do_quit(int nr, char **words)
{
	quit = true;
	ok();
}

struct command {
	const char *name;
	int nr_words; /* at least, its name included */
	void (*run)(int nr, char **words);
};

static const struct command commands[] = {
	{"open", 2, do_open},
	{"close", 1, do_close},
	{"attach", 1, do_attach},
	{"begin", 2, do_begin},
	{"end", 2, do_end},
	{"span", 3, do_span},
	{"finish", 3, do_finish},
	{"attr", 5, do_attr},
	{"event", 4, do_event},
	{"error", 3, do_error},
	{"tracepoint", 3, do_tracepoint},
	{"fill", 3, do_fill},
	{"inject", 2, do_inject},
	{"reply", 2, do_reply},
	{"replied", 3, do_replied},
	{"forward", 3, do_forward},
	{"trigger", 3, do_trigger},
	{"node", 1, do_node},
	{"stats", 1, do_stats},
	{"fork", 2, do_fork},
	{"closefrom", 2, do_closefrom},
	{"exec", 2, do_exec},
	{"crash", 1, do_crash},
	{"sleep", 2, do_sleep},
	{"echo", 2, do_echo},
	{"quit", 1, do_quit},
};

/* "fork" takes the rest of its line as one word. */
static int split(char *line, char **words)
{
	char *word, *rest = line;
	int nr = 0;

	while (nr < WORDS_MAX && (word = strsep(&rest, " \t\r\n"))) {
		if (!*word)
			continue;
		words[nr++] = word;
		if (nr == 1 && !strcmp(word, "fork") && rest && *rest) {
			words[nr++] = rest;
			break;
		}
	}
	return nr;
}

static void run_line(char *line)
{
	char *words[WORDS_MAX + 1];
	int nr = split(line, words);
	size_t i;

	if (!nr || words[0][0] == '#')
		return;
	for (i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(words[0], commands[i].name) != 0)
			continue;
		if (nr < commands[i].nr_words)
			printf("error %s wants %d words\n", words[0],
			       commands[i].nr_words);
		else
			commands[i].run(nr, words);
		fflush(stdout);
		return;
	}
	printf("error no command %s\n", words[0]);
	fflush(stdout);
}

int main(void)
{
	char line[LINE_MAX];

	while (!quit && fgets(line, sizeof(line), stdin))
		run_line(line);
	return 0;
}
