#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A fabric under churn for as long as asked, looked at all the while.

    soak.py [--minutes M] [--processes N] [--seed N] [--json FILE]

Processes come, start threads that come and go, and end or are killed. At every
look, once a second, each domain's buffers must add up to its pool, as counted
and as counted again from the buffers themselves. What must be flat is memory
that belongs to a daemon alone, and descriptors: the slope over the last four
fifths of the time is reported, with 95 %, and when all applications have ended
descriptors must be back where they were.
"""
import argparse
import os
import random
import signal
import subprocess
import sys
import time
import traceback

from fabric import Failure, Fabric, ask, program, wait_for
from figures import Report, slope_interval

LOOK_S = 1.0
SAY_S = 10.0
GROWTH_MAX_BYTES = 8 << 20
# Each connection to the collector's index, one that writes and one that reads,
# caches pages up to here (collector/index.c).
INDEX_CACHE_BYTES = 2 * (16 << 20)


class Herd:
    """A few applications at a time, each for some seconds."""

    def __init__(self, fabric, rng, size):
        self.fabric = fabric
        self.rng = rng
        self.size = size
        self.alive = []
        self.counts = {"started": 0, "killed": 0, "ended": 0}

    def start(self):
        seconds = 1 + self.rng.random() * 6
        process = subprocess.Popen(
            [program("churn"), self.fabric.path("app-0.sock"),
             "%.1f" % seconds, str(self.rng.randrange(1 << 30)),
             str(self.rng.randrange(1, 9)), "200"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        dies = self.rng.random() < 0.3
        self.alive.append((process, time.monotonic() +
                           self.rng.random() * seconds if dies else None))
        self.counts["started"] += 1

    def tend(self):
        for one in list(self.alive):
            process, dies = one
            if process.poll() is not None:
                if process.returncode:
                    raise Failure("churn ended with %d" % process.returncode)
                self.counts["ended"] += 1
                self.alive.remove(one)
            elif dies and time.monotonic() > dies:
                process.send_signal(signal.SIGKILL)
                process.wait()
                self.counts["killed"] += 1
                self.alive.remove(one)
        while len(self.alive) < self.size:
            self.start()

    def end(self):
        for process, _ in self.alive:
            process.kill()
            process.wait()
        self.alive = []


def own_bytes(pid):
    """Memory that nobody shares: of a leak it is the first to grow."""
    with open("/proc/%d/status" % pid, encoding="ascii") as lines:
        for line in lines:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise Failure("no RssAnon of %d" % pid)


def nr_fds(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


class Watch:
    """What is looked at, over time."""

    def __init__(self, fabric):
        self.fabric = fabric
        self.pids = {
            "worker": fabric.worker("agent-0"),
            "keeper": fabric.running["agent-0"].pid,
            "coordinator": fabric.running["coordinator"].pid,
            "collector": fabric.running["collector"].pid}
        self.times = []
        self.memory = {name: [] for name in self.pids}
        self.fds = {name: [] for name in self.pids}
        self.looks = 0

    def sums(self):
        status = self.fabric.status("agent-0")
        for domain in status["domains"]:
            if sum(domain["occupancy"].values()) != domain["buffers"]["total"]:
                raise Failure("states do not add up: %r" % domain)
        code, answer = ask(self.fabric.control("agent-0"), "GET", "/v1/check")
        if code != 200 or not answer["good"]:
            raise Failure("the agent's check: %r" % answer)
        if status["node"]["pid"] != self.pids["worker"]:
            raise Failure("the worker is another one")
        self.looks += 1
        return status

    def look(self):
        status = self.sums()
        self.times.append(time.monotonic())
        for name, pid in self.pids.items():
            self.memory[name].append(own_bytes(pid))
            self.fds[name].append(nr_fds(pid))
        return status

    def steady(self, series):
        """Times and values without the first fifth."""
        first = len(self.times) // 5
        return self.times[first:], series[first:]


def say(watch, herd, status, left_s):
    at = status["domains"][0]["occupancy"]
    print("soak: %4.0f s left, %d looks, processes %d/%d/%d, %d requests "
          "stored, worker %.1f MB %d fds, %s" % (
              left_s, watch.looks, herd.counts["started"],
              herd.counts["ended"], herd.counts["killed"],
              status["outcomes"]["stored"],
              watch.memory["worker"][-1] / 1e6, watch.fds["worker"][-1],
              " ".join("%s=%d" % one for one in at.items())), flush=True)


def judge(watch, report):
    """Slopes, and whether memory grows in a way that would not stop."""
    for name in watch.pids:
        times, values = watch.steady(watch.memory[name])
        slope, low, high = slope_interval(times, values)
        report.add("soak_memory_" + name, "B/s", slope, low, high,
                   len(values), "%.2f MB at the end" % (values[-1] / 1e6))
        times, fds = watch.steady(watch.fds[name])
        slope, low, high = slope_interval(times, fds)
        report.add("soak_fds_" + name, "1/s", slope, low, high, len(fds),
                   "%d to %d" % (min(fds), max(fds)))
        most = GROWTH_MAX_BYTES
        if name == "collector":
            most += INDEX_CACHE_BYTES
        if values[-1] - values[0] > most:
            raise Failure("%s grew from %d to %d bytes" % (
                name, values[0], values[-1]))


def soak(options):
    rng = random.Random(options.seed)
    report = Report()
    with Fabric(1, pool="64MiB") as fabric:
        herd = Herd(fabric, rng, options.processes)
        # The domain is made by the first; its descriptors stay.
        fabric.app(0, "first").close()
        wait_for("nobody", lambda: not fabric.status("agent-0")[
            "domains"][0]["processes"])
        # So does what the keeper holds of the worker that stands by.
        wait_for("a worker stands by",
                 lambda: fabric.status("agent-0")["standby"]["pid"])
        watch = Watch(fabric)
        at_first = {name: nr_fds(pid) for name, pid in watch.pids.items()
                    if name in ("worker", "keeper")}
        end = time.monotonic() + options.minutes * 60
        next_look = next_say = time.monotonic()
        while time.monotonic() < end:
            herd.tend()
            time.sleep(0.05)
            if time.monotonic() < next_look:
                continue
            next_look += LOOK_S
            status = watch.look()
            if time.monotonic() >= next_say:
                next_say += SAY_S
                say(watch, herd, status, end - time.monotonic())
        herd.end()

        def quiet():
            status = watch.sums()
            at = status["domains"][0]["occupancy"]
            fds = {name: nr_fds(watch.pids[name]) for name in at_first}
            if (at["stocked"] or at["written"] or fds != at_first or
                    status["queues"]["slices"]):
                raise OSError("%r, descriptors %r, at first %r" % (
                    at, fds, at_first))
            return True
        wait_for("all is given back", quiet)
        say(watch, herd, watch.sums(), 0)
        report.add("soak_sums", "looks", watch.looks, watch.looks,
                   watch.looks, watch.looks,
                   "each time all states added up; %r" % herd.counts)
        judge(watch, report)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json")
    options = parser.parse_args()
    try:
        report = soak(options)
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        return 1
    report.print()
    if options.json:
        report.save(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
