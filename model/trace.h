/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical trace: what every importer makes, every exporter takes and
 * every comparison is defined over. docs/FORMATS.md describes it in words.
 *
 * A trace owns all its memory through one arena; freeing the trace frees
 * everything that was ever added to it. Pointers handed out by the builder
 * calls (spans, references, events) stay good until the trace is freed or
 * until the next call that adds a sibling of the same kind, except spans and
 * resources, which never move.
 *
 * Every add is bounded by the limits that the trace was made with: over a
 * limit it returns -E2BIG and changes nothing. One thread per trace.
 */
#ifndef HS_MODEL_TRACE_H
#define HS_MODEL_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HS_MODEL_TRACE_ID_SIZE 16
#define HS_MODEL_SPAN_ID_SIZE  8

/* Bytes with a length; a NUL follows the last one, inner NULs are allowed. */
struct hs_model_str {
	const char *ptr;
	uint32_t len;
};

enum hs_model_value_type {
	HS_MODEL_VALUE_STRING,
	HS_MODEL_VALUE_INT64,
	HS_MODEL_VALUE_FLOAT64,
	HS_MODEL_VALUE_BOOL,
	HS_MODEL_VALUE_BYTES,
	/* Canonical JSON text: compact, object keys sorted. */
	HS_MODEL_VALUE_JSON,
	HS_MODEL_VALUE_NR
};

struct hs_model_value {
	enum hs_model_value_type type;
	bool cut; /* longer at its source than the limit allowed */
	union {
		struct hs_model_str str; /* STRING, BYTES, JSON */
		int64_t i64;
		double f64;
		bool boolean;
	};
};

struct hs_model_attr {
	struct hs_model_str key;
	struct hs_model_value value;
};

struct hs_model_attrs {
	struct hs_model_attr *items;
	uint32_t nr;
	uint32_t cap;
};

/* Where spans were made: an OTLP resource, a Jaeger process. */
struct hs_model_resource {
	struct hs_model_str service; /* empty where the source names none */
	struct hs_model_attrs attrs; /* without service.name */
};

enum hs_model_ref_kind {
	HS_MODEL_REF_CHILD_OF,
	HS_MODEL_REF_FOLLOWS_FROM,
	HS_MODEL_REF_LINK,
	HS_MODEL_REF_NR
};

struct hs_model_ref {
	enum hs_model_ref_kind kind;
	uint8_t trace_id[HS_MODEL_TRACE_ID_SIZE];
	uint8_t span_id[HS_MODEL_SPAN_ID_SIZE];
	struct hs_model_str trace_state;
	struct hs_model_attrs attrs;
};

/* A Jaeger log or an OTLP event; a log has no name but fields only. */
struct hs_model_event {
	int64_t time_ns;
	struct hs_model_str name;
	struct hs_model_attrs attrs;
};

/* The numbers are OTLP's. */
enum hs_model_kind {
	HS_MODEL_KIND_UNSPECIFIED = 0,
	HS_MODEL_KIND_INTERNAL = 1,
	HS_MODEL_KIND_SERVER = 2,
	HS_MODEL_KIND_CLIENT = 3,
	HS_MODEL_KIND_PRODUCER = 4,
	HS_MODEL_KIND_CONSUMER = 5,
	HS_MODEL_KIND_NR
};

enum hs_model_status {
	HS_MODEL_STATUS_UNSET = 0,
	HS_MODEL_STATUS_OK = 1,
	HS_MODEL_STATUS_ERROR = 2,
	HS_MODEL_STATUS_NR
};

struct hs_model_span {
	uint8_t id[HS_MODEL_SPAN_ID_SIZE];
	uint8_t parent_id[HS_MODEL_SPAN_ID_SIZE];
	bool has_parent; /* derived: the first CHILD_OF within this trace */
	bool has_flags;
	uint32_t flags;
	enum hs_model_kind kind;
	enum hs_model_status status;
	int64_t start_ns;    /* since the epoch, never negative */
	int64_t duration_ns; /* negative where the source ended too early */
	uint32_t resource;   /* index into the trace's resources */
	struct hs_model_str name;
	struct hs_model_str status_message;
	struct hs_model_str trace_state;
	struct hs_model_str scope_name;
	struct hs_model_str scope_version;
	struct hs_model_attrs attrs;
	struct hs_model_ref *refs;
	uint32_t nr_refs, cap_refs;
	struct hs_model_event *events;
	uint32_t nr_events, cap_events;
	struct hs_model_str *warnings;
	uint32_t nr_warnings, cap_warnings;
};

struct hs_model_limits {
	uint32_t max_spans;	  /* of a trace */
	uint32_t max_resources;	  /* of a trace */
	uint32_t max_attrs;	  /* of a span, event, reference, resource */
	uint32_t max_events;	  /* of a span */
	uint32_t max_refs;	  /* of a span */
	uint32_t max_warnings;	  /* of a span */
	uint32_t max_name_bytes;  /* names, keys; longer ones are refused */
	uint32_t max_value_bytes; /* values, messages; longer ones are cut */
	uint64_t max_trace_bytes; /* everything together */
};

struct hs_model_arena_chunk;

struct hs_model_trace {
	uint8_t id[HS_MODEL_TRACE_ID_SIZE];
	uint32_t resolution_ns; /* of the source's times: 1000 or 1 */
	struct hs_model_resource **resources;
	uint32_t nr_resources, cap_resources;
	struct hs_model_span **spans;
	uint32_t nr_spans, cap_spans;
	uint64_t nr_values_cut;
	struct hs_model_str source; /* the file it came from, for messages */

	struct hs_model_limits limits;
	struct hs_model_arena_chunk *chunks;
	uint64_t used_bytes;
};

/**
 * hs_model_limits_default() - the limits that the daemons and tools start from
 *
 * Return: a copy to be changed at will.
 */
struct hs_model_limits hs_model_limits_default(void);

/**
 * hs_model_str() - a view on a NUL-terminated string
 */
struct hs_model_str hs_model_str(const char *text);
bool hs_model_str_equal(struct hs_model_str a, struct hs_model_str b);
/** hs_model_str_compare() - by bytes, then by length; as memcmp() */
int hs_model_str_compare(struct hs_model_str a, struct hs_model_str b);
bool hs_model_str_is(struct hs_model_str a, const char *text);

/**
 * hs_model_trace_new() - an empty trace
 * @limits: copied; NULL for the default
 *
 * Own:    the caller frees it with hs_model_trace_free().
 * Return: NULL without memory.
 */
struct hs_model_trace *hs_model_trace_new(const struct hs_model_limits *limits);
void hs_model_trace_free(struct hs_model_trace *trace);

/**
 * hs_model_trace_dup_str() - copy bytes into the trace's arena
 *
 * Return: 0, -E2BIG over the trace's byte limit, -ENOMEM.
 */
int hs_model_trace_dup_str(struct hs_model_trace *trace, const char *ptr,
			   size_t len, struct hs_model_str *out);

/**
 * hs_model_trace_set_name() - dup_str for names: refused over max_name_bytes
 * hs_model_trace_set_text() - dup_str for texts: cut at max_value_bytes
 */
int hs_model_trace_set_name(struct hs_model_trace *trace,
			    struct hs_model_str text, struct hs_model_str *out);
int hs_model_trace_set_text(struct hs_model_trace *trace,
			    struct hs_model_str text, struct hs_model_str *out);

/**
 * hs_model_resource_add() - add a place where spans are made
 * @index: out; what hs_model_span_add() takes
 */
int hs_model_resource_add(struct hs_model_trace *trace,
			  struct hs_model_str service, uint32_t *index);

/**
 * hs_model_attrs_add() - append one attribute
 * @attrs: of a resource, span, reference or event of @trace
 * @value: copied; a string, bytes or JSON over max_value_bytes is cut at a
 *         character boundary, marked, and counted in nr_values_cut. JSON that
 *         is cut becomes a string, since it is no JSON any more.
 */
int hs_model_attrs_add(struct hs_model_trace *trace,
		       struct hs_model_attrs *attrs, struct hs_model_str key,
		       const struct hs_model_value *value);
const struct hs_model_attr *
hs_model_attrs_find(const struct hs_model_attrs *attrs, const char *key);

/**
 * hs_model_span_add() - append a span; the caller fills its plain fields
 * @resource: from hs_model_resource_add()
 */
int hs_model_span_add(struct hs_model_trace *trace,
		      const uint8_t id[HS_MODEL_SPAN_ID_SIZE],
		      uint32_t resource, struct hs_model_span **out);
int hs_model_span_add_ref(struct hs_model_trace *trace,
			  struct hs_model_span *span,
			  enum hs_model_ref_kind kind,
			  const uint8_t trace_id[HS_MODEL_TRACE_ID_SIZE],
			  const uint8_t span_id[HS_MODEL_SPAN_ID_SIZE],
			  struct hs_model_ref **out);
int hs_model_span_add_event(struct hs_model_trace *trace,
			    struct hs_model_span *span, int64_t time_ns,
			    struct hs_model_str name,
			    struct hs_model_event **out);
int hs_model_span_add_warning(struct hs_model_trace *trace,
			      struct hs_model_span *span,
			      struct hs_model_str text);

/**
 * hs_model_span_drop_last() - take back the span added last
 *
 * For importers that find a span bad half-way through; the bytes stay in the
 * arena until the trace is freed.
 */
void hs_model_span_drop_last(struct hs_model_trace *trace);

/**
 * hs_model_span_derive_parent() - set has_parent and parent_id from refs
 * hs_model_span_derive_tags() - set kind, status and its message from Jaeger's
 * tags (span.kind, error, otel.status_code, otel.status_description)
 *
 * The tags themselves stay as they are.
 */
void hs_model_span_derive_parent(const struct hs_model_trace *trace,
				 struct hs_model_span *span);
void hs_model_span_derive_tags(struct hs_model_span *span);

/**
 * hs_model_trace_merge_duplicates() - drop spans that are exact copies
 *
 * Return: how many went. Order of the others is kept. Negative: -ENOMEM.
 */
int64_t hs_model_trace_merge_duplicates(struct hs_model_trace *trace);

/**
 * hs_model_trace_absorb() - copy every span of @from into @into
 *
 * Return: 0, or -E2BIG/-ENOMEM with a prefix of the spans copied.
 */
int hs_model_trace_absorb(struct hs_model_trace *into,
			  const struct hs_model_trace *from);

/* Symptoms: what a trigger rule sees. */

/**
 * hs_model_span_has_error() - would an "error" rule fire on this span
 *
 * Status ERROR, Jaeger's error tag (true, or a non-empty string other than
 * "false"), or an HTTP status of at least 500.
 */
bool hs_model_span_has_error(const struct hs_model_span *span);
bool hs_model_trace_has_error(const struct hs_model_trace *trace);

/**
 * hs_model_trace_root() - the span that the trace is called after
 *
 * The earliest span without a parent in the trace; where cycles leave none,
 * the earliest of all.
 *
 * Return: NULL for a trace without spans.
 */
const struct hs_model_span *
hs_model_trace_root(const struct hs_model_trace *trace);

/**
 * hs_model_trace_bounds() - first start and last end over all spans
 */
void hs_model_trace_bounds(const struct hs_model_trace *trace,
			   int64_t *start_ns, int64_t *end_ns);
int64_t hs_model_trace_duration_ns(const struct hs_model_trace *trace);
int64_t hs_model_span_end_ns(const struct hs_model_span *span);
const struct hs_model_resource *
hs_model_span_resource(const struct hs_model_trace *trace,
		       const struct hs_model_span *span);

const char *hs_model_kind_name(enum hs_model_kind kind);
const char *hs_model_status_name(enum hs_model_status status);
const char *hs_model_ref_kind_name(enum hs_model_ref_kind kind);
const char *hs_model_value_type_name(enum hs_model_value_type type);

#endif
