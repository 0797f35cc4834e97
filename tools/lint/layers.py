# SPDX-License-Identifier: Apache-2.0
"""Which folder may include which, and what a pure file may not touch."""
import fnmatch
import os
import re

from source import Finding

# A folder, and the folders it may include besides itself and include/hs.
ALLOWED = {
    "include": set(),
    "base": set(),
    "model": {"base"},
    "numa": {"base"},
    "dataplane": {"base", "model", "numa"},
    "rdma": {"base", "numa"},
    "ship": {"base", "numa"},
    "agent": {"base", "model", "numa", "dataplane", "rdma", "ship"},
    "coordinator": {"base", "rdma"},
    "collector": {"base", "model", "ship", "rdma"},
    "examples": set(),  # what any application has
    "bench": None,
    "tools": None,
    "tests": None,
}

# Public headers are for anybody's program: libc and each other, nothing else.
LIBC = {"assert.h", "endian.h", "errno.h", "inttypes.h", "limits.h",
        "linux/types.h", "stdalign.h", "stdarg.h", "stdatomic.h",
        "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h",
        "string.h", "sys/types.h", "time.h"}

# Protocol logic: time, memory and the network come in as arguments.
PURE = ["agent/core*.c", "agent/silence.c", "agent/tally.c", "coordinator/core*.c",
        "collector/assembly*.c", "rdma/wire_tally.c",
        "ship/lend_ring.c", "ship/proto*.c", "model/record*.c", "model/redact*.c",
        "rdma/verbs_credit.c", "rdma/auth.c",
        "rdma/crumbs.c", "rdma/members.c", "rdma/hostlist.c"]
PURE_NO_HEADER = re.compile(
    r"^(sys/(socket|epoll|eventfd|timerfd|select|ioctl|mman|stat|un|uio|"
    r"time|wait|file)\.h|poll\.h|netdb\.h|netinet/.*|arpa/.*|net/.*|"
    r"unistd\.h|fcntl\.h|pthread\.h|threads\.h|signal\.h|malloc\.h|"
    r"base/(clock|log|loop|net|file|thread|http)\w*\.h)$")
PURE_NO_CALL = re.compile(
    r"(?<![\w.>])("
    r"socket|bind|listen|accept4?|connect|shutdown|send(?:to|msg|mmsg)?|"
    r"recv(?:from|msg|mmsg)?|getaddrinfo|poll|ppoll|select|epoll_\w+|"
    r"clock_\w+|time|gettimeofday|nanosleep|usleep|sleep|times|__rdtscp?|"
    r"f?open(?:at)?|creat|close|fclose|p?read|p?write|readv|writev|fsync|"
    r"fdatasync|fread|fwrite|fgets|fputs|fputc|puts|putchar|getline|"
    r"v?f?printf|v?dprintf|perror|fflush|fseek|mmap|munmap|ioctl|"
    r"malloc|calloc|realloc|reallocarray|free|strdup|strndup|v?asprintf|"
    r"aligned_alloc|posix_memalign|alloca|pthread_\w+|thrd_\w+|mtx_\w+|"
    r"getenv|rand|random|getrandom|hs_clock_\w+|hs_log\w*"
    r")\s*\(")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)


def folder_of(path):
    return path.split("/", 1)[0] if "/" in path else ""


def resolve(source, name, files):
    """The tree's file that an #include means, or None for the system's."""
    here = os.path.normpath(os.path.join(os.path.dirname(source.path), name))
    for candidate in (here, name, "include/" + name):
        if candidate in files:
            return candidate
    return None


def check_include(source, line, bracket, name, files):
    me = folder_of(source.path)
    target = resolve(source, name, files)
    if target is None:
        if bracket == '"':
            yield Finding("layers", source.path, line,
                          'no file "%s" in the tree; write <%s> for the '
                          "system's" % (name, name), name)
        elif me == "include" and name not in LIBC:
            yield Finding("layers", source.path, line,
                          "a public header includes libc and other public "
                          "headers only, not <%s>" % name, name)
        return
    other = folder_of(target)
    allowed = ALLOWED[me]
    if other in (me, "include") or allowed is None or other in allowed:
        return
    yield Finding("layers", source.path, line,
                  "%s/ may not include %s (allowed: %s)"
                  % (me, target, ", ".join(sorted(allowed)) or "nothing"),
                  name)


def check_pure(source):
    for match in INCLUDE.finditer(source.text):
        if PURE_NO_HEADER.match(match.group(2)):
            yield Finding("pure", source.path, source.line_of(match.start()),
                          "logic does no I/O: <%s> has no place here"
                          % match.group(2), match.group(2))
    for match in PURE_NO_CALL.finditer(source.code):
        yield Finding("pure", source.path, source.line_of(match.start()),
                      "logic does no I/O, reads no clock and allocates "
                      "nothing: %s() has to come in from outside"
                      % match.group(1), match.group(1))


def check(sources):
    files = {s.path for s in sources}
    for source in sources:
        me = folder_of(source.path)
        if not source.is_c:
            continue
        if me not in ALLOWED:
            yield Finding("layers", source.path, 1,
                          "no rule for the folder '%s': add it to "
                          "tools/lint/layers.py" % me)
            continue
        for match in INCLUDE.finditer(source.text):
            line = source.line_of(match.start())
            yield from check_include(source, line, match.group(1),
                                     match.group(2), files)
        if any(fnmatch.fnmatch(source.path, p) for p in PURE):
            yield from check_pure(source)
