# SPDX-License-Identifier: Apache-2.0
"""Instructions of the write path, and of the agent's core for a buffer, by
callgrind, against written bounds.

Instructions, unlike times, are the same on every run: a test can assert them.
valgrind has no rseq, so the library asks for a buffer's ring another way; that
is once a buffer.
    count.py dataplane|agent PROGRAM
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

# name: (bound, goal or None). The bound is what is reached and a little.
BOUNDS = {
    "dataplane": {
        "tracepoint_32B": (20, 20),
        "tracepoint_32B_nostamp": (17, None),
        "tracepoint_library": (62, None),
        "span_5attr": (572, None),
        "span_5attr_rules": (600, 600),
        "attr_i64": (63, None),
        "begin_end_empty": (341, None),
        "trace_of_one_span": (1184, None),
        "service_first": (1930, None),
        "service_second": (1415, None),
        "percentile_p99_256_values": (12600, None),
        "percentile_p9999_256_values": (11970, None),
    },
    "agent": {
        "buffer_of_4": (488, None),
        "trace_of_1": (808, None),
        "trace_called": (1108, None),
        "trace_empty": (566, None),
        "adopted": (655, None),
        "collector_up": (0, None),
    },
}
TIMES = {"dataplane": 64, "agent": 8192}


def counts(folder, times):
    out = {}
    for path in glob.glob(os.path.join(folder, "out.*")):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        name = re.search(r"^desc: Trigger: Client Request: (\S+)", text, re.M)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
        if name and total:
            out[name.group(1)] = int(total.group(1)) / times
    return out


def main():
    if not shutil.which("valgrind"):
        print("count: skipped, there is no valgrind")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["valgrind", "-q", "--tool=callgrind", "--collect-atstart=no",
             "--callgrind-out-file=" + os.path.join(folder, "out"),
             sys.argv[2]],
            check=True,
            env=dict(os.environ, GLIBC_TUNABLES="glibc.pthread.rseq=0"))
        found = counts(folder, TIMES[sys.argv[1]])
    base = found.pop("empty", None)
    if base is None:
        print("count: callgrind said nothing")
        return 1
    bad = 0
    for name, (bound, goal) in BOUNDS[sys.argv[1]].items():
        n = found.get(name)
        if n is None:
            print("%-24s not counted" % name)
            bad += 1
            continue
        # The loop around is not quite the same in each.
        n = round(n - base)
        print("%-24s %5d instructions, bound %d%s%s" % (
            name, n, bound, ", goal %d" % goal if goal else "",
            "" if n <= bound else "  TOO MANY"))
        bad += n > bound
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
