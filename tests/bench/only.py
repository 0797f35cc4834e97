#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""--only that means nothing is an error which says what there is; the name of
one figure measures that one."""
import os
import subprocess
import sys

PERF = os.path.join(os.environ["HS_BUILD"], "bench", "hs-perf")
MEANT = {
    ("client", "--only"): "span_5attr_norules",
    ("agent", "--only"): "agent_all_included_ns_per_trace_64B",
    ("ship", "--carrier"): "vhost",
    ("figures", "--only"): "5a",
}


def run(*words):
    return subprocess.run([PERF, *words], capture_output=True, text=True,
                          timeout=60, check=False)


def main():
    for (command, option), known in MEANT.items():
        done = run(command, option, "nonesuch")
        assert done.returncode == 2, (command, done)
        assert "nonesuch" in done.stderr and known in done.stderr, done.stderr
        assert not done.stdout, done.stdout
    done = run("client", "--only", "begin_end_64B", "--span", "1ms", "--json")
    assert '"begin_end_64B"' in done.stdout, done
    assert "begin_end_empty" not in done.stdout, done.stdout
    done = run("client", "--only", "span_5attr", "--rounds", "1", "--json")
    assert done.stdout.count('"span_5attr') == 2, done
    return 0


if __name__ == "__main__":
    sys.exit(main())
