# SPDX-License-Identifier: Apache-2.0
"""A header needs nothing before it, bears being included twice, and carries a
guard named after it. Public headers are also read by a C++ compiler.
"""
import concurrent.futures
import os
import re
import shlex
import subprocess

from source import Finding

GUARD = re.compile(r"^[ \t]*#[ \t]*ifndef[ \t]+(\w+)\n"
                   r"[ \t]*#[ \t]*define[ \t]+(\w+)", re.M)


def guard_wanted(path):
    """The end that the guard's name must have: base/log.h -> LOG_H."""
    stem = os.path.basename(path)[:-2]
    stem = re.sub(r"\W", "_", stem).upper()
    return re.sub(r"^HS_", "", stem) + "_H"


def check_guards(headers):
    seen = {}
    for header in headers:
        match = GUARD.search(header.code)
        end = guard_wanted(header.path)
        if not match or match.group(1) != match.group(2):
            yield Finding("headers", header.path, 1,
                          "no include guard; write #ifndef HS_%s" % end)
            continue
        guard = match.group(1)
        if not guard.startswith("HS_") or not guard.endswith(end):
            yield Finding("headers", header.path,
                          header.line_of(match.start()),
                          "the guard is %s and should be HS_%s or "
                          "HS_..._%s" % (guard, end, end))
        if guard in seen:
            yield Finding("headers", header.path,
                          header.line_of(match.start()),
                          "the guard %s is also %s's" % (guard, seen[guard]))
        seen[guard] = header.path


def compile_twice(root, path, compiler, language, standard):
    """Return the compiler's complaint, or nothing."""
    text = '#include "%s"\n#include "%s"\n' % (path, path)
    command = compiler + ["-x", language, "-std=" + standard, "-Wall",
                          "-Wextra", "-Werror", "-Wno-unused-parameter",
                          "-D_GNU_SOURCE", "-I.", "-Iinclude",
                          "-fsyntax-only", "-"]
    done = subprocess.run(command, input=text, text=True, cwd=root,
                          stderr=subprocess.PIPE, check=False)
    return done.stderr.strip() if done.returncode else ""


def check(sources, root):
    headers = [s for s in sources if s.path.endswith(".h")]
    yield from check_guards(headers)
    cc = shlex.split(os.environ.get("CC", "cc"))
    cxx = shlex.split(os.environ.get("CXX", "c++"))
    jobs = [(h.path, cc, "c", "gnu11") for h in headers]
    jobs += [(h.path, cxx, "c++", "gnu++17") for h in headers
             if h.path.startswith("include/")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda j: compile_twice(root, *j), jobs)
        for job, complaint in zip(jobs, results):
            if complaint:
                yield Finding("headers", job[0], 1,
                              "does not compile alone and twice as %s:\n%s"
                              % (job[2].upper(), complaint))
