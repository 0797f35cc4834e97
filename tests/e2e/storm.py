#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments under load, and what must be true afterwards.

    storm.py parts [SEED [SECONDS]]     workers, coordinator, collector
    storm.py keepers [SEED [SECONDS]]   whole agents too: their memory goes

Whatever is killed, a trace that is marked complete has exactly the spans that
were written, and nothing that was not triggered is there. Where memory was
not lost, every trace whose trigger was acknowledged is there as well, complete
or with a cause.
"""
import collections
import os
import random
import signal
import sys
import time
import traceback

from fabric import Failure, Fabric, wait_for

NODES = 3
SETTLE_S = 60


class Load:
    """Requests over random nodes, a third of them triggered somewhere."""

    def __init__(self, fabric, rng):
        self.rng = rng
        self.apps = [fabric.app(i, "svc-%d" % i) for i in range(NODES)]
        self.written = {}
        self.triggered = set()
        self.refused = 0
        self.count = 0

    def request(self):
        """One request: a walk over nodes, each with a few spans."""
        self.count += 1
        path = [self.rng.randrange(NODES)
                for _ in range(self.rng.randrange(1, 5))]
        trace, context, open_handles, spans = "", "", [], []
        for hop, node in enumerate(path):
            app = self.apps[node]
            handle = "h%d" % hop
            trace = app.say("begin %s %s %s" % (handle, trace, context))
            first = None
            for i in range(self.rng.randrange(1, 4)):
                name = "op-%d-%d" % (hop, i)
                ident = app.say("span %s %s" % (handle, name))
                if self.rng.random() < 0.2:
                    app.say("fill %s %d" %
                            (handle, self.rng.randrange(100, 40000)))
                app.say("finish %s %s" % (handle, ident))
                first = first or ident
                spans.append(("svc-%d" % node, name))
            open_handles.append((app, handle))
            context = app.say("inject %s %s" % (handle, first))
        early = self.rng.random() < 0.5
        fire = self.rng.random() < 0.33
        if fire and early:
            self.fire(trace, path)
        reply = None
        for app, handle in reversed(open_handles):
            if reply:
                app.say("replied %s %s" % (handle, reply))
            reply = app.say("reply " + handle)
            app.say("end " + handle)
        if fire and not early:
            self.fire(trace, path)
        self.written[trace] = sorted(spans)

    def fire(self, trace, path):
        try:
            self.apps[self.rng.choice(path)].say("trigger storm " + trace)
        except Failure:
            self.refused += 1
        else:
            self.triggered.add(trace)


class Storm:
    """Kills one thing at a time; what it kills comes back."""

    def __init__(self, fabric, rng, keepers):
        self.fabric = fabric
        self.rng = rng
        self.kinds = ["worker", "worker", "coordinator", "collector"]
        if keepers:
            self.kinds.append("keeper")
        self.kills = collections.Counter()
        self.dead = []

    def strike(self):
        kind = self.rng.choice(self.kinds)
        self.kills[kind] += 1
        if kind in ("coordinator", "collector"):
            self.fabric.kill(kind)
            self.dead.append((time.monotonic() + self.rng.random(), kind))
            return
        agent = "agent-%d" % self.rng.randrange(NODES)
        if kind == "keeper":
            self.fabric.kill(agent)
            self.dead.append((time.monotonic() + self.rng.random(), agent))
            return
        try:
            os.kill(self.fabric.worker(agent), signal.SIGKILL)
        except (OSError, ValueError):
            pass  # it is coming up just now

    def mend(self, all_of_it=False):
        now = time.monotonic()
        for when, name in list(self.dead):
            if all_of_it or now >= when:
                self.dead.remove((when, name))
                self.fabric.start(name, wait=False)

    def may_strike(self):
        return not self.dead


def judge(fabric, load, keepers):
    """Return the rows by trace once everything acknowledged is settled."""
    def settled():
        rows = {row["trace_id"]: row for row in fabric.rows()}
        missing = [] if keepers else load.triggered - set(rows)
        opened = [t for t, row in rows.items() if row["mark"] == "open"]
        if missing or opened:
            raise OSError("missing %d, open %d, such as %r" % (
                len(missing), len(opened),
                [rows[t]["causes"] for t in opened[:3]] or
                list(missing)[:3]))
        return rows
    rows = wait_for("all that was triggered is settled", settled, SETTLE_S)
    stray = set(rows) - load.triggered
    if stray:
        raise Failure("collected and never triggered: %r" % stray)
    marks = collections.Counter()
    causes = collections.Counter()
    for trace, row in rows.items():
        marks[row["mark"]] += 1
        if row["mark"] == "complete":
            spans = [span for span in fabric.spans(trace)
                     if span[1] != "tracepoints"]
            if spans != load.written[trace]:
                raise Failure("%s is called complete, has %r, of %r; %r" % (
                    trace, spans, load.written[trace], row))
        else:
            if not row["causes"]:
                raise Failure("%s is %s without a cause" % (trace, row))
            for cause in row["causes"]:
                causes[cause["cause"]] += 1
    return marks, causes


def storm(keepers, seed, seconds):
    rng = random.Random(seed)
    with Fabric(NODES, "limits:\n  slots: 64\n") as fabric:
        load = Load(fabric, random.Random(seed + 1))
        wind = Storm(fabric, rng, keepers)
        end = time.monotonic() + seconds
        next_strike = time.monotonic() + 1
        while time.monotonic() < end:
            load.request()
            time.sleep(0.002)
            wind.mend()
            if time.monotonic() >= next_strike and wind.may_strike():
                wind.strike()
                next_strike = time.monotonic() + 0.3 + rng.random()
        wind.mend(all_of_it=True)
        for name in fabric.names():
            fabric.wait_up(name)
        marks, causes = judge(fabric, load, keepers)
        print("storm: seed=%d kills=%r requests=%d triggered=%d refused=%d "
              "marks=%r causes=%r" % (
                  seed, dict(wind.kills), load.count, len(load.triggered),
                  load.refused, dict(marks), dict(causes)))
        if not marks["complete"]:
            raise Failure("nothing at all was complete")


def main():
    kind = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 20
    try:
        storm(kind == "keepers", seed, seconds)
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        print("storm: seed=%d failed" % seed)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
