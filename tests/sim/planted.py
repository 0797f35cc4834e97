#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every bug that was planted (base/planted.h) is found within so many seeds.

planted.py HS-SIM [--seeds N] [BUG...]; HS-SIM is of a build with
-Dplanted_bugs=true.
"""
import argparse
import re
import subprocess
import sys

WHAT = {
    1: "a crashed application's traces are not marked",
    2: "an eviction that ignores the pin",
    3: "a priority that differs by node",
    4: "buffers are let go when sent, not when durable",
    5: "an off-by-one in the number of buffers of an answer",
    6: "evictions are not remembered",
    7: "only the first crumb of a trace is kept",
    8: "a lost trigger is not sent again",
    9: "an open trace is called closed",
    10: "a successor believes that all was sent",
    11: "losses without a name are not counted",
    12: "the lowest priority goes first",
    13: "a handle's losses are not counted",
    14: "the first crumb of an answer is not followed",
    15: "STORED before the traversal is over",
    16: "an acknowledgement counts for a later version",
    17: "nobody is asked a second time",
    18: "a lost manifest is not sent again",
    19: "the mark ignores what an answer admits",
    20: "acknowledged before it is durable",
    21: "the mark ignores crumbs",
    22: "an off-by-one in what has to arrive",
    23: "an older answer takes the place of a newer one",
    24: "what the disk lost is remembered as stored",
    25: "an open handle that published nothing is not known",
    26: "a question that not all answered is called whole",
    27: "memory is handed out that the port still reads",
    28: "a tenant that is short evicts what another one has",
    29: "buffers leave in one order within a domain only",
    30: "a successor forgets who took part in what fired",
    31: "a priority that differs by node, among what gives way",
    32: "only one member of a lateral group is given up",
    33: "what comes late of a group that was given up is kept",
    34: "counts of operations are added, and not united",
    35: "a hint that leads to nobody makes a trace partial",
    36: "any acknowledgement of counts is taken for the last one's",
    41: "received by the collector is taken for durable",
    42: "a frame that comes again is kept again",
    43: "credit leaks",
    44: "an off-by-one in the frames that an ACK names",
    45: "settled before it is durable",
    46: "a slice's checksum is not looked at",
    47: "a slice that was refused is taken for durable",
    48: "a slice that finds the disk full is dropped",
}

# Those that a check of the world alone is there for: found without the bouts,
# and by that check.
WORLD = {
    28: "what domain . does changes what domain . has",
    31: "keeps what is lower for all nodes",
    32: "gives up a part of a lateral group",
    34: "sums are not those of the processes",
    36: "ran more than any collector has counted",
    33: "gave up the group of trace [0-9]+, and kept trace",
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("bugs", type=int, nargs="*")
    args = parser.parse_intermixed_args()
    missed = 0
    for bug in args.bugs or sorted(WHAT):
        run = subprocess.run(
            [args.program, "--planted", str(bug), "--no-shrink",
             "--seeds", str(args.seeds)] +
            (["--set", "bouts=0"] if bug in WORLD else []),
            capture_output=True, text=True)
        if run.returncode == 77:
            print("this build has no planted bugs")
            return 77
        nr = re.search(r"seeds=(\d+)", run.stdout)
        why = re.search(r"FAILED: (.*)", run.stdout)
        crash = run.returncode not in (0, 1)
        found = crash or run.returncode == 1
        if bug in WORLD:
            found = bool(why and re.search(WORLD[bug], why.group(1)))
        missed += not found
        print("planted %2d: %-52s %s" % (
            bug, WHAT[bug],
            "MISSED in %d seeds%s" % (
                args.seeds, ", but " + why.group(1) if why else "")
            if not found else
            "crashed: " + run.stderr.strip()[-90:] if crash else
            "seed %s: %s" % (nr.group(1), why.group(1))), flush=True)
    print("planted bugs missed: %d" % missed)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
