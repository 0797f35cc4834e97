#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a fabric must stand, one scenario a function.

    scenarios.py                 run them all
    scenarios.py NAME...         run these
    scenarios.py --list          print their names
"""
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from fabric import (CARRIER, COORDINATOR, SHIP, Failure, Fabric, ask,
                    free_ports, program, wait_for)
from runner import Skipped, main


RULES = """rules:
  - {name: failed, status: error}
  - {name: five, service: shop, attributes: ['http.status_code >= 500']}
  - {name: slow, operation: 'POST*', duration: 50ms}
"""


def check(good, what):
    if not good:
        raise Failure(what)


def chain(fabric, hops, trace=None, reply=True):
    """A request through nodes 0..hops-1; all have ended. Return its id."""
    apps = [fabric.app(i, "svc-%d" % i) for i in range(hops)]
    spans = []
    context = ""
    for i, app in enumerate(apps):
        answer = app.say("begin h %s %s" % (trace or "", context))
        trace = answer
        spans.append(app.say("span h op-%d" % i))
        context = app.say("inject h %s" % spans[i])
    for i in reversed(range(hops)):
        apps[i].say("finish h %s" % spans[i])
        answer = apps[i].say("reply h")
        if i and reply:
            apps[i - 1].say("replied h %s" % answer)
        apps[i].say("end h")
    return apps, trace


def call(caller, callees, trace=""):
    """A request that calls each callee once, all over; return its id."""
    trace = caller.say("begin h " + trace)
    root = caller.say("span h root")
    for callee in callees:
        callee.say("begin h %s" % caller.say("inject h " + root))
        callee.say("finish h %s" % callee.say("span h leaf " + root))
        caller.say("replied h %s" % callee.say("reply h"))
        callee.say("end h")
    caller.say("finish h " + root)
    caller.say("end h")
    return trace


def names(row):
    return sorted(t if isinstance(t, str) else t["name"]
                  for t in row["triggers"])


def late_trigger():
    """Fired on the last node when the request is long over."""
    with Fabric(3) as fabric:
        apps, trace = chain(fabric, 3, reply=False)
        apps[2].say("trigger late " + trace)
        fabric.wait_mark(trace, "complete", 3)
        check(fabric.spans(trace) == [("svc-%d" % i, "op-%d" % i)
                                      for i in range(3)], "three spans")
        fabric.wait_let_go(3)


def fan_out():
    """One request to sixteen nodes is whole."""
    with Fabric(16) as fabric:
        apps = [fabric.app(i, "svc-%02d" % i) for i in range(16)]
        trace = call(apps[0], apps[1:])
        apps[0].say("trigger wide " + trace)
        row = fabric.wait_mark(trace, "complete", 16)
        check(len(row["nodes"]) == 16, "sixteen nodes")
        fabric.wait_let_go(16)


def many_processes():
    """The stocks of 64 processes leave a small pool room for its traces."""
    with Fabric(1) as fabric:
        apps = [fabric.app(0, "svc-%d" % i) for i in range(64)]
        traces = []
        for app in apps:
            traces.append(app.say("begin h"))
            span = app.say("span h op")
            app.say("finish h " + span)
            app.say("end h")
        for app, trace in zip(apps, traces):
            app.say("trigger one-of-many " + trace)
        for trace in traces:
            fabric.wait_mark(trace, "complete", 1)


def trigger_before_data():
    """A trace that fired before it began is collected all the same."""
    trace = "00000000000000000000000000abcdef"
    with Fabric(2) as fabric:
        apps = [fabric.app(i, "svc-%d" % i) for i in range(2)]
        apps[0].say("trigger early " + trace)
        wait_for("the trigger is known",
                 lambda: fabric.status("agent-0")["triggers"])
        call(apps[0], apps[1:], trace)
        fabric.wait_mark(trace, "complete", 2)


def trigger_without_node():
    """By its id, from a node that never saw it: it is found and whole."""
    with Fabric(4) as fabric:
        trace = call(fabric.app(1, "svc-1"), [fabric.app(2, "svc-2")])
        fabric.hs("trigger", trace)
        row = fabric.wait_mark(trace, "complete", 2)
        check(len(row["nodes"]) == 2, "two nodes: %r" % row["nodes"])
        code, answer = fabric.hs("traces", "show", trace)
        check(code == 0, answer)
        sought = answer["manifest"]["sought"]
        check(sought["nodes"] == 4, sought)
        fabric.hs("trigger", "%032x" % 77)
        row = fabric.wait_mark("%032x" % 77, "partial")
        check([c["cause"] for c in row["causes"]] == ["unknown"], row["causes"])


def two_triggers():
    """Stored once, naming both."""
    with Fabric(2) as fabric:
        apps, trace = chain(fabric, 2)
        apps[0].say("trigger one " + trace)
        apps[1].say("trigger two " + trace)
        wait_for("both names", lambda: names(
            fabric.wait_mark(trace, "complete", 2)) == ["one", "two"])
        check(len(fabric.rows()) == 1, "one trace")
        check(len(fabric.spans(trace)) == 2, "two spans")


def no_reply():
    """The callee's part comes although it never answered."""
    with Fabric(2) as fabric:
        caller, callee = [fabric.app(i, "svc-%d" % i) for i in range(2)]
        trace = caller.say("begin h")
        root = caller.say("span h root")
        caller.say("forward h " + callee.say("node"))
        callee.say("begin h %s" % caller.say("inject h " + root))
        callee.say("finish h %s" % callee.say("span h leaf " + root))
        callee.say("end h")
        caller.say("finish h " + root)
        caller.say("end h")
        caller.say("trigger lonely " + trace)
        fabric.wait_mark(trace, "complete", 2)


def lateral():
    """A lateral trace comes with its primary."""
    with Fabric(2) as fabric:
        app = fabric.app(0, "svc-0")
        other = fabric.app(1, "svc-1")
        ids = []
        for name in ("a", "b"):
            ids.append(app.say("begin " + name))
            app.say("finish %s %s" % (name, app.say("span %s op" % name)))
            app.say("end " + name)
        other.say("begin c")
        other.say("end c")
        app.say("trigger set %s %s" % tuple(ids))
        for one in ids:
            fabric.wait_mark(one, "complete", 1)
        check(len(fabric.rows()) == 2, "nothing else")


def app_killed():
    """kill -9 in mid-trace: what was committed comes, marked partial."""
    with Fabric(2) as fabric:
        apps = [fabric.app(i, "svc-%d" % i) for i in range(2)]
        trace = apps[0].say("begin h")
        root = apps[0].say("span h root")
        apps[0].say("attr h %s colour red" % root)
        apps[1].say("begin h %s" % apps[0].say("inject h " + root))
        apps[1].say("finish h %s" % apps[1].say("span h leaf " + root))
        apps[1].say("end h")
        apps[0].kill()
        apps[1].say("trigger seen " + trace)
        row = fabric.wait_mark(trace, "partial", 2)
        check("died" in json.dumps(row["causes"]),
              "the cause is named: %r" % row["causes"])


def crash_trigger():
    """A dead application's open traces fire by themselves."""
    with Fabric(1, "crash_trigger: true\n") as fabric:
        app = fabric.app(0, "svc-0")
        trace = app.say("begin h")
        app.say("span h root")
        app.kill()
        fabric.wait_mark(trace, "partial", 1)
        # The slice alone says "partial"; the manifest has the name.
        wait_for("fired as crash",
                 lambda: names(fabric.row(trace)) == ["crash"])


def rules():
    """Rules of the agent's YAML fire for spans of any application."""
    with Fabric(1, RULES) as fabric:
        app = fabric.app(0, "shop")
        # The helper's next round brings the table.
        fired = {}

        def request(handle, *between):
            trace = app.say("begin " + handle)
            span = app.say("span %s %s" % (handle, "POST/cart"))
            for line in between:
                app.say(line.format(h=handle, s=span))
            app.say("finish %s %s" % (handle, span))
            app.say("end " + handle)
            return trace

        def status():
            return {r["name"]: r["fired"]
                    for r in fabric.status("agent-0")["rules"]}

        def until_loaded():
            request("w", "error {h} {s}")
            return status()["failed"] > 0
        check(set(status()) == {"failed", "five", "slow"}, "three rules")
        wait_for("the table is in force", until_loaded)
        fired["five"] = request("a", "attr {h} {s} http.status_code 503")
        fired["slow"] = request("b", "sleep 60")
        request("c", "attr {h} {s} http.status_code 404")
        for trigger, trace in fired.items():
            fabric.wait_mark(trace, "complete", 1)
            wait_for("fired as " + trigger,
                     lambda: names(fabric.row(trace)) == [trigger])
        wait_for("counted", lambda: status()["five"] == 1 and
                 status()["slow"] == 1)


def operations():
    """Every span is counted once, whoever dies meanwhile."""
    with Fabric(2) as fabric:
        def spans(app, nr, bad=0):
            for i in range(nr):
                app.say("begin h")
                span = app.say("span h work")
                if i < bad:
                    app.say("error h " + span)
                app.say("finish h " + span)
                app.say("end h")

        def counts():
            code, answer = fabric.hs("operations")
            if code not in (0, 1):
                raise OSError("hs operations: %d %r" % (code, answer))
            return {(o["service"], o["operation"]): (o["spans"], o["errors"])
                    for o in answer["operations"]}

        one = fabric.app(0, "one")
        two = fabric.app(1, "two")
        spans(one, 30, bad=3)
        spans(two, 5)
        wait_for("first counts", lambda: counts() == {
            ("one", "work"): (30, 3), ("two", "work"): (5, 0)})
        worker = fabric.worker("agent-0")
        os.kill(worker, signal.SIGKILL)
        spans(one, 10)
        wait_for("a successor", lambda: fabric.worker("agent-0") != worker)
        wait_for("counts go on", lambda: counts() == {
            ("one", "work"): (40, 3), ("two", "work"): (5, 0)})
        fabric.kill("collector")
        spans(one, 7, bad=1)
        one.kill()
        spans(two, 2)
        again = fabric.app(0, "one")
        spans(again, 3)
        wait_for("the dead one is buried", lambda: all(
            p["pid"] != one.process.pid
            for d in fabric.status("agent-0")["domains"]
            for p in d["processes"]))
        fabric.start("collector")
        wait_for("all of it", lambda: counts() == {
            ("one", "work"): (50, 4), ("two", "work"): (7, 0)})


def prefork():
    """A child that opens for itself is a process of its own."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "parent")
        sock = fabric.path("app-0.sock")
        app.tell("fork open %s child; attach 10; begin c "
                 "00000000000000000000000000000c0c; span c child-op; end c; "
                 "trigger kid 00000000000000000000000000000c0c; sleep 200"
                 % sock)
        answers = [app.hear() for _ in range(8)]
        check(all(a and a.startswith("ok") for a in answers),
              "the child: %r" % answers)
        fabric.wait_mark("00000000000000000000000000000c0c", "complete", 1)
        trace = app.say("begin p")
        app.say("finish p " + app.say("span p parent-op"))
        app.say("end p")
        app.say("trigger dad " + trace)
        fabric.wait_mark(trace, "complete", 1)


def fork_in_mid_trace():
    """A child without exec and without open writes nothing of its parent's."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        trace = app.say("begin h")
        root = app.say("span h root")
        app.tell("fork tracepoint h stray; span h stray; end h; "
                 "trigger stray %s" % trace)
        answers = [app.hear() for _ in range(5)]
        check(answers[-1] == "ok 0", "the child ended well: %r" % answers)
        app.say("finish h " + root)
        app.say("end h")
        app.say("trigger own " + trace)
        row = fabric.wait_mark(trace, "complete", 1)
        check(names(row) == ["own"], "the child's trigger is none: %r" % row)


def closed_descriptors():
    """closefrom(3) under the library: the application goes on."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        app.say("closefrom 3")
        for i in range(50):
            trace = app.say("begin h")
            app.say("finish h " + app.say("span h op-%d" % i))
            app.say("end h")
        app.say("stats")
        wait_for("it is taken in again", lambda: app.say("attach 1") == "")
        trace = app.say("begin h")
        app.say("finish h " + app.say("span h after"))
        app.say("end h")
        app.say("trigger after " + trace)
        fabric.wait_mark(trace, "complete", 1)


def stopped_agent():
    """SIGSTOP to the agent: the application goes on, and later all is well."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        worker = fabric.worker("agent-0")
        os.kill(worker, signal.SIGSTOP)
        try:
            for i in range(200):
                app.say("begin h")
                app.say("finish h " + app.say("span h op-%d" % i))
                app.say("fill h 20000")
                app.say("end h")
            lost = app.stats()["buffers_null"]
        finally:
            os.kill(worker, signal.SIGCONT)
        check(lost > 0, "200 traces of 20 kB do not fit a stock")

        def later():
            trace = app.say("begin h")
            app.say("finish h " + app.say("span h op"))
            app.say("end h")
            app.say("trigger later " + trace)
            row = wait_for("row", lambda: fabric.row(trace))
            return row["mark"] == "complete" and row["spans"] == 1 or \
                wait_for("mark", lambda: fabric.row(trace)["mark"] != "open")
        wait_for("traces are whole again", later)


def fire_many(fabric, app, count, first=1):
    """`count` small traces with a trigger each; return their ids."""
    ids = []
    for i in range(first, first + count):
        trace = app.say("begin h %032x" % i)
        app.say("finish h " + app.say("span h op-%d" % i))
        app.say("end h")
        app.say("trigger many " + trace)
        ids.append(trace)
    return ids


def all_there(fabric, ids):
    marks = {row["trace_id"]: row["mark"] for row in fabric.rows()}
    missing = [i for i in ids if marks.get(i) != "complete"]
    if missing:
        raise OSError("%d not complete, such as %s: %s, %r" %
                      (len(missing), missing[0], marks.get(missing[0]),
                       [row["causes"] for row in fabric.rows()
                        if row["trace_id"] == missing[0]]))
    return True


def fired_count(fabric):
    """Triggers that the agent has taken in, which is: acknowledged."""
    return sum(t.get("fired_local", t.get("fired", 0))
               for t in fabric.status("agent-0")["triggers"])


def worker_killed():
    """kill -9 of an agent's worker: what it acknowledged is delivered."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        fabric.kill("collector")
        ids = fire_many(fabric, app, 50)
        wait_for("all acknowledged", lambda: fired_count(fabric) == 50)
        worker = fabric.worker("agent-0")
        os.kill(worker, signal.SIGKILL)
        wait_for("a successor", lambda: fabric.worker("agent-0") != worker)
        fabric.start("collector")
        wait_for("all delivered", lambda: all_there(fabric, ids))
        wait_for("the application is back", lambda: app.say("attach 5") == "")
        more = fire_many(fabric, app, 10, first=1000)
        wait_for("life goes on", lambda: all_there(fabric, more))


def agent_killed():
    """kill -9 of keeper and worker: a start needs no cleaning up."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        worker = fabric.worker("agent-0")
        fabric.kill("agent-0")
        wait_for("the worker goes along",
                 lambda: not os.path.exists("/proc/%d" % worker))
        app.say("begin x")
        app.say("fill x 5000")
        app.say("end x")
        fabric.start("agent-0")
        wait_for("the application is back", lambda: app.say("attach 5") == "")
        ids = fire_many(fabric, app, 10)
        wait_for("life goes on", lambda: all_there(fabric, ids))


def coordinator_killed():
    """Triggers that fired while it was dead arrive after its restart."""
    with Fabric(2) as fabric:
        app = fabric.app(0, "svc")
        before = fire_many(fabric, app, 20)
        fabric.kill("coordinator")
        during = fire_many(fabric, app, 20, first=100)
        fabric.start("coordinator")
        after = fire_many(fabric, app, 20, first=200)
        wait_for("all delivered",
                 lambda: all_there(fabric, before + during + after))


def coordinators_come_and_go():
    """Listed in a file that changes while all runs; one is killed."""
    fabric = Fabric(2)
    ports = [fabric.coordinator_port] + free_ports(1)
    both = "".join("%d@127.0.0.1:%d\n" % (1001 + i, p)
                   for i, p in enumerate(ports))
    fabric.write("servers", both.splitlines(True)[0])
    for i in range(2):
        with open(fabric.path("agent-%d.yaml" % i), encoding="utf-8") as old:
            text = old.read()
        fabric.write("agent-%d.yaml" % i, text.replace(
            "coordinators: [127.0.0.1:%d]" % ports[0],
            "coordinators: ['file:%s']" % fabric.path("servers")))
    fabric.write("coordinator-b.yaml", COORDINATOR.format(
        host=fabric.host, control=fabric.control("coordinator-b"),
        port=ports[1],
        collector=fabric.collector_list()).replace("1001", "1002"))

    def states():
        return [[(m["number"], m["state"])
                 for m in fabric.status("agent-%d" % i)["members"]["list"]
                 if m["role"] == "coordinator"] for i in range(2)]

    def all_stored():
        stats = fabric.status("agent-0")["stats"]
        return stats["triggers_stored"] >= stats["triggers_local"]

    with fabric:
        app = fabric.app(0, "svc")
        before = fire_many(fabric, app, 20)
        fabric.start("coordinator-b")
        fabric.write("servers", both)
        wait_for("both are up", lambda: all(
            sorted(s) == [(1001, "up"), (1002, "up")] for s in states()))
        during = fire_many(fabric, app, 100, first=100)
        fabric.kill("coordinator")
        began = time.monotonic()
        wait_for("what it had is stored through the other", all_stored)
        print("failover_ms %.0f" % (1000 * (time.monotonic() - began)))
        during += fire_many(fabric, app, 20, first=300)
        fabric.write("servers", both.splitlines(True)[1])
        wait_for("the first one is gone", lambda: all(
            sorted(s) == [(1001, "gone"), (1002, "up")] for s in states()))
        after = fire_many(fabric, app, 20, first=400)
        wait_for("all delivered",
                 lambda: all_there(fabric, before + during + after))


def collector_killed():
    """What is said to be stored is; the rest comes after the restart."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        before = fire_many(fabric, app, 20)
        wait_for("stored", lambda: all_there(fabric, before))
        during = fire_many(fabric, app, 20, first=100)
        fabric.kill("collector")
        during += fire_many(fabric, app, 20, first=200)
        fabric.start("collector")
        wait_for("all delivered", lambda: all_there(fabric, before + during))


def two_collectors():
    """A trace's slices and manifests meet at one of them, whatever restarts."""
    def requests(count):
        ids = []
        for _ in range(count):
            trace = call(apps[0], apps[1:])
            apps[1].say("trigger many " + trace)
            ids.append(trace)
        return ids

    def whole(name):
        return sum(row["mark"] == "complete" for row in
                   ask(fabric.control(name), "GET",
                       "/v1/traces?limit=1000")[1]["traces"])

    with Fabric(2, collectors=2) as fabric:
        apps = [fabric.app(i, "svc-%d" % i) for i in range(2)]
        ids = requests(40)
        wait_for("stored", lambda: all_there(fabric, ids))
        fabric.kill("collector-b")
        before = whole("collector")
        ids += requests(60)
        # About half of them are the other one's, which waits for nobody.
        wait_for("what belongs to the one that is up",
                 lambda: whole("collector") - before >= 12)
        # What it owns waited for it: nothing went to the other one.
        fabric.start("collector-b")
        ids += requests(20)
        wait_for("all delivered", lambda: all_there(fabric, ids))
        each = [whole(name) for name in fabric.collectors]
        check(all(each) and sum(each) == len(ids),
              "each trace at one of both: %r" % each)


def copies():
    """How often a byte of closed buffers was copied on its way: see ADR 52."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        trace = app.say("begin h")
        app.say("fill h 200000")
        app.say("end h")
        app.say("trigger large " + trace)
        ids = [trace] + fire_many(fabric, app, 20)
        wait_for("all delivered", lambda: all_there(fabric, ids))
        fabric.wait_let_go(1)
        ship = fabric.status("agent-0")["ship"]
        if ship["carrier"] == "transport":
            raise Skipped("slices are no datagrams here")
        # By the kernel, over UDP and TCP; by nobody, where the port borrows; by us,
        # where UDP over IPv6 has to have a checksum that no device makes.
        kernel = ship["carrier"] in ("udp", "tcp")
        ours = ship["carrier"] == "dpdk" and "--v6" in sys.argv
        moved = sum(row["bytes"] for row in fabric.rows())
        kinds = ["bytes_in_place", "bytes_copied", "bytes_copied_kernel"]
        check([bool(ship[kind]) for kind in kinds] ==
              [not kernel and not ours, ours, kernel], "only that way: %r" % ship)
        check(sum(ship[kind] for kind in kinds) >= moved > 200000,
              "all bytes counted: %r, %d" % (ship, moved))
        text = subprocess.run(
            [program("hs"), "status", "--fabric", fabric.dir], text=True,
            stdout=subprocess.PIPE, check=True).stdout
        check("slices by %s: configured, %s copies a byte" % (
            ship["carrier"], "1.00" if kernel or ours else "0.00") in text,
              "hs status: " + text)


def small_frames():
    """Buffers that are longer than 64 of the smallest frames go in parts."""
    class Small(Fabric):
        ship_more = "  frame: 576\n"

    if not SHIP:
        raise Skipped("slices are no datagrams here")
    with Small(1) as fabric:
        app = fabric.app(0, "svc")
        trace = app.say("begin h")
        span = app.say("span h op")
        app.say("fill h 200000")
        app.say("finish h " + span)
        app.say("end h")
        app.say("trigger large " + trace)
        fabric.wait_mark(trace, "complete")
        check(fabric.row(trace)["bytes"] > 100000, "a large one")
        ids = fire_many(fabric, app, 10)
        wait_for("the next ones", lambda: all_there(fabric, ids))


def read_ahead():
    """Next nodes are asked by what tables of crumbs say, and traces are whole."""
    if CARRIER != "shm":
        raise Skipped("nothing is read ahead over TCP")
    with Fabric(6) as fabric:
        traces = []
        for _ in range(20):
            apps, trace = chain(fabric, 6)
            apps[0].say("trigger ahead " + trace)
            traces.append(trace)
        for trace in traces:
            fabric.wait_mark(trace, "complete", 6)
        status = fabric.status("coordinator")
        stats = status["stats"]
        check(status["transport"]["windows"] == 6, "six nodes show a table")
        check(stats["reads_hit"] and stats["hints_confirmed"] and
              not stats["reads_failed"] and
              status["transport"]["reads"] == stats["reads_sent"],
              "read ahead: %r" % stats)
        check("reads ahead at 6: " in subprocess.run(
            [program("hs"), "status", "--fabric", fabric.dir],
            stdout=subprocess.PIPE, check=True).stdout.decode(), "hs status")


def carrier_named():
    """What carries messages is what was asked for, and people hear why."""
    if not CARRIER:
        raise Skipped("no carrier is asked for")
    with Fabric(3) as fabric:
        app = fabric.app(0, "svc")
        ids = fire_many(fabric, app, 10)
        wait_for("all of it", lambda: all_there(fabric, ids))
        for name in fabric.names():
            transport = fabric.status(name)["transport"]
            check(transport["carrier"] == CARRIER and
                  transport["messages_received"] and
                  not transport["peers_cut_off"],
                  "%s: %r" % (name, transport))
        text = subprocess.run(
            [program("hs"), "status", "--fabric", fabric.dir], text=True,
            stdout=subprocess.PIPE, check=True).stdout
        check("%s: configured" % CARRIER in text, "hs status: " + text)


def trigger_by_id():
    """From a node that saw it, where the operator knows which."""
    with Fabric(2) as fabric:
        _, trace = chain(fabric, 2)
        code, answer = fabric.hs("trigger", trace, "--node", "node-1")
        check(code == 0 and answer["fired"] == 1, "fired: %r" % answer)
        fabric.wait_mark(trace, "complete", 2)


def last_seconds():
    """By place and time: newest first, no more than the limit, this node."""
    with Fabric(2) as fabric:
        apps = [fabric.app(i, "svc-%d" % i) for i in range(2)]
        ids = []
        for app in apps:
            for i in range(10):
                trace = app.say("begin h")
                app.say("finish h " + app.say("span h op"))
                app.say("end h")
                ids.append(trace)
        wait_for("the agent has seen them", lambda: sum(
            d["traces"] for d in fabric.status("agent-0")["domains"]) == 10)
        code, answer = fabric.hs("trigger", "--last", "1h", "--node",
                                 "node-0", "--limit", "4")
        check(code == 0 and answer["fired"] == 4, "four fired: %r" % answer)
        wait_for("four collected",
                 lambda: len(fabric.rows(mark="complete")) == 4)
        check(all(row["trace_id"] in ids[:10] for row in fabric.rows()),
              "all of node 0")
        code, answer = fabric.hs("trigger", "--last", "1h", "--service",
                                 "svc-1", "--limit", "100")
        check(code == 0 and answer["fired"] == 10, "ten fired: %r" % answer)
        wait_for("fourteen collected",
                 lambda: len(fabric.rows(mark="complete")) == 14)


def memfds(pids):
    found = []
    for pid in pids:
        for link in glob.glob("/proc/%d/fd/*" % pid):
            try:
                if "memfd:" in os.readlink(link):
                    found.append(link)
            except OSError:
                pass
    return found


def descendants(pid):
    """Processes whose run_dir argument or ancestry is the agent's."""
    found = []
    # Not with ps: a bare Debian has none.
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as cmdline:
                line = cmdline.read().replace(b"\0", b" ").decode("latin-1")
        except OSError:
            continue
        if pid in line and "scenarios.py" not in line:
            found.append(int(number))
    return found


def purge():
    """hs stop --purge leaves nothing anywhere."""
    with Fabric(2) as fabric:
        app = fabric.app(0, "svc")
        fire_many(fabric, app, 5)
        code, answer = fabric.hs("stop", "--purge", "--node", "node-0",
                                 "--node", "node-1")
        check(code == 0, "stopped: %r" % answer)
        for name in ("agent-0", "agent-1"):
            check(fabric.running[name].wait(20) == 0, name + " ended well")
            wait_for("no process of " + name, lambda n=name: not descendants(
                fabric.path(n + ".yaml")))
            left = [os.path.join(top, one) for top, _, files in
                    os.walk(fabric.path(name)) for one in files]
            check(not left, "files are left: %r" % left)
            check(not os.path.exists(fabric.control(name)), "its socket")
        for i in range(2):
            check(not os.path.exists(fabric.path("app-%d.sock" % i)),
                  "the application's socket")
        app.say("begin h")
        app.say("end h")


def linger():
    """SIGTERM keeps the pool; a successor delivers what had fired."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        fabric.kill("collector")
        ids = fire_many(fabric, app, 20)
        wait_for("all acknowledged", lambda: fired_count(fabric) == 20)
        fabric.kill("agent-0", signal.SIGTERM)
        check(fabric.running["agent-0"].returncode == 0, "a clean end")
        fabric.start("agent-0")
        fabric.start("collector")
        wait_for("all delivered", lambda: all_there(fabric, ids))


def command_line():
    """hs: exit codes that scripts can rely on."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        check(fabric.hs("traces", "list")[0] == 1, "nothing yet: 1")
        check(fabric.hs("traces", "show", "1234")[0] == 1, "unknown: 1")
        check(fabric.hs("traces", "show", "xyz")[0] == 2, "no id: 2")
        check(fabric.hs("nonsense")[0] == 2, "no command: 2")
        check(fabric.hs("trigger")[0] == 2, "nothing to trigger: 2")
        check(fabric.hs("traces", "list", "--mark", "soso")[0] in (2, 4),
              "no such mark")
        code, answer = fabric.hs("status")
        check(code == 0 and len(answer["nodes"]) == 1, "status: %r" % answer)
        trace = app.say("begin h")
        span = app.say("span h op")
        app.say("error h %s broken" % span)
        app.say("finish h " + span)
        app.say("end h")
        code, answer = fabric.hs("trigger", trace, "--trigger", "by-hand")
        check(code == 0 and answer["fired"] == 1, "fired: %r" % answer)
        fabric.wait_mark(trace, "complete", 1)
        for good in (["--service", "svc"], ["--error"],
                     ["--trigger", "by-hand"], ["--mark", "complete"],
                     ["--since", "1h"], ["--max-duration", "1h"]):
            code, answer = fabric.hs("traces", "list", *good)
            check(code == 0 and len(answer["traces"]) == 1, good)
        for bad in (["--service", "other"], ["--no-error"],
                    ["--trigger", "other"], ["--mark", "open"],
                    ["--until", "1h"], ["--min-duration", "1h"]):
            check(fabric.hs("traces", "list", *bad)[0] == 1, bad)
        for form in ("jaeger", "otlp", "perfetto"):
            code, answer = fabric.hs("traces", "export", "--format", form,
                                     trace)
            check(code == 0 and isinstance(answer, dict), form)
        code, answer = fabric.hs("traces", "show", trace)
        check(code == 0 and answer["mark"] == "complete", "show: %r" % answer)
        fabric.kill("collector")
        check(fabric.hs("traces", "list")[0] == 3, "nobody there: 3")
        check(fabric.hs("status")[0] == 3, "status says so: 3")


SAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                      "data", "traceweaver", "demo.tar.xz")


def replay_interrupted():
    """^C in mid-replay ends and removes everything that it started."""
    with tempfile.TemporaryDirectory() as tmp:
        with subprocess.Popen(
                [program("hs-replay"), "--trigger", "share=1", SAMPLE],
                env=dict(os.environ, TMPDIR=tmp), text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE) as replay:
            wait_for("applications attached", lambda: [
                one for name in glob.glob(tmp + "/*/agent-0.log")
                for one in open(name) if "process attached" in one])
            replay.send_signal(signal.SIGINT)
            check(replay.wait(60) == 130, "it says that it was interrupted")
        wait_for("no process", lambda: not descendants(tmp))
        check(not os.listdir(tmp), "no file: %r" % os.listdir(tmp))


def replay_exit_codes():
    """hs-replay: every way to fail has its number."""
    def code(*words):
        return subprocess.run(
            [program("hs-replay"), *words], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=60, check=False).returncode
    check(code("--help") == 0, "help")
    check(code(SAMPLE) == 2, "no trigger")
    check(code("--trigger", "often", SAMPLE) == 2, "no such rule")
    check(code("--trigger", "error", "/nonexistent") == 4, "no input")
    check(code("--trigger", "error", SAMPLE) == 4,
          "a rule that fires on nothing fails")
    check(code("--trigger", "share=1", "--fabric", "/nonexistent",
               SAMPLE) in (2, 3), "no fabric")
    with Fabric(2) as fabric:
        check(code("--trigger", "share=0.1", "--fabric", fabric.dir,
                   "--nodes", "3", SAMPLE) == 2, "too few nodes")
        check(code("--trigger", "share=0.1", "--fabric", fabric.dir,
                   "--nodes", "2", "--speed", "1000000", SAMPLE) == 5,
              "a running fabric serves, and nothing is so fast")
        check(code("--trigger", "share=0.1", "--fabric", fabric.dir,
                   "--nodes", "2", "--speed", "500", SAMPLE) == 3,
              "its store holds these traces already")


def replay_sees_loss():
    """A verification that cannot fail proves nothing: lose a node's data."""
    with Fabric(3) as fabric:
        with subprocess.Popen(
                [program("hs-replay"), "--trigger", "share=1", "--fabric",
                 fabric.dir, "--speed", "20", "--patience", "3s", SAMPLE],
                text=True, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT) as replay:
            wait_for("traces arrive", lambda: len(fabric.rows()) > 20)
            fabric.kill("agent-1")
            out = replay.communicate(timeout=100)[0]
        check(replay.returncode in (1, 3), "it noticed: %r" % out)
        check("spans_equal=true" not in out or "partial=0" not in out,
              "it says so: %r" % out)


SCENARIOS = [late_trigger, fan_out, many_processes, trigger_before_data,
             trigger_without_node, two_triggers, no_reply, lateral,
             app_killed, crash_trigger, rules, operations, prefork,
             fork_in_mid_trace, closed_descriptors, stopped_agent,
             worker_killed, agent_killed, coordinator_killed,
             coordinators_come_and_go,
             collector_killed, two_collectors, carrier_named, read_ahead, copies,
             small_frames,
             trigger_by_id, last_seconds, purge, linger,
             command_line, replay_interrupted, replay_exit_codes,
             replay_sees_loss]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], SCENARIOS))
