#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hs-perf traverse --hosts: every node on a machine of its own.

A machine is a network namespace, with mounts, processes and a name of its own:
what the command reaches over the hosts file's lines it has no other way to.
Every trace has to be told whole; nothing is asserted about speed.
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "e2e"))
from spaces import SWITCH, Spaces  # noqa: E402

PERF = os.path.join(os.environ["HS_BUILD"], "bench", "hs-perf")
SKIPPED = 77
NODES = 3


def traverse(spaces, hosts, *words):
    return subprocess.run(
        [*spaces.inside(NODES), PERF, "traverse", "--json", "--hosts", hosts,
         "--listen", SWITCH, "--nodes", str(NODES), "--sizes", str(NODES),
         "--live", "300", "--rates", "50", "--seconds", "2", *words],
        capture_output=True, text=True, timeout=150, check=False)


def main():
    if os.geteuid():
        print("machines of a test are namespaces, which need root")
        return SKIPPED
    spaces = Spaces("host", NODES, ("kernel",))
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".hosts") as hosts:
            print("# how a command runs on each", file=hosts)
            for i in range(NODES):
                print(*spaces.inside(i), "unshare --mount --uts --pid --fork "
                      "--kill-child --mount-proc", file=hosts, flush=True)
            done = traverse(spaces, hosts.name)
            assert done.returncode == 0, done
            shown = {one["name"]: one
                     for one in json.loads(done.stdout)["results"]}
            whole = shown["whole_3nodes_50_tcp"]
            assert whole["n"] == 100 and not whole["lost_share"], whole
            print(json.dumps(shown["traverse_3nodes_50_tcp"]))
            # Nobody listens there: said, and not waited for for ever.
            hosts.seek(0)
            hosts.truncate()
            print("false", file=hosts, flush=True)
            done = traverse(spaces, hosts.name)
            assert done.returncode == 1, done
            assert "node 0 did not begin" in done.stderr, done.stderr
    finally:
        spaces.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
