#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Would the simulator notice? One operator or constant at a time is flipped in
the pure files, and hs-sim has to fail on what comes out.

    tests/sim/mutants.py BUILD [--sample 100] [--seed 1] [--jobs 2]
    tests/sim/mutants.py BUILD --sample 0 --again SURVIVORS   # those of a list

A mutant is caught when a check fails, when it crashes, and when it does not
end, by the processor's time that it takes; one that does not compile is drawn
again. What is left out of the draw, by which rule and how much of it, stands in
docs/SIMULATION.md; what was looked at and found to change nothing stands in
equivalent.txt, each with its reason. What survives is printed with its line.
"""
import argparse
import concurrent.futures
import json
import math
import os
import queue
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile

PURE = re.compile(r"(agent/core[a-z_]*|coordinator/core[a-z_]*|"
                  r"collector/assembly[a-z_]*|rdma/wire(_tally)?|ship/proto_[a-z_]*)\.c$")
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
           "collector/libassembly.a.p/", "ship/libship_proto.a.p/")
# What a mutant is run on, one after the other, until one of them fails.
STAGES = (["--seeds", "10"], ["--seed", "11", "--seeds", "60"],
          ["--seed", "71", "--seeds", "130"])

# Left out of the draw: flips within these functions, and on these lines.
RULES = (
    ("figures", "file", r"core_(stats|view)\.c$"),
    ("checks", "function", r"(^|_)check(_|$)"),
    ("names", "function", r"_name$"),
    ("prefetch", "function", r"prefetch|_ahead$|_guess$"),
    ("prefetch", "line", r"prefetch\("),
    ("planted", "line", r"(?<!== )HS_PLANTED\("),
)


def blank(text):
    """The text with comments, strings and directives blanked, same length."""
    def spaces(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\''
                  r"|^[ \t]*#(?:\\\n|[^\n])*", spaces, text,
                  flags=re.S | re.M)


def functions(code):
    """(begin, end, name) of every function body."""
    for match in re.finditer(r"^\{", code, re.M):
        before = code[:match.start()]
        head = before[max(before.rfind("\n}"), before.rfind(";")) + 1:]
        name = re.search(r"(\w+)\(", head)
        end = code.find("\n}", match.start())
        yield match.start(), end, name.group(1) if name else ""


def rule_of(path, code, offset, bodies):
    """The rule that leaves a place out, or None."""
    begin = code.rfind("\n", 0, offset) + 1
    line = code[begin:code.find("\n", offset)]
    name = next((n for b, e, n in bodies if b <= offset < e), "")
    for rule, what, pattern in RULES:
        where = {"file": path, "function": name, "line": line}[what]
        if re.search(pattern, where):
            return rule
    # An if whose only statement is a prefetch.
    after = code[code.find("\n", offset) + 1:]
    if line.lstrip().startswith("if (") and line.endswith(")") and \
            "prefetch(" in after[:after.find("\n")]:
        return "prefetch"
    return None


def hashed(code, offset):
    """Whether a place is among the arguments of a hash."""
    begin = code.rfind("hs_hash_", 0, offset)
    if begin < 0 or not re.match(r"hs_hash_(trace|mix64)\(", code[begin:]):
        return False
    between = code[begin:offset]
    return between.count("(") > between.count(")")


class Place:
    """One thing that can be flipped."""

    def __init__(self, path, text, offset, old, new):
        self.path, self.offset, self.old, self.new = path, offset, old, new
        begin = text.rfind("\n", 0, offset) + 1
        raw = text[begin:text.find("\n", offset)]
        self.line = text.count("\n", 0, offset) + 1
        self.at = offset - begin - (len(raw) - len(raw.lstrip()))
        self.code = raw.strip()

    def key(self):
        """Stays the same when lines move."""
        return "%s: %s @%d %s -> %s" % (os.path.relpath(self.path), self.code,
                                        self.at, self.old, self.new)


def sites(path, left_out=None):
    """Every place in a file that the rules leave in."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    code = blank(text)
    body = code.find("{")
    bodies = list(functions(code))
    for pattern, new in FLIPS:
        for match in re.finditer(pattern, code):
            old = match.group(0)
            if match.start() <= body:
                continue
            rule = rule_of(path, code, match.start(), bodies)
            if not rule and new is None and hashed(code, match.start()):
                rule = "hash"
            if rule:
                if left_out is not None:
                    left_out[rule] = left_out.get(rule, 0) + 1
                continue
            yield Place(path, text, match.start(), old,
                        new if new is not None else str(int(old) + 1))


def within(limit_s, words):
    """The command, with so many seconds of a processor at most: how many
    others want it does not matter."""
    return ["sh", "-c", 'ulimit -t "$0" && exec "$@"', str(limit_s), *words]


class Bench:
    """The program's objects, and how each of them is made."""

    def __init__(self, build):
        self.commands = {}
        self.objects = {}
        self.limits_s = [60] * len(STAGES)
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
            words = shlex.split(entry["command"])
            self.commands[source] = (entry["directory"],
                                     words[words[0].endswith("ccache"):])
            self.objects[source] = os.path.join(entry["directory"],
                                                entry["output"])

    def make(self, scratch, source, text):
        """The program with one file changed; None: it does not compile."""
        directory, words = self.commands[source]
        changed = os.path.join(scratch, "mutant.c")
        made = os.path.join(scratch, "mutant.o")
        program = os.path.join(scratch, "hs-sim")
        with open(changed, "w", encoding="utf-8") as file:
            file.write(text)
        words = [w for i, w in enumerate(words)
                 if w not in ("-Werror", "-g", "-O2", "-MD", "-MQ", "-MF") and
                 words[i - 1] not in ("-MQ", "-MF")]
        words[words.index("-o") + 1] = made
        words[words.index("-c") + 1] = changed
        words += ["-w", "-O1", "-I" + os.path.dirname(source)]
        if subprocess.run(words, cwd=directory, capture_output=True,
                          check=False).returncode:
            return None
        linked = subprocess.run(
            ["cc", "-o", program] + [made if s == source else o for s, o
                                     in sorted(self.objects.items())] +
            ["-lpthread", "-lm"], capture_output=True, check=False)
        return None if linked.returncode else program

    def run(self, program):
        """Return "caught at ..." or "survived"."""
        for stage, limit_s in zip(STAGES, self.limits_s):
            done = subprocess.run(
                within(limit_s, [program, *stage, "--no-shrink"]),
                capture_output=True, text=True, errors="replace", check=False)
            if -done.returncode in (signal.SIGKILL, signal.SIGXCPU):
                return "caught: it does not end"
            if done.returncode:
                why = re.search(r"FAILED: (.*)", done.stdout)
                return "caught: " + (why.group(1) if why else "crash " +
                                     done.stderr.strip()[-70:])
        return "survived"

    def calibrate(self, scratch):
        """The unchanged program passes, and takes so long."""
        source = next(iter(self.commands))
        with open(source, encoding="utf-8") as file:
            program = self.make(scratch, source, file.read())
        for i, stage in enumerate(STAGES):
            begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            if subprocess.run([program, *stage, "--no-shrink", "--quiet"],
                              capture_output=True, check=False).returncode:
                sys.exit("mutants: hs-sim fails on %s as it is" % stage)
            taken = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            self.limits_s[i] = 4 + math.ceil(6 * (taken - begun))


def judge(bench, scratches, place):
    scratch = scratches.get()
    try:
        with open(place.path, encoding="utf-8") as file:
            text = file.read()
        program = bench.make(scratch, place.path, text[:place.offset] +
                             place.new + text[place.offset + len(place.old):])
        return place, bench.run(program) if program else None
    finally:
        scratches.put(scratch)


def wilson(caught, tried):
    """95 % interval of a share."""
    z, p, n = 1.96, caught / tried, tried
    middle = p + z * z / (2 * n)
    around = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return ((middle - around) / (1 + z * z / n),
            (middle + around) / (1 + z * z / n))


def equivalents():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "equivalent.txt")
    if not os.path.exists(path):
        return set()
    with open(path, encoding="utf-8") as file:
        return {line.rstrip("\n") for line in file
                if line.strip() and line[0] not in "# \t"}


def drawn(options, bench):
    """The places to try, in order, and what was left out of them."""
    left_out = {}
    places = [p for source in sorted(bench.commands) if PURE.search(source)
              for p in sites(source, left_out)]
    same = equivalents()
    known = {p.key() for p in places}
    for key in sorted(same - known):
        print("equivalent.txt names what is not there: " + key)
    left_out["equivalent"] = sum(p.key() in same for p in places)
    places = [p for p in places if p.key() not in same]
    print("mutants: places=%d left out: %s" % (
        len(places), ", ".join("%s %d" % x for x in sorted(left_out.items()))))
    random.Random(options.seed).shuffle(places)
    if options.only:
        places = [p for p in places if re.search(options.only, p.path)]
        if not places:
            sys.exit("mutants: no pure file has a path that matches %r, which "
                     "--only asks for: one is agent/core_stock.c" %
                     options.only)
    if options.again:
        with open(options.again, encoding="utf-8") as file:
            wanted = {re.sub(r"^survived \S+ ", "", line.rstrip("\n"))
                      for line in file if line.startswith("survived")}
        places = [p for p in places if p.key() in wanted]
        if not places:
            sys.exit("mutants: no line of %s is a survivor's whose place is "
                     "still there: it should be what this program printed" %
                     options.again)
    return places


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--sample", type=int, default=100, help="0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", help="a pattern of paths")
    parser.add_argument("--again", help="the survivors of this output only")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    bench = Bench(options.build)
    places = drawn(options, bench)
    caught = tried = 0
    files = {}
    with tempfile.TemporaryDirectory() as top:
        scratches = queue.Queue()
        for i in range(options.jobs):
            scratches.put(os.path.join(top, str(i)))
            os.mkdir(os.path.join(top, str(i)))
        bench.calibrate(top)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            wanted = options.sample or len(places)
            at = 0
            while at < len(places) and tried < wanted:
                batch = places[at:at + min(wanted - tried, 4 * options.jobs)]
                at += len(batch)
                for place, verdict in pool.map(
                        lambda p: judge(bench, scratches, p), batch):
                    if verdict is None:
                        continue
                    tried += 1
                    caught += verdict != "survived"
                    name = os.path.relpath(place.path)
                    files.setdefault(name, [0, 0])[verdict == "survived"] += 1
                    if verdict == "survived" or options.verbose:
                        print("%s %d %s" % (verdict.split(":")[0], place.line,
                                            place.key()) +
                              (" [%s]" % verdict if verdict != "survived"
                               else ""), flush=True)
    for name, (yes, no) in sorted(files.items()):
        print("%-36s caught %3d of %3d" % (name, yes, yes + no))
    low, high = wilson(caught, tried)
    print("mutants: sample=%d caught=%d share=%.2f interval=%.2f-%.2f" % (
        tried, caught, caught / tried, low, high))
    return 0 if caught >= 0.8 * tried else 1


if __name__ == "__main__":
    sys.exit(main())
