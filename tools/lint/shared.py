# SPDX-License-Identifier: Apache-2.0
"""What applications can write is read through agent/shm_read.h alone, which
reads each word once and lets a test build change it before every fetch.

In the agent's shell a pointer into such memory comes from a hs_guest_*()
address function or from the base of `up` or `pool`, and may be passed on and
added to. Whatever is done through it otherwise is a finding.
"""
import re

from source import Finding

ACCESSOR = "agent/shm_read.h"
ORIGIN = (r"(?:\bhs_guest_(?:slots|lane|stock_tail|watch)\s*\("
          r"|\b(?:up|pool)\s*\.\s*base\b)")
BODY = re.compile(r"^\{.*?^\}", re.M | re.S)
ASSIGNED = re.compile(r"\*\s*(?:const\s+)?(\w+)\s*=\s*([^;]*);|"
                      r"(?<![\w.>])(\w+)\s*=\s*([^;=][^;]*);")
DIRECT = re.compile(ORIGIN + r"[^;()]*\)\s*(?:->|\[)")


def tainted_names(body):
    """Locals that point into shared memory, and those made from them."""
    names = set()
    grew = True
    while grew:
        grew = False
        for match in ASSIGNED.finditer(body):
            name = match.group(1) or match.group(3)
            value = match.group(2) or match.group(4)
            # What a read returns is a value, however it got its address.
            if name in names or re.match(r"\s*hs_(?:shm|peer)_\w+\s*\(", value):
                continue
            if (re.search(ORIGIN, value) and match.group(1)) or any(
                    match.group(1) and re.search(r"\b%s\b" % n, value)
                    for n in names):
                names.add(name)
                grew = True
    return names


def check(sources):
    for source in sources:
        if not source.is_c or not source.path.startswith("agent/") or \
                source.path == ACCESSOR or \
                source.path.startswith("agent/core"):
            continue
        for function in BODY.finditer(source.code):
            body = function.group(0)
            uses = [(m.start(), "memory") for m in DIRECT.finditer(body)]
            for name in tainted_names(body):
                use = re.compile(
                    r"(?<!&)\b%s\s*->|(?<!&)\b%s\s*\[|(?<=[=(,!&|<>?:])\s*\*\s*%s\b"
                    % (name, name, name))
                uses += [(m.start(), name) for m in use.finditer(body)]
            for at, name in uses:
                yield Finding(
                    "shared", source.path,
                    source.line_of(function.start() + at),
                    "%s is what an application writes: read it through %s"
                    % (name, ACCESSOR), name)
