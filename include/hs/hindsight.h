/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hindsight.h - the public API of libhindsight, for C and C++
 *
 * Every request is traced into local shared memory; nothing leaves the node
 * until a trigger names a trace ("The Benefit of Hindsight", NSDI'23, section
 * 3.1: begin, tracepoint, end, breadcrumb, trigger).
 *
 * What every function here promises, unless its own text says otherwise:
 *  - it may be called before hs_client_open(), after hs_client_close(), with
 *    no agent, with a stopped agent and in a forked child: it then does
 *    nothing and costs a load and a branch;
 *  - the write path (begin, tracepoint, span calls, crumbs, trigger, end) makes
 *    no system call but for the portable clock, never blocks, never allocates,
 *    never prints and never aborts; what cannot be kept is counted;
 *  - a NULL `struct hs_trace *` means the calling thread's current trace, set
 *    by hs_thread_begin(), so that both shapes share one core;
 *  - one handle is used by one thread at a time; moving it between threads
 *    wants hs_trace_detach() before and hs_trace_attach() after;
 *  - a call nested by a signal handler inside another call of the same thread
 *    is counted and dropped.
 *
 * Times are nanoseconds since the Unix epoch. Strings are UTF-8; nothing is
 * kept of them after the call returns.
 */
#ifndef HS_HINDSIGHT_H
#define HS_HINDSIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hs/inline.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HS_API __attribute__((visibility("default")))

/* A longer value is cut at this many bytes and marked as cut. */
#define HS_VALUE_MAX_BYTES (64u * 1024u)
/* Names of triggers, NUL included. */
#define HS_TRIGGER_NAME_MAX_BYTES 32
/* Lateral traces of one trigger (the paper's trigger sets, section 3.3). */
#define HS_LATERAL_MAX 32
/* Crumbs that a context carries at most. */
#define HS_CONTEXT_CRUMBS_MAX	       6
#define HS_CONTEXT_COMPACT_BYTES       40
#define HS_CONTEXT_FULL_BYTES	       64
#define HS_TRACEPARENT_CHARS	       55
#define HS_TRACESTATE_MEMBER_MAX_CHARS 128

/* 128 bits; hi holds the first eight bytes of the hex form. 0/0 is invalid. */
struct hs_trace_id {
	uint64_t hi;
	uint64_t lo;
};

/* A node (upper 32 bits) and its incarnation (lower); 0 is none. Never an
 * address: a member registry resolves it. */
typedef uint64_t hs_node_id;

struct hs_trace;    /* a live trace at this process; from a bounded pool */
struct hs_resource; /* who speaks: a service with its attributes */
struct hs_trigger;  /* a named trigger of this process */

/* ---- life cycle ------------------------------------------------------- */

/* What "now" is read from. */
enum hs_client_clock {
	HS_CLIENT_CLOCK_BEST = 0,     /* $HS_CLOCK (best, portable, coarse),
					 or else: the processor's counter where
					 the agent found it even, portable
					 elsewhere */
	HS_CLIENT_CLOCK_PORTABLE = 1, /* clock_gettime() */
	HS_CLIENT_CLOCK_COARSE = 2,   /* the kernel's last tick, 1 to 10 ms
					 old: cheaper than portable, and the
					 order of events within one is lost */
};

struct hs_client_options {
	size_t size_bytes;	 /* sizeof(struct hs_client_options) */
	const char *socket_path; /* the domain's socket; NULL: $HS_SOCKET, or
				    /run/hindsight/agent.sock */
	const char *service;	 /* default resource; NULL: program name */
	uint32_t max_traces;	 /* live handles; 0: 4096 */
	bool no_thread;		 /* the caller runs hs_client_poll() itself */
	uint32_t trigger_rate_per_s; /* per trigger; 0: 10000 */
	uint32_t clock;		     /* enum hs_client_clock */
};

/**
 * hs_client_open() - attach this process to its node's agent
 * @options: NULL for the defaults
 *
 * Context: once per process (again after hs_client_close() or in a forked
 *          child); allocates; not on the write path. Does not wait for an
 *          agent: the helper thread connects, reconnects and renews.
 * Return:  0; -EBUSY when open already; -ENOMEM; -EINVAL for bad options.
 */
HS_API int hs_client_open(const struct hs_client_options *options);

/**
 * hs_client_close() - detach; live traces are closed as they are
 *
 * Context: no other thread may be inside the API.
 */
HS_API void hs_client_close(void);

/**
 * hs_client_poll() - do the helper thread's work when no_thread was asked
 *
 * Context: one thread at a time, a few times a second; makes system calls.
 * Return:  0 when attached, -ENOTCONN when not (yet).
 */
HS_API int hs_client_poll(void);

/** hs_client_attached() - whether an agent serves this process now */
HS_API bool hs_client_attached(void);

struct hs_client_stats {
	uint64_t buffers_null;	   /* no free buffer: data dropped */
	uint64_t entries_lost;	   /* lane full: an entry was dropped */
	uint64_t handles_lost;	   /* max_traces reached */
	uint64_t calls_nested;	   /* dropped: signal handler in a call */
	uint64_t calls_stale;	   /* span calls after their trace ended */
	uint64_t values_cut;	   /* longer than HS_VALUE_MAX_BYTES */
	uint64_t triggers_limited; /* over trigger_rate_per_s */
	uint64_t attachments;	   /* times an agent took this process in */
};
HS_API void hs_client_stats_get(struct hs_client_stats *stats);

/** hs_client_node() - this node's id, 0 before the first attachment */
HS_API hs_node_id hs_client_node(void);

/* ---- contexts and breadcrumbs ----------------------------------------- */

#define HS_CONTEXT_F_SAMPLED   0x01u /* W3C sampled, passed on unchanged */
#define HS_CONTEXT_F_RANDOM    0x02u /* W3C random, passed on unchanged */
#define HS_CONTEXT_F_TRIGGERED 0x04u /* a trigger has fired upstream */

/* A value to copy freely. All zero is "no context". */
struct hs_context {
	struct hs_trace_id trace_id;
	uint64_t span_id; /* the caller's span: the parent of what follows */
	uint32_t trigger; /* with F_TRIGGERED: FNV-1a of the trigger's name */
	uint8_t flags;
	uint8_t nr_crumbs;
	uint16_t reserved;
	hs_node_id crumbs[HS_CONTEXT_CRUMBS_MAX]; /* nearest first */
};

/**
 * hs_context_inject() - what to send along with a call made by @trace
 * @span_id: the calling span, 0 if none
 *
 * The context names this node first and then the nodes before it, so that one
 * dead node does not cut the trail.
 */
HS_API void hs_context_inject(struct hs_trace *trace, uint64_t span_id,
			      struct hs_context *out);

/**
 * hs_context_forward() - deposit a forward crumb: @trace is about to call @peer
 *
 * At send where the peer's node is known; else use the reply's context.
 */
HS_API void hs_context_forward(struct hs_trace *trace, hs_node_id peer);

/**
 * hs_context_address() - for hs_context_forward(): the node at an address
 * @ip: IPv4 or IPv6, in network order
 * @ip_bytes: 4 or 16
 *
 * Where nobody can say who the peer is: it has no contexts, and sends no reply
 * that has one. Coordinators ask the node that came to them from that address.
 *
 * Return: 0, which is nobody, for an address that is no node's.
 */
HS_API hs_node_id hs_context_address(const void *ip, unsigned int ip_bytes);

/** hs_context_reply_inject() - what to send back along with a reply */
HS_API void hs_context_reply_inject(struct hs_trace *trace,
				    struct hs_context *out);
/** hs_context_reply_extract() - deposit the callee's crumb at the caller */
HS_API void hs_context_reply_extract(struct hs_trace *trace,
				     const struct hs_context *reply);

/**
 * hs_context_encode_compact() - at most 40 bytes, one crumb
 * hs_context_encode_full() - at most 64 bytes, four crumbs
 *
 * Return: bytes written; 0 for an empty context.
 */
HS_API size_t hs_context_encode_compact(const struct hs_context *context,
					uint8_t *out);
HS_API size_t hs_context_encode_full(const struct hs_context *context,
				     uint8_t *out);
/**
 * hs_context_decode() - either binary form
 *
 * Return: 0; -EBADMSG when @data is no context (@out is then empty).
 */
HS_API int hs_context_decode(const uint8_t *data, size_t size_bytes,
			     struct hs_context *out);

/**
 * hs_context_encode_w3c() - traceparent and tracestate headers
 * @traceparent: at least HS_TRACEPARENT_CHARS + 1 bytes
 * @upstream_tracestate: the header that came in, NULL if none; its other
 *	members are kept, ours moves to the front, of 33 the last goes
 * @tracestate: room for the new header, NUL included; when too small, members
 *	over 128 characters go first, then the last ones
 *
 * Baggage is the application's: pass the header on as it came (at most 8192
 * bytes); hs_context_baggage_ok() checks it.
 * Return: 0; -EINVAL for an empty context; -ENOSPC when not even our own
 *	member fits into @tracestate.
 */
HS_API int hs_context_encode_w3c(const struct hs_context *context,
				 char *traceparent,
				 const char *upstream_tracestate,
				 char *tracestate, size_t tracestate_bytes);
/** hs_context_decode_w3c() - 0 or -EBADMSG; @tracestate may be NULL */
HS_API int hs_context_decode_w3c(const char *traceparent,
				 const char *tracestate,
				 struct hs_context *out);
/** hs_context_baggage_ok() - a W3C baggage header that may be passed on */
HS_API bool hs_context_baggage_ok(const char *baggage);

/* ---- traces ------------------------------------------------------------ */

/** hs_trace_id_make() - a new random id */
HS_API struct hs_trace_id hs_trace_id_make(void);

/**
 * hs_trace_begin() - this process starts to work on a request
 * @id: the request's trace id; NULL: from @from, or else a new one
 * @from: the context that came in, NULL at the root; its crumbs are deposited
 *
 * Return: a handle, never NULL. When none is free, or before hs_client_open(),
 *	it is the null trace: everything on it is dropped and counted.
 */
HS_API struct hs_trace *hs_trace_begin(const struct hs_trace_id *id,
				       const struct hs_context *from);
/** hs_trace_end() - the handle is done; spans still open stay unfinished */
HS_API void hs_trace_end(struct hs_trace *trace);
/** hs_trace_detach(), hs_trace_attach() - move a handle between threads */
HS_API void hs_trace_detach(struct hs_trace *trace);
HS_API void hs_trace_attach(struct hs_trace *trace);
HS_API struct hs_trace_id hs_trace_id_get(const struct hs_trace *trace);

/** hs_thread_begin(), hs_thread_end() - the same for the thread's own trace */
HS_API void hs_thread_begin(const struct hs_trace_id *id,
			    const struct hs_context *from);
HS_API void hs_thread_end(void);
/** hs_thread_trace() - the calling thread's current trace; never NULL */
HS_API struct hs_trace *hs_thread_trace(void);

/**
 * hs_tracepoint() - append raw bytes to the trace, stamped with the clock
 * hs_tracepoint_plain() - without a time of its own: at that of the record
 *	before it
 * hs_tracepoint_at() - the same with an explicit time
 */
HS_API void hs_tracepoint(struct hs_trace *trace, const void *data,
			  size_t size_bytes);
HS_API void hs_tracepoint_plain(struct hs_trace *trace, const void *data,
				size_t size_bytes);
HS_API void hs_tracepoint_at(struct hs_trace *trace, uint64_t time_ns,
			     const void *data, size_t size_bytes);

#if defined(HS_INLINE) && !defined(HS_NO_INLINE)
static inline __attribute__((always_inline)) void
hs_inline_tracepoint(struct hs_trace *trace, const void *data,
		     size_t size_bytes)
{
	if (!HS_INLINE_FITS(data, size_bytes) || !HS_INLINE_HAS_WINDOW(trace) ||
	    !hs_inline_point(trace, data, (uint32_t)size_bytes, true))
		hs_tracepoint(trace, data, size_bytes);
}

static inline __attribute__((always_inline)) void
hs_inline_tracepoint_plain(struct hs_trace *trace, const void *data,
			   size_t size_bytes)
{
	if (!HS_INLINE_FITS(data, size_bytes) || !HS_INLINE_HAS_WINDOW(trace) ||
	    !hs_inline_point(trace, data, (uint32_t)size_bytes, false))
		hs_tracepoint_plain(trace, data, size_bytes);
}

#define hs_tracepoint(trace, data, size_bytes)                                 \
	hs_inline_tracepoint(trace, data, size_bytes)
#define hs_tracepoint_plain(trace, data, size_bytes)                           \
	hs_inline_tracepoint_plain(trace, data, size_bytes)
#endif

/* ---- spans ------------------------------------------------------------- */

enum hs_span_kind { /* OTLP's numbers */
		    HS_SPAN_KIND_UNSPECIFIED = 0,
		    HS_SPAN_KIND_INTERNAL = 1,
		    HS_SPAN_KIND_SERVER = 2,
		    HS_SPAN_KIND_CLIENT = 3,
		    HS_SPAN_KIND_PRODUCER = 4,
		    HS_SPAN_KIND_CONSUMER = 5,
};

enum hs_span_status { /* OTLP's numbers */
		      HS_SPAN_STATUS_UNSET = 0,
		      HS_SPAN_STATUS_OK = 1,
		      HS_SPAN_STATUS_ERROR = 2,
};

enum hs_value_type {
	HS_VALUE_STRING = 0,
	HS_VALUE_INT64 = 1,
	HS_VALUE_FLOAT64 = 2,
	HS_VALUE_BOOL = 3,
	HS_VALUE_BYTES = 4,
	HS_VALUE_JSON = 5, /* an array or a map, as JSON text */
};

struct hs_attr {
	const char *key;
	uint32_t key_bytes; /* 0: NUL-terminated */
	uint32_t type;	    /* enum hs_value_type */
	union {
		int64_t i64;
		double f64;
		bool b;
		struct {
			const void *data;
			size_t size_bytes;
		} bytes; /* string, bytes, JSON */
	} value;
};

/* The caller's own memory; valid until its trace ends. No need to free. */
struct hs_span {
	struct hs_trace *trace;
	uint64_t id;
	uint32_t ref; /* numbers the spans of one handle */
	uint32_t use; /* tells a reused handle from the one it began on */
	/* What its end is judged by: the library's own. */
	uint64_t start;	     /* ticks or ns */
	uint64_t tests;	     /* of the rules' tests, those that hold */
	uint64_t tests_of;   /* the table of rules that they are of */
	uint32_t operation;  /* number of its service and name */
	uint8_t start_clock; /* of start; 0: it is not judged (any more) */
	uint8_t status;	     /* enum hs_span_status */
	uint8_t has_status;
	uint8_t has_error; /* an attribute "error" says so */
};

struct hs_span_args {
	size_t size_bytes; /* sizeof(struct hs_span_args) */
	const char *name;
	size_t name_bytes;		    /* 0: NUL-terminated */
	uint64_t id;			    /* 0: a random one */
	uint64_t parent_id;		    /* 0: none */
	uint64_t start_ns;		    /* meaningful with has_start */
	bool has_start;			    /* false: now */
	uint8_t kind;			    /* enum hs_span_kind */
	const struct hs_resource *resource; /* NULL: the process's own */
};

/** hs_span_start() - a span of the service that hs_client_open() named, now */
HS_API void hs_span_start(struct hs_trace *trace, struct hs_span *span,
			  const char *name, uint64_t parent_id);
HS_API void hs_span_start_args(struct hs_trace *trace, struct hs_span *span,
			       const struct hs_span_args *args);
HS_API void hs_span_end(struct hs_span *span);
HS_API void hs_span_end_at(struct hs_span *span, uint64_t end_ns);
HS_API void hs_span_attr(struct hs_span *span, const struct hs_attr *attr);
HS_API void hs_span_attr_str(struct hs_span *span, const char *key,
			     const char *value);
HS_API void hs_span_attr_i64(struct hs_span *span, const char *key,
			     int64_t value);
HS_API void hs_span_attr_f64(struct hs_span *span, const char *key,
			     double value);
HS_API void hs_span_attr_bool(struct hs_span *span, const char *key,
			      bool value);
/** hs_span_event() - an ordered event; @name may be NULL (Jaeger logs) */
HS_API void hs_span_event(struct hs_span *span, const char *name,
			  const struct hs_attr *attrs, size_t nr_attrs);
HS_API void hs_span_event_at(struct hs_span *span, uint64_t time_ns,
			     const char *name, const struct hs_attr *attrs,
			     size_t nr_attrs);
HS_API void hs_span_status(struct hs_span *span, enum hs_span_status status,
			   const char *message);

enum hs_link_kind {
	HS_LINK_CHILD_OF = 0,	  /* a further parent (Jaeger) */
	HS_LINK_FOLLOWS_FROM = 1, /* Jaeger */
	HS_LINK_LINK = 2,	  /* OpenTelemetry */
};
HS_API void hs_span_link(struct hs_span *span, enum hs_link_kind kind,
			 const struct hs_trace_id *trace_id, uint64_t span_id,
			 const char *trace_state, const struct hs_attr *attrs,
			 size_t nr_attrs);

enum hs_span_text { /* short texts that a span may have beside attributes */
		    HS_SPAN_TEXT_WARNING = 0, /* any number */
		    HS_SPAN_TEXT_TRACE_STATE = 1,
		    HS_SPAN_TEXT_SCOPE_NAME = 2,
		    HS_SPAN_TEXT_SCOPE_VERSION = 3,
};
HS_API void hs_span_text(struct hs_span *span, enum hs_span_text which,
			 const char *text);
HS_API void hs_span_flags(struct hs_span *span, uint32_t flags);

/*
 * The same with the length of each text, which is what strlen() says of it: an
 * application's compiler knows it where the text is a literal, and otherwise
 * asks as the library would. Called by the names above.
 */
HS_API void hs_sized_start(struct hs_trace *trace, struct hs_span *span,
			   const char *name, size_t name_bytes,
			   uint64_t parent_id);
HS_API void hs_sized_attr_str(struct hs_span *span, const char *key,
			      size_t key_bytes, const char *value,
			      size_t value_bytes);
HS_API void hs_sized_attr_i64(struct hs_span *span, const char *key,
			      size_t key_bytes, int64_t value);
HS_API void hs_sized_attr_f64(struct hs_span *span, const char *key,
			      size_t key_bytes, double value);
HS_API void hs_sized_attr_bool(struct hs_span *span, const char *key,
			       size_t key_bytes, bool value);
HS_API void hs_sized_event(struct hs_span *span, const char *name,
			   size_t name_bytes, const struct hs_attr *attrs,
			   size_t nr_attrs);

/*
 * The same of a name or a key that is a literal, and so ends with a NUL: with
 * the mark that the application's compiler made of it (hs/inline.h), and so for
 * no other text. @span is not NULL. What is always asked comes first (ADR 76).
 */
HS_API void hs_marked_start(struct hs_trace *trace, struct hs_span *span,
			    uint64_t parent_id, uint64_t mark,
			    const char *name);
/* An event that is a name, and no more. */
HS_API void hs_named_event(struct hs_span *span, const char *name,
			   size_t name_bytes);
HS_API void hs_marked_attr_str(struct hs_span *span, const char *value,
			       size_t value_bytes, uint64_t mark,
			       const char *key);
HS_API void hs_marked_attr_i64(struct hs_span *span, int64_t value,
			       uint64_t mark, const char *key);
HS_API void hs_marked_attr_f64(struct hs_span *span, double value,
			       uint64_t mark, const char *key);
HS_API void hs_marked_attr_bool(struct hs_span *span, bool value, uint64_t mark,
				const char *key);

#if defined(HS_INLINE) && !defined(HS_NO_INLINE)
/* Where nothing is optimized there are no constants to be found. */
#ifdef __OPTIMIZE__
#define HS_INLINE_MARK(text, n) hs_inline_mark(text, n)
#else
#define HS_INLINE_MARK(text, n) 0
#endif

static inline __attribute__((always_inline)) void
hs_inline_start(struct hs_trace *trace, struct hs_span *span, const char *name,
		uint64_t parent_id)
{
	size_t n = name ? strlen(name) : 0;
	uint64_t mark = HS_INLINE_MARK(name, n);

	if (__builtin_constant_p(mark) && mark) {
		if (span)
			hs_marked_start(trace, span, parent_id, mark, name);
	} else {
		hs_sized_start(trace, span, name, n, parent_id);
	}
}

static inline __attribute__((always_inline)) void
hs_inline_attr_str(struct hs_span *span, const char *key, const char *value)
{
	size_t n = key ? strlen(key) : 0;
	uint64_t mark = HS_INLINE_MARK(key, n);

	if (__builtin_constant_p(mark) && mark) {
		if (span)
			hs_marked_attr_str(span, value,
					   value ? strlen(value) : 0, mark,
					   key);
	} else {
		hs_sized_attr_str(span, key, n, value,
				  value ? strlen(value) : 0);
	}
}

static inline __attribute__((always_inline)) void
hs_inline_attr_i64(struct hs_span *span, const char *key, int64_t value)
{
	size_t n = key ? strlen(key) : 0;
	uint64_t mark = HS_INLINE_MARK(key, n);

	if (__builtin_constant_p(mark) && mark) {
		if (span)
			hs_marked_attr_i64(span, value, mark, key);
	} else {
		hs_sized_attr_i64(span, key, n, value);
	}
}

static inline __attribute__((always_inline)) void
hs_inline_attr_f64(struct hs_span *span, const char *key, double value)
{
	size_t n = key ? strlen(key) : 0;
	uint64_t mark = HS_INLINE_MARK(key, n);

	if (__builtin_constant_p(mark) && mark) {
		if (span)
			hs_marked_attr_f64(span, value, mark, key);
	} else {
		hs_sized_attr_f64(span, key, n, value);
	}
}

static inline __attribute__((always_inline)) void
hs_inline_attr_bool(struct hs_span *span, const char *key, bool value)
{
	size_t n = key ? strlen(key) : 0;
	uint64_t mark = HS_INLINE_MARK(key, n);

	if (__builtin_constant_p(mark) && mark) {
		if (span)
			hs_marked_attr_bool(span, value, mark, key);
	} else {
		hs_sized_attr_bool(span, key, n, value);
	}
}

static inline __attribute__((always_inline)) void
hs_inline_event(struct hs_span *span, const char *name,
		const struct hs_attr *attrs, size_t nr_attrs)
{
	size_t n = name ? strlen(name) : 0;

	if (__builtin_constant_p(!attrs || !nr_attrs) &&
	    (!attrs || !nr_attrs) && __builtin_constant_p(!name) && name) {
		if (span)
			hs_named_event(span, name, n);
	} else {
		hs_sized_event(span, name, n, attrs, nr_attrs);
	}
}

#define hs_span_start(trace, span, name, parent_id)                            \
	hs_inline_start(trace, span, name, parent_id)
#define hs_span_attr_str(span, key, value) hs_inline_attr_str(span, key, value)
#define hs_span_attr_i64(span, key, value) hs_inline_attr_i64(span, key, value)
#define hs_span_attr_f64(span, key, value) hs_inline_attr_f64(span, key, value)
#define hs_span_attr_bool(span, key, value)                                    \
	hs_inline_attr_bool(span, key, value)
#define hs_span_event(span, name, attrs, nr_attrs)                             \
	hs_inline_event(span, name, attrs, nr_attrs)
#endif

/**
 * hs_resource_create() - a service other than the process's own
 * @service: NULL for a resource without a service name
 *
 * Context: allocates; not on the write path.
 * Own:     the caller destroys it after the last trace that uses it has ended.
 * Return:  NULL when out of memory or over HS_VALUE_MAX_BYTES encoded.
 */
HS_API struct hs_resource *hs_resource_create(const char *service,
					      const struct hs_attr *attrs,
					      size_t nr_attrs);
HS_API void hs_resource_destroy(struct hs_resource *resource);

/* ---- triggers ------------------------------------------------------------ */

/**
 * hs_trigger_define() - name a trigger of this process, at most 64
 * @name: [A-Za-z0-9_.-]+, shorter than HS_TRIGGER_NAME_MAX_BYTES
 *
 * Context: takes a lock; not on the write path. The same name gives the same
 *          trigger. Lives as long as the process.
 * Return:  NULL for a bad name or when there are too many.
 */
HS_API struct hs_trigger *hs_trigger_define(const char *name);

/**
 * hs_trigger_fire() - have these traces collected, wherever they were
 * @trace_id: the primary trace: its priority is that of the group
 * @lateral: further traces that live or die with it (paper, section 3.3)
 * @nr_lateral: at most HS_LATERAL_MAX
 *
 * May come before, during or after the data.
 * Context: write path.
 * Return:  true when handed to the agent; false when limited, lost or
 *	    without an agent (counted).
 */
HS_API bool hs_trigger_fire(struct hs_trigger *trigger,
			    const struct hs_trace_id *trace_id,
			    const struct hs_trace_id *lateral,
			    size_t nr_lateral);

#ifdef __cplusplus
}
#endif
#endif
