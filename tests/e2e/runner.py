# SPDX-License-Identifier: Apache-2.0
"""Runs scenarios by name: functions that return, or raise what went wrong."""
import subprocess
import sys
import time
import traceback

from fabric import Failure


class Skipped(Exception):
    """What this scenario needs is not here."""


def run(scenario):
    began = time.monotonic()
    try:
        scenario()
    except Skipped as why:
        print("skip %s: %s" % (scenario.__name__, why), flush=True)
        return None
    except (Failure, OSError, ValueError, KeyError, TypeError,
            subprocess.SubprocessError) as error:
        print("FAIL %s: %s" % (scenario.__name__, error), flush=True)
        if not isinstance(error, Failure):
            traceback.print_exc()
        return False
    print("ok   %s (%.1f s)" % (scenario.__name__,
                                time.monotonic() - began), flush=True)
    return True


def main(argv, scenarios):
    known = {s.__name__: s for s in scenarios}
    if argv == ["--list"]:
        print("\n".join(known))
        return 0
    unknown = [name for name in argv if name not in known]
    if unknown:
        print("no scenario %s" % ", ".join(unknown), file=sys.stderr)
        return 2
    results = [run(known[name]) for name in argv or known]
    print("%d passed, %d failed, %d skipped" % (
        results.count(True), results.count(False), results.count(None)))
    if True not in results and False not in results:
        return 77
    return 1 if False in results else 0
