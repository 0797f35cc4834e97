#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hs-perf services, whole: what it says of captured requests is held against
what has to be so. Nothing is asserted about speed."""
import json
import os
import subprocess
import sys
import tempfile

PERF = os.path.join(os.environ.get("HS_BUILD", "build"), "bench", "hs-perf")


def check(good, what):
    if not good:
        raise SystemExit("FAILED: " + what)
    print("ok: " + what)


def run(*words, expect=0):
    """The results by name, and the details of each run."""
    with tempfile.TemporaryDirectory(prefix="hs-svc-") as folder:
        path = os.path.join(folder, "details.json")
        done = subprocess.run(
            [PERF, "services", "--json", "--details", path, "--warm", "100ms",
             "--span", "400ms", "--pool", "32MiB", "--idle", "sleep", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=200, check=False)
        check(done.returncode == expect,
              "%s ends with %d: %s" % (" ".join(words), done.returncode,
                                       done.stderr[-300:]))
        if expect:
            return done.stderr
        with open(path, encoding="utf-8") as text:
            details = json.load(text)
    results = {one["name"]: one for one in json.loads(done.stdout)["results"]}
    return results, details


def captured(details):
    edge = details[0]["edge"]
    check(edge["all"] > 10, "there were edge cases: %r" % edge)
    check(edge["all"] == sum(edge[key] for key in (
        "whole", "partial", "open", "missing")), "each is counted once")
    return edge


def chain():
    """Processes over two nodes: every edge case is whole, every call there."""
    results, details = run("-t", "chain:3", "--as", "processes", "--rate",
                           "500", "--edge", "0.2")
    edge = captured(details)
    check(edge["whole"] == edge["all"],
          "all edge cases are whole: %r, lost %g" % (
              edge, details[0]["lost_share"]))
    check(details[0]["nr_collected"] >= edge["whole"], "and were collected")
    check("services_calls_off" not in results and
          details[0]["calls_compared"] == 0,
          "too few calls are not compared, and no figure says they were")
    results, details = run("-t", "chain:3", "--rate", "40k", "--tracer",
                           "none")
    check(details[0]["calls_compared"] == 3 and
          results["services_calls_off"]["median"] == 0,
          "three calls for each request")


def faulty_service():
    """A symptom in the middle, found by the agents' rule."""
    _, details = run("-t", "chain:3", "--rate", "500", "--edge", "0.2",
                     "--symptom", "failing", "--at", "service2", "--trigger",
                     "rule")
    edge = captured(details)
    check(edge["whole"] == edge["all"],
          "whole traces of failures inside: %r" % edge)


def untriggered():
    """Without a trigger nothing is collected."""
    _, details = run("-t", "two", "--rate", "500", "--edge", "0.2",
                     "--trigger", "none")
    edge = captured(details)
    check(edge["missing"] == edge["all"], "none is there: %r" % edge)
    check(details[0]["nr_collected"] == 0, "nor any other")


def head():
    """The fabric's own head sampling collects its share, whole."""
    _, details = run("-t", "two", "--rate", "2000", "--tracer",
                     "fabric-head:0.2", "--edge", "0.2", "--trigger", "none")
    edge = captured(details)
    check(0 < edge["whole"] < edge["all"], "a share of them: %r" % edge)


def tails():
    """Spans over OTLP, decided upon at a collector."""
    for tracer in ("tail-sync", "tail-async"):
        _, details = run("-t", "two", "--rate", "200", "--edge", "0.3",
                         "--tracer", tracer)
        edge = captured(details)
        check(edge["whole"] == edge["all"],
              "%s keeps them at a low rate: %r" % (tracer, edge))
        check(details[0]["spans_dropped"] == 0 and
              details[0]["sink_spans"] == details[0]["spans_sent"],
              "the collector got what was sent")
    _, details = run("-t", "two", "--rate", "500", "--edge", "0.3",
                     "--tracer", "head:0.1")
    edge = captured(details)
    check(edge["whole"] < edge["all"] / 2, "head misses most: %r" % edge)


def refusals():
    """What is asked for wrongly is refused in a line."""
    for words, right in (
            (("--tracer", "heads"), "head:SHARE"),
            (("--rate", "fast"), "numbers"),
            (("--at", "nobody"), "a service by name"),
            (("--otlp", "https://x"), "http://HOST:PORT"),
            (("-t", "/nonexistent.json"), "wants a file"),
            (("--small-pool", "9:1MiB"), "NODE:SIZE")):
        check(right in run(*words, expect=2), "says '%s'" % right)


if __name__ == "__main__":
    for scenario in (refusals, chain, faulty_service, untriggered, head,
                     tails):
        if len(sys.argv) < 2 or scenario.__name__ in sys.argv[1:]:
            print("== " + scenario.__name__)
            scenario()
