#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hold exported Jaeger JSON against its source, sharing no code with either.

    compare_jaeger.py EXPORT SOURCE...

EXPORT is what `hs traces export --format jaeger` wrote. SOURCE is a Jaeger
JSON file, a directory of such files, or an archive of them. Every exported
trace must be in the source, and be the same: ids (padded), times to the
microsecond, references in their order, tags as typed multisets, logs in their
order, process tags, flags, warnings. Exit 0 only then.
"""
import collections
import json
import os
import sys
import tarfile


def documents(path):
    """Yield (name, text) of every JSON file that path stands for."""
    if os.path.isdir(path):
        for top, _, files in sorted(os.walk(path)):
            for one in sorted(files):
                if one.endswith(".json"):
                    with open(os.path.join(top, one), "rb") as f:
                        yield one, f.read()
    elif path.endswith(".json"):
        with open(path, "rb") as f:
            yield path, f.read()
    else:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".json"):
                    yield member.name, archive.extractfile(member).read()


def typed(value, kind):
    """A value with its type, so that int64 1 is not float64 1."""
    if kind in ("int64", "int"):
        return "int64", int(value)
    if kind in ("float64", "float"):
        return "float64", float(value)
    if kind == "bool":
        return "bool", value is True or value == "true"
    if kind in ("string", "binary"):
        return kind, value
    return "json", json.dumps(value, sort_keys=True)


def tags(items):
    return collections.Counter(
        (tag["key"],) + typed(tag["value"], tag.get("type"))
        for tag in items or [])


def hexid(text, digits):
    return text.lower().rjust(digits, "0")


def span_of(span, processes):
    process = processes.get(span.get("processID"), {})
    return {
        "operation": span["operationName"],
        "start": span["startTime"],
        "duration": span["duration"],
        "references": [(r["refType"], hexid(r["traceID"], 32),
                        hexid(r["spanID"], 16))
                       for r in span.get("references") or []],
        "tags": tags(span.get("tags")),
        "logs": [(log["timestamp"], tags(log.get("fields")))
                 for log in span.get("logs") or []],
        "service": process.get("serviceName", ""),
        "process tags": tags(process.get("tags")),
        "flags": span.get("flags"),
        "warnings": collections.Counter(span.get("warnings") or []),
    }


def read(path):
    """Return {trace id: {span id: [spans]}}."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for _, text in documents(path):
        root = json.loads(text)
        for trace in root.get("data") or []:
            key = hexid(trace["traceID"], 32)
            for span in trace["spans"]:
                value = span_of(span, trace["processes"])
                same = found[key][hexid(span["spanID"], 16)]
                if value not in same:
                    same.append(value)
    return found


def differences(trace, exported, source):
    for span in sorted(set(exported) | set(source)):
        ours, theirs = exported.get(span, []), source.get(span, [])
        if len(ours) != len(theirs):
            yield "%s span %s: %d here, %d in the source" % (
                trace, span, len(ours), len(theirs))
            continue
        for one in ours:
            if one in theirs:
                continue
            closest = theirs[0]
            for field, value in one.items():
                if value != closest[field]:
                    yield "%s span %s: %s: %r is %r in the source" % (
                        trace, span, field, value, closest[field])


def main(argv):
    if len(argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    exported = read(argv[1])
    source = {}
    for path in argv[2:]:
        source.update(read(path))
    wrong, spans = [], 0
    for trace, content in exported.items():
        spans += sum(len(same) for same in content.values())
        if trace not in source:
            wrong.append("%s is not in the source" % trace)
        else:
            wrong += differences(trace, content, source[trace])
    for line in wrong[:20]:
        print("compare: " + line)
    print("compare: traces=%d spans=%d differences=%d" %
          (len(exported), spans, len(wrong)))
    return 1 if wrong or not exported else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
