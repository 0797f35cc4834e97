#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hs-perf services, whole: what it says of captured requests is held against
what has to be so. Nothing is asserted about speed."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

PERF = os.path.join(os.environ.get("HS_BUILD", "build"), "bench", "hs-perf")
# What is built here; rings are the measure of the others.
CARRIERS = ["tcp"]
if os.path.exists(os.path.join(os.path.dirname(PERF), "peer_services.so")):
    CARRIERS.append("dpdk")


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


def over_carriers():
    """The same requests over TCP and DPDK: each edge case is whole, and whoever
    is called is called as often as over rings."""
    for way in ("threads", "processes"):
        said = {}
        for calls in ["rings", *CARRIERS]:
            results, details = run(
                "-t", "chain:3", "--as", way, "--calls", calls, "--rate",
                "500", "--requests", "150", "--edge", "0.2", "--seed", "7")
            edge = captured(details)
            check(edge["whole"] == edge["all"],
                  "as %s over %s all edge cases are whole: %r, lost %g" % (
                      way, calls, edge, details[0]["lost_share"]))
            check(details[0]["over"] == calls and
                  results["services_rate"]["calls"] == calls,
                  "and say that it was over " + calls)
            asked = details[0]["bursts" if calls == "dpdk" else
                               "system_calls"]
            check((asked["writes"] > 0) == (calls != "rings") and
                  ("services_system_calls" in results) == (calls == "tcp") and
                  ("services_bursts" in results) == (calls == "dpdk"),
                  "with system calls or bursts where there were: %r" % asked)
            said[calls] = (details[0]["received"], details[0]["calls"])
        for calls in CARRIERS:
            check(said[calls] == said["rings"] and said[calls][0] == 150 and
                  set(said[calls][1].values()) == {150},
                  "the calls of each service: %r" % said)


def saturated():
    """More than it takes, from a generator of its own: nothing is lost."""
    for calls in CARRIERS:
        _, details = run("-t", "chain:3", "--as", "processes", "--calls", calls,
                         "--rate", "2M", "--in-flight", "16384", "--generator",
                         "own", "--tracer", "none")
        got = details[0]["received"]
        check(got > 0 and set(details[0]["calls"].values()) == {got},
              "a call of each for each request over %s: %d, %r" % (
                  calls, got, details[0]["calls"]))


def children(pid):
    path = "/proc/%d/task/%d/children" % (pid, pid)
    with open(path, encoding="ascii") as text:
        return [int(one) for one in text.read().split()]


def holds_sockets(pid):
    folder = "/proc/%d/fd" % pid
    for one in os.listdir(folder):
        try:
            if os.readlink(os.path.join(folder, one)).startswith("socket"):
                return True
        except FileNotFoundError:
            pass
    return False


def has_ended(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as text:
        return text.read().rsplit(")", 1)[1].split()[0] == "Z"


def wait_for(what, so):
    for _ in range(6000):
        if so():
            return
        time.sleep(0.01)
    raise SystemExit("FAILED: not within a minute: " + what)


def tcp_ended():
    """A process that ends is missed by those it is connected to, by name. The
    one that started them stands still until they have: it tells them to."""
    with subprocess.Popen(
            [PERF, "services", "-t", "chain:3", "--as", "processes",
             "--calls", "tcp", "--tracer", "none", "--rate", "1k", "--span",
             "100s"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True) as run_:
        try:
            wait_for("three processes, and their ends are theirs alone",
                     lambda: len(children(run_.pid)) == 3 and
                     not holds_sockets(run_.pid))
            os.kill(run_.pid, signal.SIGSTOP)
            first, second, third = children(run_.pid)
            os.kill(second, signal.SIGKILL)
            wait_for("the others end", lambda: has_ended(first) and
                     has_ended(third))
            os.kill(run_.pid, signal.SIGCONT)
            said = run_.communicate(timeout=60)[1]
        finally:
            run_.kill()
    check(run_.returncode == 1, "the run ends with 1")
    check(said.count("lost its connection to that of service2") == 2,
          "both say whom they miss: " + said[-500:])
    check("process 1 has ended by signal 9" in said, "and it is named")


def cut_short():
    """Listed while the collector still has to sum up what it has: no trace
    counts as partial that nobody gives a cause for."""
    _, details = run("-t", "two", "--rate", "20k", "--edge", "1", "--settle",
                     "300ms")
    edge = captured(details)
    check(sum(edge["causes"].values()) >= edge["partial"],
          "partial ones say why: %r" % edge)


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
            (("--calls", "udp"), "rings, tcp or dpdk"),
            (("--small-pool", "9:1MiB"), "NODE:SIZE")):
        check(right in run(*words, expect=2), "says '%s'" % right)
    check("and can have 32" in run(
        "-t", "chain:40", "--threads", "20", "--calls", "dpdk", expect=1),
        "more ports than DPDK has are refused before anything starts")


if __name__ == "__main__":
    for scenario in (refusals, chain, over_carriers, saturated, tcp_ended,
                     cut_short, faulty_service, untriggered, head,
                     tails):
        if len(sys.argv) < 2 or scenario.__name__ in sys.argv[1:]:
            print("== " + scenario.__name__)
            scenario()
