// SPDX-License-Identifier: Apache-2.0
// The public header in C++, and one life of a trace through the shared library.
#include "hs/hindsight.h"
#include "hs/hindsight.h"

int main()
{
	hs_client_options options = {};
	hs_context context = {};
	hs_span span;

	options.size_bytes = sizeof(options);
	options.socket_path = "/nonexistent/socket";
	options.no_thread = true;
	if (hs_client_open(&options) != 0)
		return 1;
	hs_trace *trace = hs_trace_begin(nullptr, nullptr);
	hs_span_start(trace, &span, "c++", 0);
	hs_span_attr_i64(&span, "answer", 42);
	hs_span_end(&span);
	hs_context_inject(trace, span.id, &context);
	hs_trace_end(trace);
	hs_client_close();
	return context.trace_id.lo == 0 || context.span_id != span.id;
}
