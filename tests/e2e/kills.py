#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An agent's worker killed at random moments under load.

    kills.py storm [--kills N] [--seed N] [--rate N] [--json FILE]
    kills.py adoption [--kills N] [--pool SIZE] [--buffer SIZE] [--json FILE]
                      [--beside BUILD]

storm: an open-loop application runs all the while. Half of the time nothing
happens to it, which is the control; in the other half the worker is killed
once. Afterwards every trigger that was acknowledged must have been delivered,
and of the traces that were in memory at a kill a sample is fired after it, and
must be whole. Which share of them is, and how long requests took beside the
control, is measured.

adoption: how long a successor takes over a pool that is full; beside that of
another build, kill by kill in turns, since a machine that others use, too, has
minutes that are half as fast as others.

States are asserted, times are only reported: the machine may be busy.
"""
import argparse
import collections
import os
import random
import signal
import struct
import subprocess
import sys
import time
import traceback

import fabric as fabrics
from fabric import Failure, Fabric, program, wait_for
from figures import Report, median_interval, quantile

RECORD = struct.Struct("<QIIQQII")
TRIGGERED = 1
REFUSED = 2
HALF_S = 0.5        # a control, or a kill with what is around it
BEFORE_S = 0.1      # of a window before its kill
LATE_EACH = 100     # traces fired after a kill
PAST_S = 2.5        # how far back they may lie: the pool holds twice that
SETTLE_S = 120
POOL = "8MiB"


class Pacer:
    """The application; its records are read as they come."""

    def __init__(self, fabric, rate, seconds, size, every, node=0):
        self.path = fabric.path("records-%d" % node)
        self.process = subprocess.Popen(
            [program("pacer"), fabric.path("app-%d.sock" % node), str(rate),
             str(seconds), str(size), str(every), self.path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "attached\n":
            raise Failure("the pacer did not attach")
        self.file = open(self.path, "rb")
        self.rest = b""
        self.records = []

    def read(self):
        """Take in what was written by now; the last ones may be missing."""
        data = self.rest + self.file.read()
        whole = len(data) - len(data) % RECORD.size
        self.records += RECORD.iter_unpack(data[:whole])
        self.rest = data[whole:]

    def end(self):
        """Return its counters."""
        self.process.stdin.close()
        self.process.stdin = None
        out = self.process.communicate()[0]
        if self.process.returncode:
            raise Failure("the pacer ended with %d" % self.process.returncode)
        self.read()
        self.file.close()
        return {key: int(value) for key, value in
                (pair.split("=") for pair in out.split())}


def ident(record):
    return "%016x%016x" % (record[3], record[4])


def done_ns(record):
    return record[0] + record[1]


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def kill_worker(fabric):
    """Return (ns when, what its successor says of the adoption)."""
    worker = fabric.worker("agent-0")
    when = now_ns()
    os.kill(worker, signal.SIGKILL)

    def successor():
        status = fabric.status("agent-0")
        return status if status["node"]["pid"] != worker else None
    return when, wait_for("a successor", successor)["adoption"]


class Storm:
    """Controls and kills in turns A B B A, and what they did."""

    def __init__(self, fabric, rng, rate):
        self.fabric = fabric
        self.rng = rng
        self.late_app = fabric.app(0, "late")
        self.pacer = Pacer(fabric, rate, 24 * 3600, 300, 20)
        self.controls = []   # (begin_ns, end_ns)
        self.kills = []
        self.adoptions = []
        self.stood_by = 0    # successors that did
        self.late = {}       # trace -> its kill
        self.waiting = None  # a kill whose sample is not fired yet

    def control(self):
        """As a kill, but for the kill: this script's own load counts too."""
        time.sleep(BEFORE_S + self.rng.random() * HALF_S / 2)
        self.fabric.worker("agent-0")
        when = now_ns()
        for _ in range(3):
            self.fabric.status("agent-0")
            time.sleep(0.02)
        self.wait_window(self.controls, when)

    def wait_window(self, windows, when):
        windows.append((when - int(BEFORE_S * 1e9),
                        when + int((HALF_S - BEFORE_S) * 1e9)))
        time.sleep(max(0.0, windows[-1][1] / 1e9 - now_ns() / 1e9))

    def kill(self):
        time.sleep(BEFORE_S + self.rng.random() * HALF_S / 2)
        when, adoption = kill_worker(self.fabric)
        self.adoptions.append(adoption["ns"])
        self.stood_by += adoption.get("stood_by", False)
        self.waiting = when
        self.wait_window(self.kills, when)

    def fire_late(self):
        """A sample of what was in memory at the kill before."""
        if self.waiting is None:
            return
        self.pacer.read()
        kill, self.waiting = self.waiting, None
        kept = [r for r in self.pacer.records
                if kill - PAST_S * 1e9 < r[0] and done_ns(r) < kill and
                not r[5] and ident(r) not in self.late]
        # A third are those just before it: in lanes, not yet in the index.
        newest = kept[-LATE_EACH // 3:]
        rest = kept[:-len(newest)] if newest else kept
        sample = newest + self.rng.sample(
            rest, min(len(rest), LATE_EACH - len(newest)))
        for record in sample:
            self.late_app.say("trigger late " + ident(record))
            self.late[ident(record)] = kill

    def run(self, kills):
        for i in range(kills):
            turns = [self.control, self.kill]
            for turn in turns if i % 2 == 0 else reversed(turns):
                self.fire_late()
                turn()
            if i % 10 == 9:
                print("storm: %d of %d kills, %d traces, %d fired late" % (
                    i + 1, kills, len(self.pacer.records), len(self.late)),
                      flush=True)
        self.control()
        self.fire_late()
        return self.pacer.end()


def settled(fabric, wanted):
    """The rows by trace, once all that is wanted is there and closed."""
    def probe():
        rows = {row["trace_id"]: row for row in fabric.rows()}
        missing = wanted - set(rows)
        opened = [t for t, row in rows.items() if row["mark"] == "open"]
        if missing or opened:
            raise OSError("%d of %d missing, such as %r; %d open" % (
                len(missing), len(wanted), list(missing)[:3], len(opened)))
        return rows
    return wait_for("all that was triggered is settled", probe, SETTLE_S)


def causes_of(rows):
    return dict(collections.Counter(
        cause["cause"] for row in rows for cause in row["causes"]))


def windowed(records, windows):
    """The lateness of the requests due in each window, in us."""
    out = []
    at = 0
    for begin, end in sorted(windows):
        while at < len(records) and records[at][0] < begin:
            at += 1
        upto = at
        while upto < len(records) and records[upto][0] < end:
            upto += 1
        if upto > at:
            out.append([r[1] / 1000 for r in records[at:upto]])
    return out


def report_latency(report, storm):
    controls = windowed(storm.pacer.records, storm.controls)
    kills = windowed(storm.pacer.records, storm.kills)
    flat = [v for window in kills for v in window]
    flat_control = [v for window in controls for v in window]
    for name, share in (("p50", .5), ("p99", .99), ("p999", .999)):
        pairs = [quantile(k, share) / max(1e-3, quantile(c, share))
                 for k, c in zip(kills, controls)]
        ratio, low, high = median_interval(pairs)
        report.add("kill_latency_" + name, "us", quantile(flat, share),
                   quantile(flat, share), quantile(flat, share), len(flat),
                   "control %.0f us; ratio of pairs %.3f [%.3f, %.3f]" % (
                       quantile(flat_control, share), ratio, low, high),
                   ratio={"control": ratio})


def run_storm(options):
    rng = random.Random(options.seed)
    report = Report()
    # Small, so that traces are evicted all the while: what is kept must be
    # the most recent past, whoever's successor keeps it.
    with Fabric(1, pool=POOL) as fabric:
        storm = Storm(fabric, rng, options.rate)
        counts = storm.run(options.kills)
        records = storm.pacer.records
        fired = {ident(r) for r in records if r[5] & TRIGGERED}
        refused = sum(1 for r in records if r[5] & REFUSED)
        rows = settled(fabric, fired | set(storm.late))
        stray = set(rows) - fired - set(storm.late)
        late = [rows[t] for t in storm.late]
        whole = [row for row in late if row["mark"] == "complete"]
        parts = [row for row in rows.values() if row["mark"] == "partial"]
        print("storm: seed=%d kills=%d requests=%d acknowledged=%d "
              "refused=%d partial=%d causes=%r %r" % (
                  options.seed, len(storm.kills), len(records), len(fired),
                  refused, len(parts), causes_of(parts), counts))
        bad = [row for row in late if row["mark"] != "complete"]
        report.add_share("kill_acknowledged", len(fired & set(rows)),
                         len(fired), "triggers delivered")
        report.add_share("kill_retained", len(whole), len(late),
                         "traces in memory at a kill, whole after it; "
                         "else %r" % causes_of(bad))
        middle, low, high = median_interval(storm.adoptions)
        report.add("kill_adoption", "ms", middle / 1e6, low / 1e6,
                   high / 1e6, len(storm.adoptions),
                   "a pool of %s, %d by who stood by" % (
                       POOL, storm.stood_by))
        report_latency(report, storm)
        if stray:
            raise Failure("collected and never triggered: %r" % stray)
        if any(not row["causes"] for row in parts):
            raise Failure("partial without a cause")
        if len(whole) < 0.999 * len(late):
            raise Failure("%d of %d retained traces, %r" % (
                len(whole), len(late), bad[:3]))
    return report


def fill(fabric, size):
    """Until its memory has been used again and again, as it is in the long
    run; traces of one buffer each."""
    with subprocess.Popen(
            [program("pacer"), fabric.path("app-0.sock"), "0", "3600",
             str(size), "0", ""], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True) as pacer:
        def full():
            status = fabric.status("agent-0")
            return status["domains"] and (
                status["stats"]["traces_evicted"] >
                status["domains"][0]["buffers"]["total"])
        wait_for("a full pool", full, 600)
        pacer.communicate()
    wait_for("its end is known", lambda: not fabric.status("agent-0")[
        "domains"][0]["processes"])


def held(fabric):
    return fabric.status("agent-0")["domains"][0]["occupancy"]["held"]


def check_held(before, after):
    """What is not adopted costs nothing."""
    if after != before:
        raise Failure("%d buffers before, %d after" % (before, after))


def prepared(fabric):
    return fabric.status("agent-0")["standby"].get("pid")


def ms_per_gb(adoption, key):
    return adoption[key] / 1e6 / (adoption["pool_bytes"] / 1e9)


def run_beside(options, report):
    """Of each pair one kill, who is first by turns."""
    builds = [fabrics.BUILD, options.beside]
    made, before, adoptions = [], [], [[], []]
    try:
        for build in builds:
            fabrics.BUILD = build
            made.append(Fabric(1, pool=options.pool))
            fill(made[-1].__enter__(), options.payload)
            before.append(held(made[-1]))
        for i in range(options.kills):
            for k in (0, 1) if i % 2 == 0 else (1, 0):
                fabrics.BUILD = builds[k]
                wait_for("a standby", lambda k=k: prepared(made[k]))
                adoptions[k].append(kill_worker(made[k])[1])
        for k, fabric in enumerate(made):
            fabrics.BUILD = builds[k]
            check_held(before[k], held(fabric))
    finally:
        for fabric in made:
            fabric.__exit__(*sys.exc_info())
        fabrics.BUILD = builds[0]
    for key, name in (("ns", "adoption_ms_per_GB"),
                      ("cpu_ns", "adoption_cpu_ms_per_GB")):
        ours, theirs = ([ms_per_gb(a, key) for a in each]
                        for each in adoptions)
        ratio, ratio_low, ratio_high = median_interval(
            [a / b for a, b in zip(ours, theirs)])
        middle, low, high = median_interval(ours)
        report.add(name, "ms/GB", middle, low, high, options.kills,
                   "beside %.1f; least %.1f and %.1f; ratio of pairs "
                   "%.3f [%.3f, %.3f]" % (
                       quantile(theirs, .5), min(ours), min(theirs), ratio,
                       ratio_low, ratio_high), ratio={"beside": ratio})
    return report


def run_adoption(options):
    report = Report()
    template = fabrics.AGENT
    fabrics.AGENT = template.replace(
        "pool: {pool}", "pool: {pool}\n    buffer: " + options.buffer)
    try:
        if options.beside:
            return run_beside(options, report)
        with Fabric(1, pool=options.pool) as fabric:
            fill(fabric, options.payload)
            rates = {"ns": [], "cpu_ns": []}
            before = held(fabric)
            for _ in range(options.kills):
                _, adoption = kill_worker(fabric)
                for key, values in rates.items():
                    values.append(ms_per_gb(adoption, key))
            after = held(fabric)
            for key, name in (("ns", "adoption_ms_per_GB"),
                              ("cpu_ns", "adoption_cpu_ms_per_GB")):
                middle, low, high = median_interval(rates[key])
                report.add(name, "ms/GB", middle, low, high, options.kills,
                           "%s of %s buffers, %d of them held" % (
                               options.pool, options.buffer, after),
                           p99=quantile(rates[key], 0.99))
            check_held(before, after)
    finally:
        fabrics.AGENT = template
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=("storm", "adoption"))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--pool", default="256MiB")
    parser.add_argument("--buffer", default="1KiB")
    parser.add_argument("--payload", type=int, default=500)
    parser.add_argument("--beside", metavar="BUILD",
                        help="a folder that another agent was built in")
    parser.add_argument("--json")
    options = parser.parse_args()
    try:
        report = (run_storm if options.kind == "storm" else
                  run_adoption)(options)
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        return 1
    report.print()
    if options.json:
        report.save(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
