/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see held.h. */
#include "agent/held.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fdpass.h"

int hs_held_make(struct hs_held *held)
{
	held->nr_items = 0;
	held->items = calloc(HS_HELD_MAX, sizeof(*held->items));
	return held->items ? 0 : -ENOMEM;
}

void hs_held_free(struct hs_held *held)
{
	for (uint32_t i = 0; i < held->nr_items; i++)
		close(held->items[i].fd);
	free(held->items);
	held->items = NULL;
	held->nr_items = 0;
}

static struct hs_held_item *find(const struct hs_held *held, const char *name)
{
	for (uint32_t i = 0; i < held->nr_items; i++)
		if (!strcmp(held->items[i].name, name))
			return &held->items[i];
	return NULL;
}

int hs_held_put(struct hs_held *held, const char *name, int fd)
{
	struct hs_held_item *item = find(held, name);
	size_t len = strlen(name);

	if (fd < 0 || len == 0 || len >= HS_HELD_NAME_BYTES)
		return -EINVAL;
	if (item) {
		close(item->fd);
		item->fd = fd;
		return 0;
	}
	if (held->nr_items == HS_HELD_MAX)
		return -ENOSPC;
	item = &held->items[held->nr_items++];
	memcpy(item->name, name, len + 1);
	item->fd = fd;
	return 0;
}

void hs_held_drop(struct hs_held *held, const char *name)
{
	struct hs_held_item *item = find(held, name);

	if (!item)
		return;
	close(item->fd);
	*item = held->items[--held->nr_items];
}

int hs_held_find(const struct hs_held *held, const char *name)
{
	const struct hs_held_item *item = find(held, name);

	return item ? item->fd : -1;
}

int hs_held_send(int sock, enum hs_held_type type, uint32_t arg,
		 const char *name, int fd)
{
	struct hs_held_message message = {.type = type, .arg = arg};

	if (name)
		snprintf(message.name, sizeof(message.name), "%s", name);
	return hs_fdpass_send(sock, &message, sizeof(message), &fd,
			      fd >= 0 ? 1 : 0);
}

int hs_held_receive(int sock, struct hs_held_message *message, int *fd)
{
	size_t nr_fds;
	ssize_t n;

	*fd = -1;
	n = hs_fdpass_recv(sock, message, sizeof(*message), fd, 1, &nr_fds);
	if (n <= 0)
		return (int)n;
	if ((size_t)n != sizeof(*message) ||
	    message->name[HS_HELD_NAME_BYTES - 1] != '\0') {
		if (nr_fds)
			close(*fd);
		*fd = -1;
		return -EPROTO;
	}
	return 1;
}

int hs_held_answer(const struct hs_held *held, int sock, uint32_t index)
{
	if (index >= held->nr_items)
		return hs_held_send(sock, HS_HELD_END, index, NULL, -1);
	return hs_held_send(sock, HS_HELD_ITEM, index, held->items[index].name,
			    held->items[index].fd);
}

int hs_held_fetch(struct hs_held *held, int sock)
{
	struct hs_held_message message = {0};
	int fd = -1, rc;

	for (uint32_t i = 0; i <= HS_HELD_MAX; i++) {
		rc = hs_held_send(sock, HS_HELD_NEXT, i, NULL, -1);
		if (!rc)
			rc = hs_held_receive(sock, &message, &fd);
		if (rc <= 0)
			return rc ? rc : -EPIPE;
		if (message.type == HS_HELD_END)
			return 0;
		rc = message.type == HS_HELD_ITEM
			     ? hs_held_put(held, message.name, fd)
			     : -EPROTO;
		if (rc) {
			if (fd >= 0)
				close(fd);
			return rc;
		}
	}
	return -EPROTO;
}

int hs_held_attach(const struct hs_held *held, const char *name,
		   struct hs_memfd *memfd, size_t max_bytes, unsigned int flags)
{
	int fd = hs_held_find(held, name);
	int copy, rc;

	if (fd < 0)
		return -ENOENT;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	rc = hs_memfd_attach(memfd, copy, max_bytes, flags);
	if (rc)
		close(copy);
	return rc;
}
