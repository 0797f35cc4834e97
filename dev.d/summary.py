#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sum up meson's testlog.json as "N passed, N failed, N skipped".

The exit status is 1 when anything failed or when nothing ran at all, so that
an empty test run cannot pass for a good one.
"""
import json
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP", "IGNORED"}


def count(lines):
    """Return (passed, failed, skipped, names of the failed)."""
    passed = skipped = 0
    failed = []
    for line in lines:
        if not line.strip():
            continue
        test = json.loads(line)
        if test["result"] in PASSED:
            passed += 1
        elif test["result"] in SKIPPED:
            skipped += 1
        else:
            failed.append("%s (%s)" % (test["name"], test["result"]))
    return passed, len(failed), skipped, failed


def main(argv):
    try:
        with open(argv[1], encoding="utf-8", errors="replace") as log:
            passed, failed, skipped, names = count(log)
    except FileNotFoundError:
        passed, failed, skipped, names = 0, 0, 0, []
    for name in names:
        print("failed: " + name)
    if passed + failed == 0:
        print("no test ran", file=sys.stderr)
    sys.stderr.flush()
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
