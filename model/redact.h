/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: take out of a buffer's bytes what must not leave the node: values
 * of attributes whose key a rule names, and whatever cannot be read.
 *
 * In place and of the same length, so that byte ranges, counts and marks of
 * slices stay what they are. A dropped or masked value is overwritten and says
 * so in its type byte (model/record.h); a hashed one is another value of the
 * same length, the same for the same value under the same key. Records that run
 * on from one buffer to the next are followed by a state that the caller keeps
 * between the two; where it has none, that record's rest is withheld.
 *
 * Guarantees: pure; no allocation; every byte of the input is untrusted and
 * every byte of the output is either as the rules let it be or overwritten:
 * unknown types, records that do not parse and bytes that belong to none are
 * withheld, and counted. Time is linear in the bytes, and in the rules for
 * each key.
 */
#ifndef HS_REDACT_H
#define HS_REDACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HS_REDACT_RULES_MAX	64u
#define HS_REDACT_PATTERN_BYTES 128u
/* An attribute with a longer key is dropped: no rule could be sure of it. */
#define HS_REDACT_KEY_BYTES 256u
/* What withheld bytes become: no text, and no number that ends. */
#define HS_REDACT_WITHHELD 0xff

/*
 * Texts that are no attributes have names of this form: @status (a span's
 * message), @tracepoint (its bytes), @event and @span (their names), @text
 * (warnings, trace state, scope). They can be masked only, with '*'.
 */
#define HS_REDACT_TEXT_MARK '@'

enum hs_redact_action {
	HS_REDACT_KEEP, /* the first rule that fits decides: an exception */
	HS_REDACT_DROP, /* readers do not see the attribute at all */
	HS_REDACT_MASK, /* they see its key, and "***" */
	HS_REDACT_HASH, /* a keyed hash in its place; a mask where that cannot
			   be: bools, and values that run on */
};

struct hs_redact_rule {
	char pattern[HS_REDACT_PATTERN_BYTES]; /* base/glob.h */
	enum hs_redact_action action;
};

struct hs_redact_rules {
	uint8_t key[16]; /* of HASH */
	uint32_t nr;
	struct hs_redact_rule rules[HS_REDACT_RULES_MAX];
};

struct hs_redact_stats {
	uint64_t buffers;
	uint64_t dropped; /* attributes */
	uint64_t masked;  /* attributes and texts */
	uint64_t hashed;
	uint64_t withheld_records; /* not read to their end */
	uint64_t withheld_bytes;
};

/* Where in the stream of a handle a buffer ended. */
struct hs_redact_state {
	uint8_t where;	 /* enum in redact.c; 0: between two records */
	uint8_t purpose; /* of the varint or run that is read */
	uint8_t type;	 /* of the record */
	uint8_t pc;	 /* in the type's program */
	uint8_t have;	 /* bytes of the header, or of the varint */
	uint8_t value;	 /* the attribute's type */
	uint8_t action;	 /* enum hs_redact_action, of this attribute */
	uint8_t version; /* of the buffer in which the record starts */
	uint8_t header[4];
	uint32_t left; /* of the record's payload */
	uint64_t varint;
	uint64_t run;	     /* bytes left of a text */
	uint64_t attrs_left; /* of a list, this one included */
	uint32_t key_bytes;
	char key[HS_REDACT_KEY_BYTES];
};

/**
 * hs_redact_buffer() - one buffer, from its header to where it is committed
 * @mask: which rules count here, a bit each
 * @state: in: where the buffer before it ended, if @known; out: where this one
 *	does
 * @known: whether that is known
 * @data: the buffer: header, records; rewritten
 *
 * Context: any thread.
 * Return: whether something was withheld.
 */
bool hs_redact_buffer(const struct hs_redact_rules *rules, uint64_t mask,
		      struct hs_redact_state *state, bool known, uint8_t *data,
		      size_t size_bytes, struct hs_redact_stats *stats);

/** hs_redact_tail() - whether a record runs on into the next buffer */
bool hs_redact_tail(const struct hs_redact_state *state);

/** hs_redact_find() - what happens to an attribute of that key */
enum hs_redact_action hs_redact_find(const struct hs_redact_rules *rules,
				     uint64_t mask, const char *key,
				     size_t key_bytes);

#endif
