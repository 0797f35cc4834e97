#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an operator asks and does, one scenario a function.

    operate.py                 run them all
    operate.py NAME...         run these
    operate.py --list          print their names
"""
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

# Debian's package, whichever Python comes first in the path.
sys.path.append("/usr/lib/python3/dist-packages")
# pylint: disable=wrong-import-position
from prometheus_client.openmetrics import parser

from fabric import Door, Fabric, Failure, ask, program, wait_for
from kills import TRIGGERED, Pacer, ident
from scenarios import (Skipped, all_there, check, descendants, fire_many,
                       main)


def scrape(fabric, name="agent-0"):
    """A daemon's metrics as families by name, by a real parser."""
    door = Door(fabric.control(name))
    try:
        door.request("GET", "/metrics")
        answer = door.getresponse()
        check(answer.status == 200, "scraped")
        kind = answer.getheader("Content-Type")
        check(kind.startswith("application/openmetrics-text; version=1.0.0"),
              "it says what it is: %r" % kind)
        text = answer.read().decode("utf-8")
    finally:
        door.close()
    families = {}
    for family in parser.text_string_to_metric_families(text):
        check(family.name not in families, "twice: " + family.name)
        families[family.name] = family
    return families


def samples(families, name, label):
    """A family's values by one label."""
    return {s.labels[label]: s.value
            for s in families["hindsight_agent_" + name].samples}


def value(families, name):
    (one,) = families["hindsight_agent_" + name].samples
    return one.value


def adds_up(fabric, name="agent-0"):
    """Every buffer is in one state, as counted and counted again."""
    domains = fabric.status(name)["domains"]
    for domain in domains:
        check(sum(domain["occupancy"].values()) ==
              domain["buffers"]["total"], "a sum: %r" % domain)
    good, answer = ask(fabric.control(name), "GET", "/v1/check")
    check(good == 200 and answer["good"], "a count: %r" % answer)
    return domains


def metrics():
    """The text is OpenMetrics whatever a trigger is called."""
    name = 'a"b\\c'
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        ids = fire_many(fabric, app, 10)
        code, answer = ask(fabric.control("agent-0"), "POST", "/v1/trigger",
                           {"trigger": name, "trace_id": ids[0]})
        check(code == 200, "an odd name: %r" % answer)
        wait_for("all delivered", lambda: all_there(fabric, ids))
        wait_for("the odd name is known", lambda: name in samples(
            scrape(fabric), "trigger_queued", "trigger"))
        families = scrape(fabric)
        (capacity,) = samples(families, "buffers_capacity",
                              "domain").values()
        states = samples(families, "buffers", "state")
        check(len(states) == 7, "seven states: %r" % states)
        check(sum(states.values()) == capacity, "a sum: %r" % states)
        outcomes = samples(families, "triggers", "outcome")
        check(outcomes["acknowledged"] == 11, "outcomes: %r" % outcomes)
        check(set(samples(families, "losses", "cause")) >=
              {"lane", "unpinned", "nulls", "cut_off"}, "causes")
        check(set(samples(families, "queue_depth", "queue")) >=
              {"outbox", "slices", "asked"}, "queues")
        check(value(families, "buffers_indexed") >= 10, "buffers")
        check(value(families, "buffer_cpu_seconds") > 0, "cpu")
        check(all(s >= 0 for s in samples(
            families, "event_horizon_seconds", "domain").values()),
              "a horizon")


def occupancy():
    """A buffer is where it should be, in each stage of its life."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")

        def at(state, least):
            def probe():
                (domain,) = adds_up(fabric)
                return domain["occupancy"][state] >= least
            wait_for("%d %s" % (least, state), probe)

        at("free", 1)
        at("stocked", 1)
        app.say("begin h")
        app.say("fill h 300")
        at("written", 1)
        app.say("end h")
        at("held", 1)
        fabric.kill("collector")
        ids = fire_many(fabric, app, 20)
        at("pinned", 20)
        fabric.start("collector")
        wait_for("all delivered", lambda: all_there(fabric, ids))
        wait_for("all let go", lambda: not adds_up(
            fabric)[0]["occupancy"]["pinned"])
        app.kill()
        wait_for("nothing is left behind", lambda: not adds_up(
            fabric)[0]["occupancy"]["written"])


class Steady(threading.Thread):
    """Traces of so many bytes with a pause between them, until stopped."""

    def __init__(self, app, size, pause_s=0.0):
        super().__init__(daemon=True)
        self.app = app
        self.size = size
        self.pause_s = pause_s
        self.ending = threading.Event()

    def run(self):
        while not self.ending.is_set():
            self.app.say("begin h")
            self.app.say("fill h %d" % self.size)
            self.app.say("end h")
            time.sleep(self.pause_s)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()


def top():
    """A screen of every agent, and what changed while it was waited for."""
    with Fabric(2) as fabric:
        for i in range(2):
            fire_many(fabric, fabric.app(i, "svc-%d" % i), 3)
        with Steady(fabric.apps[0], 2000):
            code, answer = fabric.hs("top", "--once", "--interval", "300ms")
        check(code == 0, "it ends well: %r" % answer)
        rates = {one["node"]: one for one in answer["rates"]}
        check(rates["node-0"]["buffers_per_s"] > 0, "a rate: %r" % rates)
        check(rates["node-0"]["cpu_ns_per_buffer"] > 0, "a cost: %r" % rates)
        check(rates["node-1"]["buffers_per_s"] == 0, "none: %r" % rates)
        horizons = {node["name"]: d["event_horizon_ns"]
                    for node in answer["nodes"]
                    for d in node["status"]["domains"]}
        check(answer["cluster"]["event_horizon_ns"] ==
              min(filter(None, horizons.values())), "the least: %r" % answer["cluster"])
        done = subprocess.run(
            [program("hs"), "top", "--once", "--interval", "10ms",
             "--fabric", fabric.dir], stdout=subprocess.PIPE, text=True,
            check=True)
        for word in ("HORIZON", "ORPHANED", "CPU/BUF", "node-1"):
            check(word in done.stdout, "%s in %r" % (word, done.stdout))
        check("\033" not in done.stdout, "plain text where no terminal is")
        fabric.kill("agent-1")
        check(fabric.hs("top", "--once", "--interval", "10ms")[0] == 3,
              "somebody is silent")


def size():
    """What hs size says of a full pool agrees with the horizon it has."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        check(fabric.hs("size")[0] == 2, "no horizon")
        check(fabric.hs("size", "--horizon", "1s", "--rate", "5")[0] == 2,
              "half a load")
        check(fabric.hs("size", "--horizon", "1s", "--interval",
                        "10ms")[0] == 1, "nothing to measure")
        code, answer = fabric.hs(
            "size", "--horizon", "100s", "--rate", "1000", "--bytes", "1000",
            "--buffer", "1KiB")
        (one,) = answer["domains"]
        # Two buffers a trace: 960 bytes and the rest in the next size.
        check(one["pool_bytes_per_s"] == 1000 * (1 + 4) * 1024, "%r" % one)
        check(0 <= one["pool_wanted_bytes"] -
              (100 * one["pool_bytes_per_s"] + one["stock_bytes"]) / 0.8
              <= 2 << 20, "whole chunks: %r" % one)
        with Steady(app, 20000, 0.002):
            wait_for("the pool is full", lambda: fabric.status("agent-0")[
                "stats"]["traces_evicted"] > 1000)
            code, answer = fabric.hs("size", "--horizon", "10s",
                                     "--interval", "3s")
            (domain,) = fabric.status("agent-0")["domains"]
            expected = samples(scrape(fabric), "expected_horizon_seconds",
                               "domain")["default"]
        (one,) = answer["domains"]
        share = one["gives_ns"] / domain["event_horizon_ns"]
        check(0.5 < expected / (domain["event_horizon_ns"] / 1e9) < 2,
              "the agent expects %r, of %r" % (expected, domain))
        print("size: says %.3f s, is %.3f s, fill %.2f" % (
            one["gives_ns"] / 1e9, domain["event_horizon_ns"] / 1e9,
            one["fill"]))
        check(0.5 < share < 2, "%r of %r" % (one, domain))
        check(0 < one["fill"] <= 1, "a share: %r" % one)


def leave_traces(app, count):
    """Untriggered traces; their spans by id."""
    written = {}
    for i in range(count):
        trace = app.say("begin h")
        names = ["op-%d-%d" % (i, k) for k in range(1 + i % 3)]
        for name in names:
            app.say("finish h " + app.say("span h " + name))
        if i % 4 == 0:
            app.say("fill h 5000")
        app.say("end h")
        written[trace] = names
    return written


def salvage(*words):
    """Return (exit code, what it says of itself, spans by trace)."""
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "t.json")
        done = subprocess.run(
            [program("hs"), "salvage", *words, "--format", "jaeger",
             "--json", "--output", out], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        if done.returncode:
            return done.returncode, done.stderr, {}
        with open(out, encoding="utf-8") as text:
            data = json.load(text)["data"]
    return done.returncode, json.loads(done.stdout), {
        one["traceID"].rjust(32, "0"): sorted(
            span["operationName"] for span in one["spans"]
            if span["operationName"] != "tracepoints") for one in data}


def all_salvaged(written, spans):
    missing = [t for t in written if spans.get(t) != written[t]]
    check(not missing, "%d of %d are not as they were written, such as %s: "
          "%r" % (len(missing), len(written), missing[:1],
                  [(written[t], spans.get(t)) for t in missing[:1]]))


def salvage_lingering():
    """From a keeper that waits for a successor, who still gets it all."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        run_dir = fabric.path("agent-0")
        check(salvage("--run-dir", run_dir + "-nowhere")[0] == 1, "nobody")
        written = leave_traces(app, 50)
        opened = app.say("begin o")
        app.say("finish o " + app.say("span o open-op"))
        written[opened] = ["open-op"]
        fabric.kill("agent-0", signal.SIGTERM)
        code, found, spans = salvage("--run-dir", run_dir)
        check(code == 0 and found["ledgers"] == 1 and not found["hinted"] and
              found["open"] == 1 and not found["gaps"], "%r" % found)
        all_salvaged(written, spans)
        saved = fabric.path("saved")
        done = subprocess.run([program("hs"), "salvage", "--run-dir", run_dir,
                               "--save", saved], check=False,
                              stderr=subprocess.DEVNULL)
        check(done.returncode == 0, "saved")
        code, found, spans = salvage("--dir", saved)
        check(code == 0 and not found["hinted"], "%r" % found)
        all_salvaged(written, spans)
        fabric.start("agent-0")
        trace = next(iter(written))
        app.say("trigger after " + trace)
        fabric.wait_mark(trace, "complete")


def salvage_stuck():
    """From an agent that runs, and from one whose processes are stopped."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        written = leave_traces(app, 30)
        wait_for("they are in the index", lambda: fabric.status("agent-0")[
            "domains"][0]["traces"] == 30)
        worker = fabric.worker("agent-0")
        for stopped in (False, True):
            if stopped:
                os.kill(worker, signal.SIGSTOP)
                fabric.kill("agent-0", signal.SIGSTOP)
            code, found, spans = salvage("--run-dir", fabric.path("agent-0"))
            check(code == 0 and not found["hinted"], "%r" % found)
            all_salvaged(written, spans)
        os.kill(worker, signal.SIGCONT)
        fabric.kill("agent-0", signal.SIGCONT)


def salvage_orphaned():
    """Keeper and worker are dead: what an application still maps."""
    if os.geteuid():
        raise Skipped("opening what another process has mapped takes root")
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        written = leave_traces(app, 30)
        worker = fabric.worker("agent-0")
        fabric.kill("agent-0")
        wait_for("the worker goes along",
                 lambda: not os.path.exists("/proc/%d" % worker))
        code, found, spans = salvage("--pid", str(app.process.pid))
        check(code == 0 and found["ledgers"] == 0 and
              found["hinted"] == found["traces"], "%r" % found)
        all_salvaged(written, spans)
        check(salvage("--run-dir", fabric.path("agent-0"))[0] == 1,
              "no agent is there")


def salvage_garbage():
    """Saved memory with bytes changed anywhere: whatever can still be read,
    and never a crash."""
    rng = random.Random(7)
    with Fabric(1, pool="1MiB") as fabric:
        leave_traces(fabric.app(0, "svc"), 40)
        fabric.kill("agent-0", signal.SIGTERM)
        saved = fabric.path("saved")
        subprocess.run([program("hs"), "salvage", "--run-dir",
                        fabric.path("agent-0"), "--save", saved], check=True,
                       stderr=subprocess.DEVNULL)
        areas = {}
        for name in os.listdir(saved):
            with open(os.path.join(saved, name), "rb") as area:
                areas[name] = area.read()
        for turn in range(60):
            name, whole = rng.choice(sorted(areas.items()))
            # Heads say where everything is: they are hit as often.
            reach = len(whole) if turn % 2 else min(len(whole), 256)
            bad = bytearray(whole)
            for _ in range(rng.randrange(1, 200)):
                bad[rng.randrange(reach)] = rng.choice(
                    (0, 1, 0x7f, 0xff, rng.randrange(256)))
            if turn % 10 == 9:
                del bad[rng.randrange(1, len(bad)):]
            with open(os.path.join(saved, name), "wb") as area:
                area.write(bad)
            code, found, _ = salvage("--dir", saved)
            check(code in (0, 1), "turn %d of %s: %d %r" % (
                turn, name, code, found))
            with open(os.path.join(saved, name), "wb") as area:
                area.write(whole)


def held_areas(fabric, name="agent-0"):
    """Paths of descriptors by what they hold, of whoever keeps the memory."""
    found = {}
    for pid in descendants(fabric.path(name + ".yaml")):
        for link in glob.glob("/proc/%d/fd/*" % pid):
            try:
                target = os.readlink(link)
            except OSError:
                continue
            if target.startswith("/memfd:hs-"):
                found.setdefault(target.split()[0][7:], []).append(link)
    return found


def age(path, by):
    """Make it of another version: the word behind the magic."""
    with open(path, "r+b", buffering=0) as area:
        area.seek(8)
        version = int.from_bytes(area.read(4), "little")
        area.seek(8)
        area.write((version + by).to_bytes(4, "little"))


def other_version(area, by, odd):
    """An agent meets memory of another version: it leaves it to hs salvage,
    begins afresh, and lets go of it after `linger`. `odd`: so old or new that
    its ledger cannot be read either."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        written = leave_traces(app, 40)
        fabric.kill("agent-0", signal.SIGTERM)
        (link,) = held_areas(fabric)[area]
        age(link, by)
        fabric.start("agent-0")
        wait_for("the application has new memory",
                 lambda: app.stats()["attachments"] == 2)
        ids = fire_many(fabric, app, 10)
        wait_for("life goes on", lambda: all_there(fabric, ids))
        check(len(held_areas(fabric)["hs-ledger"]) >= 2, "both are held")
        code, found, spans = salvage("--run-dir", fabric.path("agent-0"))
        check(code == 0 and found["pools"] == 2, "%r" % found)
        check(found["ledgers_odd"] == odd, "%r" % found)
        check(bool(found["hinted"]) == odd, "%r" % found)
        all_salvaged(written, spans)
        keeper = "/%d/" % fabric.running["agent-0"].pid
        wait_for("it is let go", lambda: sum(
            keeper in one for one in held_areas(fabric)["hs-pool"]) == 1)


def newer_domain_version():
    other_version("hs-ledger", 7, True)


def older_domain_version():
    other_version("hs-ledger", -1, False)


def older_node_version():
    other_version("hs-node-ledger", -1, False)


def rolling_upgrade():
    """Another program on one node after the other, under load: every trigger
    is delivered, and what was in memory stays there."""
    with Fabric(3) as fabric:
        pacers = [Pacer(fabric, 200, 3600, 300, 10, node=i)
                  for i in range(3)]
        new = fabric.path("hs-agent-new")
        shutil.copy(program("hs-agent"), new)
        for i in range(3):
            time.sleep(0.3)
            name = "agent-%d" % i
            fabric.kill(name, signal.SIGTERM)
            check(fabric.running[name].returncode == 0, "a clean end")
            fabric.start(name, path=new)
            check(os.readlink("/proc/%d/exe" % fabric.worker(name)) == new,
                  "the new program works")
            check(fabric.status(name)["adoption"]["pool_bytes"], "adopted")
        time.sleep(0.3)
        fired, untriggered = set(), []
        for i, pacer in enumerate(pacers):
            counts = pacer.end()
            check(counts["entries_lost"] == 0, "%r" % counts)
            fired |= {ident(r) for r in pacer.records if r[5] & TRIGGERED}
            untriggered.append([ident(r) for r in pacer.records if not r[5]])
        for i, traces in enumerate(untriggered):
            app = fabric.app(i, "late")
            for trace in traces[:200]:
                app.say("trigger late " + trace)
                fired.add(trace)
        wait_for("all delivered, all whole",
                 lambda: all_there(fabric, fired))
        print("rolling_upgrade: %d traces whole" % len(fired))


def losses_and_successors():
    """What a process dropped taints the traces of that time and no others,
    whichever worker is asked, and however often workers change."""
    with Fabric(1, "limits:\n  lane_entries: 512\n  slots: 32\n") as fabric:
        app = fabric.app(0, "svc")
        worker = fabric.worker("agent-0")
        os.kill(worker, signal.SIGSTOP)
        tainted = list(leave_traces(app, 200))
        for i in range(32):
            app.say("begin open-%d" % i)
        for _ in range(512):
            try:
                app.say("trigger lost " + tainted[-1])
            except Failure:
                break  # as it should: the lane is full
        else:
            raise Failure("there was room for 512 triggers")
        # No slot for it, and no room to say so: no trace is named for that.
        app.say("begin nowhere " + "5" * 32)
        app.say("end nowhere")
        os.kill(worker, signal.SIGCONT)
        wait_for("the agent knows", lambda: fabric.status("agent-0")[
            "losses"]["unpinned"] > 0)
        for i in range(32):
            app.say("end open-%d" % i)
        # Entries so long before and after a loss may be its victims.
        time.sleep(6)
        good = list(leave_traces(app, 20))
        for _ in range(2):
            worker = fabric.worker("agent-0")
            os.kill(worker, signal.SIGKILL)
            wait_for("a successor", lambda w=worker: fabric.worker(
                "agent-0") != w)
        time.sleep(6)  # by now nothing of it is younger than that
        worker = fabric.worker("agent-0")
        os.kill(worker, signal.SIGKILL)
        wait_for("a successor", lambda: fabric.worker("agent-0") != worker)
        for trace in good:
            app.say("trigger good " + trace)
        wait_for("whole", lambda: all_there(fabric, good))
        kept = tainted[:10]  # these were in the lane before it was full
        for trace in kept:
            app.say("trigger tainted " + trace)
        for trace in kept:
            row = fabric.wait_mark(trace, "partial")
            check("lost" in [c["cause"] for c in row["causes"]], "%r" % row)


SCENARIOS = [losses_and_successors, rolling_upgrade, metrics, occupancy, top, size, salvage_lingering, salvage_stuck,
             salvage_orphaned, salvage_garbage, newer_domain_version,
             older_domain_version, older_node_version]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], SCENARIOS))
