#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Would the simulator notice? One operator or constant at a time is flipped in
the pure files, and hs-sim has to fail on what comes out.

    tests/sim/mutants.py BUILD-DIR [--sample 100] [--seed 1] [--seeds 150]

A mutant is caught when a check fails, when it crashes, and when it hangs; one
that does not compile is drawn again. What survives is printed with its line:
each is a missing check, a limit that no run reaches, or a change without an
effect (a counter, a hint), and worth a look.
"""
import argparse
import json
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile

PURE = re.compile(r"(agent/core[a-z_]*|coordinator/core[a-z_]*|"
                  r"collector/assembly[a-z_]*|rdma/wire)\.c$")
# Figures for people, and checks that only tests call: nothing hangs on them.
EXEMPT = re.compile(r"core_(stats|view)\.c$")
FLIPS = [
    (r"==", "!="), (r"!=", "=="),
    (r"<=", "<"), (r">=", ">"),
    (r"(?<![<\-])<(?![<=])", "<="), (r"(?<![>\-])>(?![>=])", ">="),
    (r"&&", "||"), (r"\|\|", "&&"),
    (r"(?<![+\w(,=]) \+ (?!\+)", " - "), (r"(?<![\w(,=]) - ", " + "),
    (r"(?<=\w) \+ ", " - "), (r"(?<=\w) - ", " + "),
    (r"\+\+", "--"), (r"(?<!-)--", "++"),
    (r"\|=", "&="), (r"\+=", "-="), (r"-=", "+="),
    (r"\btrue\b", "false"), (r"\bfalse\b", "true"),
    (r"(?<=[(&| ])!(?=[\w(])", ""),
    (r"(?<![\w.\[])(?<!case )\b[0-9]+\b(?![\w.])", None),
]
CODE_OF = ("tests/sim/hs-sim.p/", "agent/libagent_core.a.p/",
           "base/libbase.a.p/", "rdma/libwire.a.p/", "coordinator/lib",
           "collector/libassembly.a.p/")


def blank(text):
    """The text with comments, strings and directives blanked, same length."""
    def spaces(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\''
                  r"|^[ \t]*#(?:\\\n|[^\n])*", spaces, text,
                  flags=re.S | re.M)


def sites(path):
    """Every place in a file that can be flipped: (path, offset, old, new)."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    code = blank(text)
    body = code.find("{")
    for pattern, new in FLIPS:
        for match in re.finditer(pattern, code):
            old = match.group(0)
            if match.start() > body:
                yield (path, match.start(), old,
                       new if new is not None else str(int(old) + 1))


class Bench:
    """A copy of the program that is rebuilt with one file changed."""

    def __init__(self, build, scratch):
        self.scratch = scratch
        self.commands = {}
        self.objects = {}
        with open(os.path.join(build, "compile_commands.json"),
                  encoding="utf-8") as file:
            entries = json.load(file)
        for entry in entries:
            if not entry["output"].startswith(CODE_OF):
                continue
            source = os.path.normpath(os.path.join(entry["directory"],
                                                   entry["file"]))
            if entry["output"].startswith("coordinator/") and \
                    not PURE.search(source):
                continue
            self.commands[source] = (entry["directory"],
                                     shlex.split(entry["command"]))
            self.objects[source] = os.path.join(entry["directory"],
                                                entry["output"])

    def run(self, source, text, seeds, timeout_s):
        """Return "caught", "survived", or None when it does not compile."""
        directory, words = self.commands[source]
        words = list(words)
        changed = os.path.join(self.scratch, "mutant.c")
        made = os.path.join(self.scratch, "mutant.o")
        program = os.path.join(self.scratch, "hs-sim")
        with open(changed, "w", encoding="utf-8") as file:
            file.write(text)
        words[words.index("-o") + 1] = made
        words[words.index("-c") + 1] = changed
        words = [w for w in words if w not in ("-Werror",)]
        words += ["-w", "-I" + os.path.dirname(source)]
        if subprocess.run(words, cwd=directory, capture_output=True,
                          check=False).returncode:
            return None
        objects = [made if s == source else o
                   for s, o in sorted(self.objects.items())]
        subprocess.run(["cc", "-o", program, *objects, "-lpthread", "-lm"],
                       check=True)
        try:
            done = subprocess.run(
                [program, "--seeds", str(seeds), "--no-shrink", "--quiet"],
                capture_output=True, check=False, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return "caught"
        return "caught" if done.returncode else "survived"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=150)
    parser.add_argument("--timeout", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(options.build, scratch)
        pure = [s for s in sorted(bench.commands)
                if PURE.search(s) and not EXEMPT.search(s)]
        places = [p for source in pure for p in sites(source)]
        if not places:
            sys.exit("mutants: no pure file is in %s" % options.build)
        with open(pure[0], encoding="utf-8") as file:
            if bench.run(pure[0], file.read(), options.seeds,
                         options.timeout) != "survived":
                sys.exit("mutants: hs-sim fails on these seeds as it is")
        random.Random(options.seed).shuffle(places)
        caught = tried = 0
        for source, offset, old, new in places:
            if tried == options.sample:
                break
            with open(source, encoding="utf-8") as file:
                text = file.read()
            mutant = text[:offset] + new + text[offset + len(old):]
            verdict = bench.run(source, mutant, options.seeds,
                                options.timeout)
            if verdict is None:
                continue
            tried += 1
            caught += verdict == "caught"
            line = text.count("\n", 0, offset)
            if verdict == "survived":
                print("survived %s:%d: %r -> %r: %s" % (
                    os.path.relpath(source), line + 1, old, new,
                    text.splitlines()[line].strip()), flush=True)
            elif sys.stderr.isatty():
                print("\r%d of %d, %d caught" % (tried, options.sample,
                                                 caught),
                      end="", file=sys.stderr)
        print("mutants: places=%d sample=%d caught=%d share=%.2f" % (
            len(places), tried, caught, caught / tried))
        return 0 if caught >= 0.8 * tried else 1


if __name__ == "__main__":
    sys.exit(main())
