/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: HTTP over libmicrohttpd; see httpd.h.
 *
 * libmicrohttpd takes one listening socket a daemon, so there is one for each
 * listener, both without a thread of theirs: our one thread polls their epoll
 * descriptors and runs them in turn. That is what makes handlers serial.
 */
#include "base/httpd.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <microhttpd.h>

#define NR_LISTENERS	 2
#define IDLE_TIMEOUT_SEC 30
#define POLL_MAX_MS	 250
#define HEADER_MAX_BYTES ((size_t)32 << 10)
#define PATH_MAX_BYTES	 1024
/* A body over the limit is read and dropped this far, so that its sender can
 * read the 413; a longer one is cut off. */
#define BODY_DROP_MAX_BYTES (4 * HS_HTTPD_BODY_MAX_BYTES)

struct listener {
	struct hs_httpd *httpd;
	struct MHD_Daemon *daemon; /* NULL when unused */
	bool is_tcp;
};

/* A connection: who it is, and how long its request may take to arrive. */
struct conn {
	int fd; /* -1: free, or its request has arrived as a whole */
	bool in_use;
	bool is_known; /* peer is */
	uint64_t deadline_ns;
	struct hs_roles_peer peer;
};

struct hs_httpd {
	struct listener listeners[NR_LISTENERS];
	struct conn conns[NR_LISTENERS * HS_HTTPD_NR_CONNECTIONS];
	const struct hs_httpd_route *routes;
	size_t nr_routes;
	void *ctx;
	char *socket_path;
	pthread_mutex_t lock; /* of roles and stats */
	struct hs_roles roles;
	struct hs_httpd_stats stats;
	uint64_t request_time_ns;
	uint16_t tcp_port;
	int stop_fd; /* eventfd: written once to end the thread */
	bool has_thread;
	pthread_t thread;
};

/* What one request has gathered so far. */
struct exchange {
	uint32_t may; /* of who asks */
	char *body;
	size_t body_bytes; /* kept */
	size_t came_bytes; /* in all */
	size_t size_bytes;
};

static struct conn *conn_of(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

/* What whoever asks may do; counts who may do nothing. */
static uint32_t may_of(const struct listener *l, struct MHD_Connection *c)
{
	struct hs_httpd *h = l->httpd;
	const struct conn *conn = conn_of(c);
	const char *text;
	uint32_t may = 0;

	pthread_mutex_lock(&h->lock);
	if (l->is_tcp) {
		text = MHD_lookup_connection_value(
			c, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
		if (text != NULL && strncmp(text, "Bearer ", 7) == 0)
			may = hs_roles_of_token(&h->roles, text + 7);
	} else if (conn != NULL && conn->is_known) {
		may = hs_roles_of_peer(&h->roles, &conn->peer);
	}
	h->stats.requests++;
	h->stats.refused_unknown += may == 0;
	pthread_mutex_unlock(&h->lock);
	return may;
}

static void refuse_unknown(const struct listener *l,
			   struct hs_httpd_response *response)
{
	if (l->is_tcp)
		hs_httpd_error(response, MHD_HTTP_UNAUTHORIZED,
			       "this door wants \"Authorization: Bearer "
			       "<token>\"");
	else
		hs_httpd_error(response, MHD_HTTP_FORBIDDEN,
			       "you may do nothing here; control.allow in the "
			       "daemon's configuration says who may");
}

static void refuse_role(struct hs_httpd *h, enum hs_role role,
			struct hs_httpd_response *response)
{
	pthread_mutex_lock(&h->lock);
	h->stats.refused_role++;
	pthread_mutex_unlock(&h->lock);
	hs_httpd_error(response, MHD_HTTP_FORBIDDEN,
		       "you may not %s here; control.allow in the daemon's "
		       "configuration says who may",
		       hs_role_name(role));
}

/* Does @path fit @pattern? What stands at {..} goes to @param. */
static bool matches(const char *pattern, const char *path,
		    char param[PATH_MAX_BYTES])
{
	param[0] = '\0';
	while (*pattern != '\0') {
		size_t len;

		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		len = strcspn(path, "/");
		if (len == 0 || len >= PATH_MAX_BYTES)
			return false;
		memcpy(param, path, len);
		param[len] = '\0';
		path += len;
		pattern += strcspn(pattern, "}");
		pattern += *pattern == '}';
	}
	return *path == '\0';
}

static void dispatch(struct hs_httpd *h, struct hs_httpd_request *request,
		     struct hs_httpd_response *response)
{
	char param[PATH_MAX_BYTES];
	const char *other = NULL;

	for (size_t i = 0; i < h->nr_routes; i++) {
		const struct hs_httpd_route *route = &h->routes[i];

		if (!matches(route->pattern, request->path, param))
			continue;
		if (strcmp(route->method, request->method) != 0) {
			other = route->method;
			continue;
		}
		request->param = param[0] != '\0' ? param : NULL;
		if (request->may & (uint32_t)route->role)
			route->handler(h->ctx, request, response);
		else
			refuse_role(h, route->role, response);
		return;
	}
	if (other != NULL)
		hs_httpd_error(response, MHD_HTTP_METHOD_NOT_ALLOWED,
			       "%.32s is not answered at %.256s; %s is",
			       request->method, request->path, other);
	else
		hs_httpd_error(response, MHD_HTTP_NOT_FOUND,
			       "nothing is at %.256s", request->path);
}

static enum MHD_Result queue(struct MHD_Connection *c,
			     struct hs_httpd_response *response)
{
	struct MHD_Response *r;
	enum MHD_Result rc;

	r = MHD_create_response_from_buffer(
		response->body ? response->body_bytes : 0, response->body,
		response->body ? MHD_RESPMEM_MUST_FREE
			       : MHD_RESPMEM_PERSISTENT);
	if (r == NULL) {
		free(response->body);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE,
				response->content_type);
	if (response->status == MHD_HTTP_UNAUTHORIZED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
					"Bearer");
	rc = MHD_queue_response(c, (unsigned)response->status, r);
	MHD_destroy_response(r);
	return rc;
}

static void on_connection(void *cls, struct MHD_Connection *c,
			  void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	const struct listener *l = cls;
	struct hs_httpd *h = l->httpd;
	const union MHD_ConnectionInfo *info;
	struct conn *conn = *socket_context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (conn != NULL)
			*conn = (struct conn){.fd = -1};
		*socket_context = NULL;
		return;
	}
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	for (size_t i = 0;
	     info != NULL && i < NR_LISTENERS * HS_HTTPD_NR_CONNECTIONS; i++) {
		conn = &h->conns[i];
		if (conn->in_use)
			continue;
		conn->in_use = true;
		conn->fd = info->connect_fd;
		conn->deadline_ns = hs_clock_mono_ns() + h->request_time_ns;
		conn->is_known = !l->is_tcp &&
				 hs_roles_peer_get(conn->fd, &conn->peer) == 0;
		*socket_context = conn;
		return;
	}
}

/* Answered, or cut: the next request on this connection has its own time. */
static void on_completed(void *cls, struct MHD_Connection *c, void **con_cls,
			 enum MHD_RequestTerminationCode code)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct exchange *x = *con_cls;
	struct conn *conn = conn_of(c);

	if (x != NULL) {
		free(x->body);
		free(x);
		*con_cls = NULL;
	}
	if (conn != NULL && info != NULL) {
		conn->fd = info->connect_fd;
		conn->deadline_ns =
			hs_clock_mono_ns() + IDLE_TIMEOUT_SEC * HS_NS_PER_SEC;
	}
}

/* The body's next piece. False when it is too long even to be dropped. */
static bool gather(struct exchange *x, const char *data, size_t n)
{
	x->came_bytes += n;
	if (x->came_bytes > BODY_DROP_MAX_BYTES)
		return false;
	if (x->came_bytes > HS_HTTPD_BODY_MAX_BYTES)
		return true;
	if (x->size_bytes - x->body_bytes < n + 1) {
		size_t size_bytes = 2 * (x->body_bytes + n + 1);
		char *grown = realloc(x->body, size_bytes);

		if (grown == NULL)
			return false;
		x->body = grown;
		x->size_bytes = size_bytes;
	}
	memcpy(x->body + x->body_bytes, data, n);
	x->body_bytes += n;
	x->body[x->body_bytes] = '\0';
	return true;
}

/* The headers are here: refuse early what will be refused anyway. An answer
 * before the whole body was read closes the socket on a client that is still
 * sending, which may then see a broken pipe instead of the answer: so a body
 * that is somewhat too long is read and dropped first. */
static enum MHD_Result begin(struct listener *l, struct MHD_Connection *c,
			     void **con_cls)
{
	struct hs_httpd_response response = {.content_type = HS_HTTPD_JSON};
	uint32_t may = may_of(l, c);
	struct exchange *x;
	const char *text;

	if (may == 0) {
		refuse_unknown(l, &response);
		return queue(c, &response);
	}
	text = MHD_lookup_connection_value(c, MHD_HEADER_KIND,
					   MHD_HTTP_HEADER_CONTENT_LENGTH);
	if (text != NULL && strtoull(text, NULL, 10) > BODY_DROP_MAX_BYTES) {
		hs_httpd_error(&response, MHD_HTTP_CONTENT_TOO_LARGE,
			       "the body may have %zu bytes at most",
			       HS_HTTPD_BODY_MAX_BYTES);
		return queue(c, &response);
	}
	x = calloc(1, sizeof(*x));
	if (x == NULL)
		return MHD_NO;
	x->may = may;
	*con_cls = x;
	return MHD_YES;
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *c,
				 const char *url, const char *method,
				 const char *version, const char *data,
				 size_t *data_bytes, void **con_cls)
{
	struct listener *l = cls;
	struct exchange *x = *con_cls;
	struct conn *conn = conn_of(c);
	struct hs_httpd_response response = {
		.status = MHD_HTTP_OK,
		.content_type = HS_HTTPD_JSON,
	};
	struct hs_httpd_request request;

	if (x == NULL)
		return begin(l, c, con_cls);
	if (*data_bytes > 0) {
		size_t n = *data_bytes;

		*data_bytes = 0;
		return gather(x, data, n) ? MHD_YES : MHD_NO;
	}
	/* It is whole: from here only an idle connection times out */
	if (conn != NULL)
		conn->fd = -1;
	request = (struct hs_httpd_request){
		.method = method,
		.path = url,
		.body = x->body != NULL ? x->body : "",
		.body_bytes = x->body_bytes,
		.may = x->may,
		.connection = c,
	};
	if (x->came_bytes > HS_HTTPD_BODY_MAX_BYTES)
		hs_httpd_error(&response, MHD_HTTP_CONTENT_TOO_LARGE,
			       "the body may have %zu bytes at most",
			       HS_HTTPD_BODY_MAX_BYTES);
	else
		dispatch(l->httpd, &request, &response);
	return queue(c, &response);
}

/* Whoever took too long to send a request is hung up on. */
static void cut_slow(struct hs_httpd *h)
{
	uint64_t now_ns = hs_clock_mono_ns();

	for (size_t i = 0; i < NR_LISTENERS * HS_HTTPD_NR_CONNECTIONS; i++) {
		struct conn *conn = &h->conns[i];

		if (conn->fd >= 0 && now_ns >= conn->deadline_ns) {
			shutdown(conn->fd, SHUT_RDWR);
			conn->fd = -1;
		}
	}
}

static void *serve(void *arg)
{
	struct hs_httpd *h = arg;
	struct pollfd fds[NR_LISTENERS + 1];

	for (int i = 0; i < NR_LISTENERS; i++) {
		const union MHD_DaemonInfo *info = NULL;

		if (h->listeners[i].daemon != NULL)
			info = MHD_get_daemon_info(h->listeners[i].daemon,
						   MHD_DAEMON_INFO_EPOLL_FD);
		fds[i].fd = info != NULL ? info->epoll_fd : -1;
		fds[i].events = POLLIN;
	}
	fds[NR_LISTENERS] = (struct pollfd){h->stop_fd, POLLIN, 0};
	for (;;) {
		int timeout_ms = POLL_MAX_MS;

		for (int i = 0; i < NR_LISTENERS; i++) {
			MHD_UNSIGNED_LONG_LONG ms;

			if (h->listeners[i].daemon != NULL &&
			    MHD_get_timeout(h->listeners[i].daemon, &ms) ==
				    MHD_YES &&
			    ms < (unsigned)timeout_ms)
				timeout_ms = (int)ms;
		}
		if (poll(fds, NR_LISTENERS + 1, timeout_ms) < 0 &&
		    errno != EINTR)
			break;
		if (fds[NR_LISTENERS].revents != 0)
			break;
		for (int i = 0; i < NR_LISTENERS; i++) {
			if (h->listeners[i].daemon != NULL)
				MHD_run(h->listeners[i].daemon);
		}
		cut_slow(h);
	}
	return NULL;
}

static int start_listener(struct hs_httpd *h, int i, int fd)
{
	struct listener *l = &h->listeners[i];

	l->httpd = h;
	l->daemon = MHD_start_daemon(
		MHD_USE_EPOLL, 0, NULL, NULL, on_access, l,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)HS_HTTPD_NR_CONNECTIONS,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_SEC,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_MAX_BYTES,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, l,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, l, MHD_OPTION_END);
	if (l->daemon == NULL) {
		close(fd);
		return -EIO;
	}
	return 0;
}

static int listen_tcp(const char *address, uint16_t *port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons(*port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int one = 1;
	int fd, rc;

	if (address != NULL && inet_pton(AF_INET, address, &addr.sin_addr) != 1)
		return -EINVAL;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
	    listen(fd, HS_HTTPD_NR_CONNECTIONS) != 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) != 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	*port = ntohs(addr.sin_port);
	return fd;
}

/* Whoever may connect is asked who it is; without rules nobody needs to. */
static mode_t socket_mode(const struct hs_roles *roles)
{
	return hs_roles_have(roles, HS_ROLES_BY_USER) ||
			       hs_roles_have(roles, HS_ROLES_BY_GROUP)
		       ? 0666
		       : 0600;
}

static int open_doors(struct hs_httpd *h, const struct hs_httpd_options *o)
{
	int rc = 0;
	int fd;

	if (o->socket_path != NULL) {
		fd = hs_unix_listen(o->socket_path, SOCK_STREAM,
				    socket_mode(&h->roles),
				    HS_HTTPD_NR_CONNECTIONS);
		if (fd < 0)
			return fd;
		/* from here on it is ours to unlink */
		h->socket_path = strdup(o->socket_path);
		rc = start_listener(h, 0, fd);
		if (rc != 0)
			return rc;
	}
	if (hs_roles_have(&h->roles, HS_ROLES_BY_TOKEN)) {
		h->tcp_port = o->tcp_port;
		fd = listen_tcp(o->tcp_address, &h->tcp_port);
		if (fd < 0)
			return fd;
		h->listeners[1].is_tcp = true;
		rc = start_listener(h, 1, fd);
	}
	return rc;
}

int hs_httpd_start(struct hs_httpd **httpd,
		   const struct hs_httpd_options *options)
{
	struct hs_httpd *h;
	int rc;

	if (options->socket_path == NULL &&
	    (options->roles == NULL ||
	     !hs_roles_have(options->roles, HS_ROLES_BY_TOKEN)))
		return -EINVAL;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < NR_LISTENERS * HS_HTTPD_NR_CONNECTIONS; i++)
		h->conns[i].fd = -1;
	pthread_mutex_init(&h->lock, NULL);
	h->roles.owner = geteuid();
	if (options->roles != NULL)
		h->roles = *options->roles;
	h->routes = options->routes;
	h->nr_routes = options->nr_routes;
	h->ctx = options->ctx;
	h->request_time_ns = options->request_time_ns != 0
				     ? options->request_time_ns
				     : HS_HTTPD_REQUEST_TIME_NS;
	h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = h->stop_fd < 0 ? -errno : open_doors(h, options);
	/* Before the thread: what it is asked first may ask for this. */
	*httpd = h;
	if (rc == 0) {
		rc = -pthread_create(&h->thread, NULL, serve, h);
		h->has_thread = rc == 0;
	}
	if (rc != 0) {
		*httpd = NULL;
		hs_httpd_stop(h);
	}
	return rc;
}

void hs_httpd_stop(struct hs_httpd *h)
{
	if (h == NULL)
		return;
	if (h->has_thread) {
		if (eventfd_write(h->stop_fd, 1) != 0)
			hs_log_error("httpd", "cannot stop errno=%d", errno);
		pthread_join(h->thread, NULL);
	}
	/* Unlinked while still listened on: a successor that looks in between
	 * finds either ours, served, or nothing. */
	if (h->socket_path != NULL)
		unlink(h->socket_path);
	for (int i = 0; i < NR_LISTENERS; i++) {
		if (h->listeners[i].daemon != NULL)
			MHD_stop_daemon(h->listeners[i].daemon);
	}
	if (h->stop_fd >= 0)
		close(h->stop_fd);
	pthread_mutex_destroy(&h->lock);
	free(h->socket_path);
	free(h);
}

void hs_httpd_roles_set(struct hs_httpd *h, const struct hs_roles *roles)
{
	pthread_mutex_lock(&h->lock);
	h->roles = *roles;
	pthread_mutex_unlock(&h->lock);
	if (h->socket_path != NULL &&
	    chmod(h->socket_path, socket_mode(roles)) != 0)
		hs_log_error("httpd", "cannot chmod socket=%s errno=%d",
			     h->socket_path, errno);
}

void hs_httpd_stats_get(struct hs_httpd *h, struct hs_httpd_stats *out)
{
	pthread_mutex_lock(&h->lock);
	*out = h->stats;
	pthread_mutex_unlock(&h->lock);
}

uint16_t hs_httpd_tcp_port(const struct hs_httpd *h)
{
	return h->tcp_port;
}
