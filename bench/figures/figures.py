#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hs-perf figures: the paper's section 6 at the size of this machine.

Each step leaves a file in the folder's raw/; what is there and came of the same
command is not run again, so an interrupted run goes on, and a report can be
drawn anew. What is claimed anywhere is in summary.json, which is small.
"""
import argparse
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from report import write_report  # noqa: E402
from steps import all_steps, is_beyond  # noqa: E402
from summary import write_summary  # noqa: E402

STEP_LIMIT_S = 900


def options():
    parser = argparse.ArgumentParser(
        prog="hs-perf figures", description=__doc__.split("\n")[0],
        epilog="Results go to FOLDER/index.html, FOLDER/summary.json, "
        "FOLDER/*.svg and FOLDER/raw/*.json. Exit "
        "status: 0 all there, 1 a step failed, 2 usage.")
    parser.add_argument("--output", "-o", default="figures", metavar="FOLDER")
    parser.add_argument("--quick", action="store_true",
                        help="short spans and few points: whether it works")
    parser.add_argument("--only", metavar="NAME", action="append",
                        help="only steps that begin with this: 3, 4, 5a, 6, "
                        "7, table3; again for more")
    parser.add_argument("--again", action="store_true",
                        help="run steps even if they are there")
    parser.add_argument("--draw", action="store_true",
                        help="run nothing, draw what is there")
    parser.add_argument("--perf", default="hs-perf", help=argparse.SUPPRESS)
    return parser.parse_args()


def commands_of(perf):
    text = subprocess.run([perf, "--help"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    return {line.split()[0] for line in text.splitlines()
            if line.startswith("  ") and line.split()}


class Bar:
    """Where it is; a line each where nobody watches."""

    def __init__(self, total):
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.ran = 0
        self.tty = sys.stderr.isatty()

    def show(self, name):
        spent = time.monotonic() - self.start
        left = (spent / self.ran * (self.total - self.done)
                if self.ran else 0)
        filled = 30 * self.done // max(self.total, 1)
        text = "[%s%s] %d/%d %-28s %s" % (
            "#" * filled, "." * (30 - filled), self.done, self.total, name,
            "about %d min left" % (left / 60 + 1) if left else "")
        sys.stderr.write("\r" + text if self.tty else text + "\n")
        sys.stderr.flush()


def path_of(folder, step):
    return os.path.join(folder, "raw", step.name + ".json")


def load(path):
    try:
        with open(path, encoding="utf-8") as text:
            return json.load(text)
    except (OSError, ValueError):
        return None


def words_of(folder, step):
    """What it runs, or None while what that depends on is not there."""
    words = step.words + ["--json"]
    if step.after:
        first = load(path_of(folder, step.after[0]))
        if not first:
            return None
        words += step.after[1](first)
    return words


def command_of(words):
    """As it is written down: without the files that it leaves here."""
    return " ".join(["hs-perf"] + words)


def is_there(folder, step):
    """Whether its answer is, and came of what would be run now."""
    answer = load(path_of(folder, step))
    words = words_of(folder, step)
    return bool(answer and words and
                answer.get("command") == command_of(words))


def is_left_out(folder, step):
    """Whether the load before was more than was carried, or left out."""
    if not step.beyond:
        return False
    before = load(path_of(folder, step.beyond))
    if before:
        return is_beyond(before["details"][0])
    return is_left_out(folder, step.beyond)


def run_step(perf, folder, step):
    """Run it and keep its answer, whole or not at all. Return: it is there"""
    final = path_of(folder, step)
    details, truths = final + ".details", final[:-5] + ".csv"
    words = words_of(folder, step)
    if not words:
        return False
    files = []
    if step.reads_details:
        files += ["--details", details]
    if step.truths:
        files += ["--truths", truths]
    try:
        done = subprocess.run([perf] + words + files, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True,
                              timeout=STEP_LIMIT_S, check=False)
        answer = json.loads(done.stdout)
    except (ValueError, subprocess.TimeoutExpired) as error:
        sys.stderr.write("\n%s: %s\n" % (step.name, error))
        return False
    answer["command"] = command_of(words)
    answer["complaints"] = done.stderr
    if step.reads_details:
        answer["details"] = load(details)
        if os.path.exists(details):
            os.unlink(details)
        if not answer["details"] or "achieved" not in answer["details"][0]:
            sys.stderr.write("\n%s: %s\n" % (step.name, done.stderr[-400:]))
            return False
    with open(final + ".new", "w", encoding="utf-8") as out:
        json.dump(answer, out, indent=1)
    os.replace(final + ".new", final)
    return True


def main():
    asked = options()
    os.makedirs(os.path.join(asked.output, "raw"), exist_ok=True)
    steps = all_steps(asked.quick, commands_of(asked.perf))
    wanted = [step for step in steps if not asked.only or
              any(step.name.startswith(name) for name in asked.only)]
    for name in asked.only or []:
        if not any(step.name.startswith(name) for step in steps):
            sys.stderr.write("hs-perf figures: --only %s: nothing begins with "
                             "it; there are %s\n" %
                             (name, " ".join(step.name for step in steps)))
            return 2
    bar = Bar(len(wanted))
    failed = []
    for step in wanted if not asked.draw else []:
        bar.show(step.name)
        if (asked.again or not is_there(asked.output, step)) and \
                not is_left_out(asked.output, step):
            bar.ran += 1
            # Once more: a busy machine may let a daemon start too late.
            if not run_step(asked.perf, asked.output, step) and \
                    not run_step(asked.perf, asked.output, step):
                failed.append(step.name)
        bar.done += 1
    bar.show("drawing")
    answers = {step.name: load(path_of(asked.output, step))
               for step in steps}
    answers = {name: answer for name, answer in answers.items() if answer}
    page = write_report(asked.output, answers, asked.quick)
    write_summary(asked.output, answers)
    sys.stderr.write("\n%s\n" % page)
    if failed:
        sys.stderr.write("not measured: %s\n" % " ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
