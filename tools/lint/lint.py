#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tidy of our own: rules of this house that no compiler knows.

  layers   which folder may include which
  pure     protocol logic does no I/O
  atomics  every atomic is labelled, paired and in the table
  shared   the agent reads shared memory by its accessor only
  headers  every header stands alone; guards
  spdx     a licence line in every source
  notes    no notes to self
  size     functions and files of a size to read (./dev lint only)
"""
import argparse
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import atomics  # noqa: E402
import headers  # noqa: E402
import layers  # noqa: E402
import shape  # noqa: E402
import shared  # noqa: E402
from source import Finding, load_tree  # noqa: E402

EXCEPTIONS = "tools/lint/exceptions.txt"
EXCEPTION = re.compile(r"^(\w+)\s+([^\s:]+)(?::(\S+))?\s+because\s+(\S.*)$")


class Exemption:
    """One line of exceptions.txt."""

    def __init__(self, line, match):
        self.line = line
        self.check, self.path, self.symbol = match.group(1, 2, 3)
        self.used = False

    def excuses(self, finding):
        return (self.check == finding.check and self.path == finding.path
                and self.symbol in (None, finding.symbol))


def parse_exceptions(text):
    """Return (exemptions, findings about the file itself)."""
    exemptions, findings = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = EXCEPTION.match(line)
        if match:
            exemptions.append(Exemption(number, match))
        else:
            findings.append(Finding("exceptions", EXCEPTIONS, number,
                                    "write CHECK PATH[:SYMBOL] because "
                                    "REASON"))
    return exemptions, findings


def apply_exceptions(findings, exemptions, ran):
    """Drop what is excused; complain about excuses without a fault."""
    kept = []
    for finding in findings:
        excuses = [e for e in exemptions if e.excuses(finding)]
        for excuse in excuses:
            excuse.used = True
        if not excuses:
            kept.append(finding)
    for exemption in exemptions:
        if not exemption.used and exemption.check in ran:
            kept.append(Finding("exceptions", EXCEPTIONS, exemption.line,
                                "excuses nothing any more: remove it"))
    return kept


def run_checks(root, fast):
    sources = load_tree(root)
    findings = []
    findings += layers.check(sources)
    findings += atomics.check(sources)
    findings += headers.check(sources, root)
    findings += shared.check(sources)
    findings += shape.check_licence(sources)
    findings += shape.check_notes(sources)
    ran = {"layers", "pure", "atomics", "shared", "headers", "spdx",
           "notes"}
    if not fast:
        findings += shape.check_sizes(sources)
        ran.add("size")
    text = next((s.text for s in sources if s.path == EXCEPTIONS), "")
    exemptions, malformed = parse_exceptions(text)
    return apply_exceptions(findings, exemptions, ran) + malformed


def list_compiled(root, build):
    """C files that the build knows, for clang-tidy."""
    out = subprocess.run(["ninja", "-C", build, "-t", "compdb"], cwd=root,
                         stdout=subprocess.PIPE, text=True, check=True)
    names = set(re.findall(r'"file": "([^"]+\.c)"', out.stdout))
    for name in sorted(names):
        path = os.path.relpath(os.path.join(root, build, name), root)
        # The peers' modules are somebody else's macros, spelt out.
        if not path.startswith((build, "..", "bench/peer_")):
            print(path)


def main(argv):
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=os.path.dirname(
        os.path.dirname(here)), help="the tree to look at")
    parser.add_argument("--fast", action="store_true",
                        help="leave out sizes, which are advice to people")
    parser.add_argument("--list-sources", action="store_true",
                        help="only print the C files' paths")
    parser.add_argument("--list-compiled", metavar="BUILD",
                        help="only print the C files that BUILD compiles")
    args = parser.parse_args(argv)
    if args.list_sources:
        for source in load_tree(args.root):
            if source.is_c:
                print(source.path)
        return 0
    if args.list_compiled:
        list_compiled(args.root, args.list_compiled)
        return 0
    findings = run_checks(args.root, args.fast)
    for finding in sorted(findings, key=lambda f: (f.path, f.line)):
        print(finding)
    print("lint: %d finding%s" % (len(findings),
                                  "" if len(findings) == 1 else "s"))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
