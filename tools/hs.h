/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs - what its subcommands share: where the daemons are, and how to answer.
 *
 * Exit codes are an interface: scripts rely on them.
 */
#ifndef HS_TOOLS_HS_H
#define HS_TOOLS_HS_H

#include "base/args.h"
#include "tools/fabric.h"
#include "tools/store.h"

enum hs_exit {
	HS_EXIT_OK = 0,
	HS_EXIT_NOTHING = 1, /* not found, nothing matched, nothing fired */
	HS_EXIT_USAGE = 2,
	HS_EXIT_UNREACHABLE = 3,
	HS_EXIT_DAEMON = 4, /* a daemon refused, or answered nonsense */
};
#define HS_EXIT_CODES                                                          \
	"  0  done\n"                                                          \
	"  1  not found, or nothing matched\n"                                 \
	"  2  the command line is wrong\n"                                     \
	"  3  a daemon could not be reached\n"                                 \
	"  4  a daemon refused, or answered what cannot be read\n"

struct hs_where {
	const char *collector;
	const char *agent;
	const char *coordinator;
	const char *token;
	const char *fabric_dir;
	struct hs_args_list nodes; /* "name" or "name=address" */
	const char *node_items[HS_FABRIC_NODES_MAX];
	uint64_t timeout_ns;
	bool json;

	struct hs_fabric fabric; /* all the daemons, once resolved */
};

/* The options of hs_where; a subcommand's own ones come before them. */
#define HS_WHERE_OPTIONS 8
size_t hs_where_options(struct hs_where *where, struct hs_args_option *options);

/**
 * hs_where_init() - defaults: the environment, then /run/hindsight
 * hs_where_resolve() - from options to addresses
 *
 * Return: 0, -EINVAL said on stderr.
 */
void hs_where_init(struct hs_where *where);
int hs_where_resolve(struct hs_where *where);

/* A door to a daemon, as asked for by the options. */
struct hs_tools_door hs_where_door(const struct hs_where *where,
				   const char *address);

/**
 * hs_parse() - a subcommand's options and those of hs_where, resolved
 * @own: the subcommand's; room for HS_WHERE_OPTIONS more behind them
 *
 * Return: enum hs_args_result, or -EINVAL said on stderr.
 */
int hs_parse(struct hs_args_program *program, struct hs_args_option *own,
	     size_t nr_own, struct hs_where *where, int argc, char **argv,
	     int *first_word);

/* What asking gave as an exit code; says the error, as JSON where wanted. */
int hs_fail(const struct hs_where *where, int err, const char *text);
/**
 * hs_tell() - POST to a daemon, once
 * @answers: gets what it said under @name, or {"error"}, which stderr hears too
 *
 * Return: an exit code.
 */
int hs_tell(const struct hs_where *where, const char *name, const char *address,
	    const char *path, const char *request, json_t *answers);
/* Print an answer. Own: takes the reference. */
int hs_print_json(json_t *json);

typedef int (*hs_command_fn)(int argc, char **argv);
int hs_command_list(int argc, char **argv);
int hs_command_show(int argc, char **argv);
int hs_command_export(int argc, char **argv);
int hs_command_operations(int argc, char **argv);
int hs_command_status(int argc, char **argv);
int hs_command_top(int argc, char **argv);
int hs_command_size(int argc, char **argv);
int hs_command_trigger(int argc, char **argv);
int hs_command_stop(int argc, char **argv);
int hs_command_reload(int argc, char **argv);
int hs_command_salvage(int argc, char **argv);

#endif
