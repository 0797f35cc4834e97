#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every bug that was planted for the kill harness (base/planted.h) is found.

kill_planted.py KILL_CLIENT [KILL_WORKER [KILL_CONNECT]], with planted bugs
compiled in.
"""
import subprocess
import sys

CLIENT = {
    101: "a buffer that its slot does not name",
    102: "a record's length before its bytes",
    103: "an end that leaves its slot before it is published",
    104: "a lane's head before its entries",
    105: "a full buffer that leaves its slot before it is published",
}
WORKER = {
    106: "a buffer called held before it is said whose",
    107: "entries called consumed before they are",
    108: "a buffer called free before it is counted",
    109: "a fired trace called live before it is said which",
    111: "a trace that goes in parts, which says nothing of it",
}
CONNECT = {
    110: "who died before it was up is taken for one that comes yet",
}


def main():
    missed = 0
    # Hardly any real kills: the states alone have to tell.
    for program, kills, bugs in zip(sys.argv[1:], ("1000000", "1", "1000000"),
                                    (CLIENT, WORKER, CONNECT)):
        for bug, what in bugs.items():
            run = subprocess.run([program, kills, str(bug)],
                                 capture_output=True, text=True, check=False)
            why = [l for l in run.stderr.splitlines() if l.startswith("kill:")]
            found = run.returncode == 1 and why
            missed += not found
            print("planted %d: %-58s %s" % (
                bug, what, why[0] if found else
                "MISSED (exit %d)" % run.returncode), flush=True)
    print("planted bugs missed: %d" % missed)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
