#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hs-perf figures in short: a few steps, an interruption in between, the page
drawn from what is there. Nothing is asserted about speed."""
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.dom.minidom

BUILD = os.environ.get("HS_BUILD", "build")
PERF = os.path.join(BUILD, "bench", "hs-perf")


def check(good, what):
    if not good:
        sys.exit("FAILED: " + what)
    print("ok: " + what)


def figures(folder, *words):
    done = subprocess.run([PERF, "figures", "--quick", "-o", folder, *words],
                          stderr=subprocess.PIPE, text=True, timeout=200,
                          check=False)
    return done.returncode, done.stderr


def main():
    with tempfile.TemporaryDirectory(prefix="hs-figures-") as folder:
        code, said = figures(folder, "--only", "nothing")
        check(code == 2 and "nothing begins with it" in said, "no such step")
        code, said = figures(folder, "--only", "6-none-2000")
        check(code == 0, "one tracer: %s" % said)
        raw = os.path.join(folder, "raw")
        first = {name: os.stat(os.path.join(raw, name)).st_mtime_ns
                 for name in os.listdir(raw)}
        check(sorted(first) == ["6-none-2000.json", "6-none-20000.json"],
              "its files: %r" % sorted(first))
        # What an interrupted run leaves half is made again; the rest stays.
        os.truncate(os.path.join(raw, "6-none-20000.json"), 100)
        code, said = figures(folder, "--only", "6-none", "--only",
                             "6-hindsight-2000", "--only", "5c")
        check(code == 0, "it goes on: %s" % said)
        check(os.stat(os.path.join(raw, "6-none-2000.json")).st_mtime_ns ==
              first["6-none-2000.json"], "without what was there")
        with open(os.path.join(raw, "6-none-20000.json"),
                  encoding="utf-8") as text:
            answer = json.load(text)
        check(folder not in answer["command"], "without its own paths")
        check(answer["details"][0]["measured"] > 0 and
              answer["command"].startswith("hs-perf services "),
              "a step says what it measured, and how")
        with open(os.path.join(folder, "index.html"),
                  encoding="utf-8") as text:
            page = text.read()
        plots = re.findall(r"<svg.*?</svg>", page, re.S)
        for plot in plots:
            xml.dom.minidom.parseString(plot)
        check(len(plots) >= 2, "%d plots that are SVG" % len(plots))
        for word in ("Figure 3", "Figure 4", "Figure 5", "Figure 6",
                     "Figure 7", "What differs from the paper"):
            check(word in page, "the page has: " + word)
        with open(os.path.join(folder, "summary.json"),
                  encoding="utf-8") as text:
            summary = {one["name"]: one for one in json.load(text)["results"]}
        check(summary["queue_culprits"]["n"] == 10 and
              summary["queue_culprits"]["step"] == "5c-queue",
              "the summary says what, of how many, and where it is from")
        check(all("lost_share" in one and "valid" in one
                  for one in summary.values()),
              "nothing is said without what was lost of it")
        resumed(folder, raw)
        sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(
            __file__)), "..", "..", "bench", "figures"))
        beyond(raw)
    invalid()


def edit(path, change):
    with open(path, encoding="utf-8") as text:
        answer = json.load(text)
    change(answer)
    with open(path, "w", encoding="utf-8") as text:
        json.dump(answer, text)


def resumed(folder, raw):
    """What came of another command is made anew."""
    low = os.path.join(raw, "6-none-2000.json")
    edit(low, lambda answer: answer.update(command="hs-perf services"))
    code, said = figures(folder, "--only", "6-none-2000")
    with open(low, encoding="utf-8") as text:
        check(code == 0 and "--rate 2000 " in json.load(text)["command"],
              "another command's answer is made anew: %s" % said)


def beyond(raw):
    """A load beyond one that was not carried is left out, and those after."""
    # pylint: disable=import-outside-toplevel,import-error
    from figures import is_left_out
    from steps import Step
    first = Step("6-none-2000", [])
    second = Step("6-none-4000", [], beyond=first)
    third = Step("6-none-8000", [], beyond=second)
    low = os.path.join(raw, "6-none-2000.json")
    for unsent, left_out in ((0, False), (1000, True)):
        edit(low, lambda answer, n=unsent: answer["details"][0].update(
            unsent=n, offered=2000, seconds=1))
        check([is_left_out(os.path.dirname(raw), one) for one in (
            first, second, third)] == [False, left_out, left_out],
            "with %d of 2000 that did not begin" % unsent)


def invalid():
    """A point that lost too much looks different."""
    # pylint: disable=import-outside-toplevel,import-error
    from draw import plot
    from sections import capture_of
    good, bad = (plot([{"name": "a", "points": [(1, 1, False), (2, 2, lost)]}],
                      "x", "y") for lost in (False, True))
    check('fill="#fff"' not in good and 'fill="#fff"' in bad,
          "an invalid point is a crossed ring")
    lossy = {"offered": 1, "edge": {"all": 2, "whole": 1}, "lost_share": 0.5}
    check(capture_of("hindsight")(lossy) == (1, 0.5, True) and
          capture_of("head:0.01")(lossy) == (1, 0.5, True) and
          capture_of("tail-async")(lossy) == (1, 0.5, False),
          "what was lost makes a share invalid, but a tail sampler's")


if __name__ == "__main__":
    main()
