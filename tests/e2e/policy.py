#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may do what, one scenario a function.

    policy.py                 run them all
    policy.py NAME...         run these
    policy.py --list          print their names
"""
import json
import os
import signal
import subprocess
import sys

from fabric import Fabric, free_ports, program, wait_for
from scenarios import check, main

READER, TEAM, NOBODY = 61001, 61002, 61003
TOKEN, HOOK_TOKEN = "all-0123456789abcdef", "hook-0123456789abcdef"


def insert(fabric, key, text):
    """Add lines under a top-level key of every daemon's file."""
    for name in fabric.names():
        with open(fabric.path(name + ".yaml"), encoding="utf-8") as old:
            lines = old.read()
        fabric.write(name + ".yaml",
                     lines.replace(key + ":\n", key + ":\n" + text, 1))


def curl(*words, uid=None, gid=None):
    """Return (status, decoded answer); status 0: no connection."""
    def become():
        os.setgroups([gid] if gid else [])
        os.setgid(uid)
        os.setuid(uid)
    done = subprocess.run(
        ["curl", "--silent", "--max-time", "20", "--write-out",
         "\n%{http_code}", *words],
        stdout=subprocess.PIPE, text=True, check=False,
        preexec_fn=become if uid else None)
    text, _, code = done.stdout.rpartition("\n")
    try:
        return int(code), json.loads(text)
    except ValueError:
        return int(code), text


def at(fabric, name, path, **who):
    """GET or POST at a daemon's socket; "POST /v1/stop"."""
    method, path = path.split()
    return curl("--request", method, "--unix-socket", fabric.control(name),
                "http://localhost" + path, **who)


def roles():
    """Other users and tokens do at all three daemons what YAML lets them."""
    fabric = Fabric(1)
    os.chmod(fabric.dir, 0o755)
    ports = dict(zip(fabric.names(), free_ports(3)))
    insert(fabric, "control", (
        "  token: %s\n"
        "  allow:\n"
        "  - {user: %d, may: [read]}\n"
        "  - {group: %d, may: [stop]}\n"
        "  - {token: %s, may: [fire]}\n") % (TOKEN, READER, TEAM, HOOK_TOKEN))
    for name, port in ports.items():
        with open(fabric.path(name + ".yaml"), encoding="utf-8") as old:
            text = old.read()
        fabric.write(name + ".yaml", text.replace(
            "control:\n", "control:\n  tcp_port: %d\n" % port, 1))
    with fabric:
        for name, port in ports.items():
            status = "http://127.0.0.1:%d/v1/status" % port
            check(at(fabric, name, "GET /v1/status", uid=READER)[0] == 200,
                  name + ": a reader reads")
            code, answer = at(fabric, name, "POST /v1/stop", uid=READER)
            check(code == 403 and "may not stop" in answer["error"],
                  name + ": and does not stop: %r" % answer)
            check(at(fabric, name, "GET /v1/status", uid=NOBODY)[0] == 403,
                  name + ": nobody else reads")
            check(at(fabric, name, "GET /v1/status", uid=NOBODY,
                     gid=TEAM)[0] == 403, name + ": nor does the team")
            check(curl(status)[0] == 401, name + ": nobody without a token")
            bearer = "Authorization: Bearer "
            check(curl("-H", bearer + TOKEN[:-1], status)[0] == 401,
                  name + ": a token cut short is none")
            check(curl("-H", bearer + HOOK_TOKEN, status)[0] == 403,
                  name + ": a token that may fire does not read")
            check(curl("-H", bearer + TOKEN, status)[0] == 200,
                  name + ": the token that may everything does")
            code, answer = curl("-H", bearer + TOKEN, status.replace(
                "status", "config"))
            check(code == 200 and answer["control.tcp_port"] == port and
                  TOKEN not in json.dumps(answer),
                  name + ": settings are shown, tokens are not")
            door = fabric.status(name)["door"]
            check(door["refused_unknown"] == 3 and door["refused_role"] == 3,
                  name + ": refusals are counted: %r" % door)
        code, answer = at(fabric, "agent-0", "POST /v1/trigger", uid=READER)
        check(code == 403 and "may not fire" in answer["error"],
              "a reader fires nothing: %r" % answer)
        for name in ("agent-0", "coordinator", "collector"):
            check(at(fabric, name, "POST /v1/stop", uid=NOBODY,
                     gid=TEAM)[0] == 200, name + ": the team stops it")
            fabric.running[name].wait(30)
    with Fabric(1) as fabric:
        os.chmod(fabric.dir, 0o755)
        for name in fabric.names():
            check(at(fabric, name, "GET /v1/status", uid=NOBODY)[0] == 0,
                  name + ": by default the socket is shut")
            check(at(fabric, name, "GET /v1/status")[0] == 200,
                  name + ": but not for its own user")


def one_trace(app, handle, trigger):
    """A trace of one span that fires; return its id."""
    trace = app.say("begin %s" % handle)
    span = app.say("span %s work" % handle)
    app.say("finish %s %s" % (handle, span))
    app.say("trigger %s %s" % (trigger, trace))
    app.say("end %s" % handle)
    return trace


def trigger_status(fabric, name):
    for one in fabric.status("agent-0")["triggers"]:
        if one["name"] == name:
            return one
    return {}


def agent_check(fabric):
    """Return (exit code, text) of hs-agent --check."""
    done = subprocess.run(
        [program("hs-agent"), "--check", "--config",
         fabric.path("agent-0.yaml")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    return done.returncode, done.stdout


def dry_run():
    """A dry run counts and collects nothing; others do as always."""
    policy = ("triggers:\n- {name: slow, dry_run: true, weight: 3, "
              "reason: too slow for checkout}\n")
    with Fabric(1, policy) as fabric:
        app = fabric.app(0, "svc")
        one_trace(app, "a", "slow")
        one_trace(app, "b", "slow")
        kept = one_trace(app, "c", "error")
        fabric.wait_mark(kept, "complete", 1)
        check([row["trace_id"] for row in fabric.rows()] == [kept],
              "only the other trigger's trace is there")
        status = wait_for("what came behind the triggers", lambda: [
            one for one in [trigger_status(fabric, "slow")]
            if one["dry_bytes"] > 0])[0]
        check(status["dry_run"] and status["dry_traces"] == 2 and
              status["fired"] == 0, "two were counted: %r" % status)
        check(status["reason"] == "too slow for checkout" and
              status["weight"] == 3, "its reason and weight show")
        code, text = agent_check(fabric)
        check(code == 0 and "fired 2 times; would have collected 2 traces" in
              text and "would change: nothing" in text, text)
    code, text = agent_check(fabric)
    check(code == 2 and "No such file" in text, "no file: " + text)


def reload():
    """hs reload and SIGHUP take a file whole, or leave all as it was."""
    with Fabric(1) as fabric:
        def rewrite(text, old="", new=""):
            fabric.write("agent-0.yaml", base.replace(old, new) + text)
        with open(fabric.path("agent-0.yaml"), encoding="utf-8") as old:
            base = old.read()
        app = fabric.app(0, "svc")
        lines = base.count("\n")
        rewrite("triggers:\n- {name: slow, dry_run: true}\n"
                "- {name: error, weight: heavy}\n")
        code, answer = at(fabric, "agent-0", "POST /v1/reload")
        check(code == 400 and answer["line"] == lines + 3 and
              answer["column"] == 25 and "heavy" in answer["error"],
              "what is wrong, and where: %r" % answer)
        code, answer = fabric.hs("reload")
        check(code == 4 and "agent-0.yaml:%d:25" % (lines + 3) in
              answer["reloaded"]["node-0"]["error"], "hs says it, too: %r" %
              answer)
        check(not trigger_status(fabric, "slow"), "nothing of it was taken")
        rewrite("triggers:\n- {name: slow, dry_run: true}\n"
                "huge_pages: false\n", "name: node-0", "name: other")
        code, answer = at(fabric, "agent-0", "POST /v1/reload")
        check(code == 409 and "node.name" in answer["needs_restart"] and
              "huge_pages" in answer["needs_restart"] and
              "triggers" not in answer["needs_restart"],
              "what cannot change is named: %r" % answer)
        check(not trigger_status(fabric, "slow"), "and nothing was taken")
        check(agent_check(fabric)[0] == 2, "hs-agent --check says so before")
        rewrite("triggers:\n- {name: slow, dry_run: true}\n")
        code, answer = fabric.hs("reload", "--check")
        check(code == 0 and answer["reloaded"]["node-0"] == {
            "taken": False, "changed": "triggers"}, "asked only: %r" % answer)
        check(not trigger_status(fabric, "slow"), "and still not taken")
        code, answer = fabric.hs("reload")
        check(code == 0 and answer["reloaded"]["node-0"]["taken"],
              "taken: %r" % answer)
        check(trigger_status(fabric, "slow")["dry_run"], "at once")
        one_trace(app, "a", "slow")
        wait_for("counted", lambda: trigger_status(
            fabric, "slow")["dry_traces"] == 1)
        # A worker that comes after a crash has the file that was taken, not
        # the one that lies there.
        rewrite("triggers: [\n")
        before = fabric.worker("agent-0")
        os.kill(before, signal.SIGKILL)
        wait_for("another worker", lambda: fabric.worker(
            "agent-0") != before)
        check(trigger_status(fabric, "slow")["dry_run"], "what was taken")
        fabric.kill("agent-0", signal.SIGHUP)
        wait_for("refused", lambda: fabric.status(
            "agent-0")["stats"]["reloads_refused"] == 1)
        rewrite("triggers:\n- {name: slow, weight: 9}\n"
                "rules:\n- {name: failed, status: error}\n")
        fabric.kill("agent-0", signal.SIGHUP)
        wait_for("by signal", lambda: trigger_status(
            fabric, "slow")["weight"] == 9)
        check([rule["name"] for rule in fabric.status("agent-0")["rules"]] ==
              ["failed"], "rules, too")
        kept = one_trace(app, "b", "slow")
        fabric.wait_mark(kept, "complete", 1)


def store_bytes(fabric):
    """All that the collector has on disk."""
    found = b""
    for folder, _, names in os.walk(fabric.path("store")):
        for name in names:
            with open(os.path.join(folder, name), "rb") as one:
                found += one.read()
    return found


def exported_tags(fabric, trace):
    """Every tag of every span by its key, as somebody reads them."""
    code, answer = fabric.hs("traces", "export", "--format", "jaeger", trace)
    check(code == 0, "export: %r" % answer)
    return {tag["key"]: tag["value"] for one in answer["data"]
            for span in one["spans"] for tag in span["tags"]}


def secret_trace(fabric, app, handle, secret):
    """A trace full of it, in short values and in ones that run on."""
    trace = app.say("begin %s" % handle)
    span = app.say("span %s login" % handle)
    app.say("attr %s %s plain kept" % (handle, span))
    for i in range(30):
        app.say("attr %s %s user.short%d %s%d" % (handle, span, i, secret, i))
    # Over the 128 bytes that begin in one buffer: these run on.
    for i in range(20):
        app.say("attr %s %s user.long%d %s" % (handle, span, i, secret * 40))
    app.say("attr %s %s user.id %s" % (handle, span, secret))
    app.say("attr %s %s last kept-too" % (handle, span))
    app.say("error %s %s refused:%s" % (handle, span, secret))
    app.say("finish %s %s" % (handle, span))
    app.say("trigger slow %s" % trace)
    app.say("end %s" % handle)
    fabric.wait_mark(trace, "complete", 1)
    return trace


def open_trace(fabric, app, handle, secret):
    """One that leaves while it is open, and then onward, in several steps."""
    trace = app.say("begin %s" % handle)
    span = app.say("span %s login" % handle)
    app.say("attr %s %s user.long100 %s" % (handle, span, secret * 40))
    app.say("attr %s %s user.short100 %s" % (handle, span, secret))
    app.say("trigger slow %s" % trace)
    row = fabric.wait_mark(trace, "open", 1)
    for i in range(3):
        was = row["bytes"]
        app.say("attr %s %s user.short%d %s" % (handle, span, i, secret))
        app.say("attr %s %s user.long%d %s" % (handle, span, i, secret * 40))
        app.say("attr %s %s step%d taken" % (handle, span, i))
        row = fabric.wait_bytes(trace, was + 1)
    app.say("attr %s %s last kept-too" % (handle, span))
    app.say("finish %s %s" % (handle, span))
    app.say("end %s" % handle)
    fabric.wait_mark(trace, "complete", 1)
    return trace


def redact():
    """What rules name is not in the collector's store; all else is."""
    rules = ("cluster_key: 00112233445566778899aabbccddeeff\n"
             "redact:\n"
             "- {key: user.id, action: hash}\n"
             "- {key: 'user.long*', action: mask}\n"
             "- {key: 'user.*'}\n"
             "- {key: '@status', action: mask}\n")
    fabric = Fabric(1, rules)
    with open(fabric.path("collector.yaml"), "a", encoding="utf-8") as more:
        more.write("zstd_level: -1\n")
    with fabric:
        app = fabric.app(0, "svc")
        first = secret_trace(fabric, app, "a", "hunter2pass")
        second = secret_trace(fabric, app, "b", "hunter2pass")
        grown = open_trace(fabric, app, "o", "hunter2pass")
        found = store_bytes(fabric)
        check(b"kept-too" in found and b"login" in found, "all else is there")
        check(b"hunter2" not in found and b"2passhunt" not in found,
              "no part of the secret is")
        tags = exported_tags(fabric, first)
        check(tags["plain"] == "kept" and tags["last"] == "kept-too",
              "what is not named is read: %r" % tags)
        check("user.short0" not in tags, "dropped as if never there")
        check(all(tags["user.long%d" % i] == "***" for i in range(20)),
              "masked, wherever it ran on")
        steps = exported_tags(fabric, grown)
        check(all(steps["step%d" % i] == "taken" and
                  steps["user.long%d" % i] == "***" and
                  "user.short%d" % i not in steps for i in range(3)) and
              steps["last"] == "kept-too" and steps["user.long100"] == "***",
              "one that grew while it was shipped: %r" % steps)
        hashed = tags["user.id"]
        check(len(hashed) == len("hunter2pass") and "hunter" not in hashed,
              "hashed: %r" % hashed)
        check(exported_tags(fabric, second)["user.id"] == hashed,
              "the same for the same value")
        stats = fabric.status("agent-0")["stats"]
        check(stats["redact_dropped"] >= 60 and stats["redact_masked"] >= 42
              and stats["redact_hashed"] >= 2 and
              stats["redact_withheld_bytes"] == 0, "counted: %r" % stats)
        # Without rules, from now on, it is all there.
        with open(fabric.path("agent-0.yaml"), encoding="utf-8") as old:
            text = old.read()
        fabric.write("agent-0.yaml", text.split("redact:")[0])
        check(fabric.hs("reload")[0] == 0, "other rules")
        secret_trace(fabric, app, "c", "hunter3pass")
        check(b"hunter3passhunter3" in store_bytes(fabric), "as it was")


ALERT = """{"version": "4", "status": "firing", "receiver": "hindsight",
 "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
 "externalURL": "http://alerts", "truncatedAlerts": 0, "alerts": [
 {"status": "firing", "labels": {"alertname": "CheckoutSlow"},
  "annotations": {"trace_id": "%s"}, "startsAt": "2024-05-01T00:00:00Z",
  "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": "1"},
 {"status": "firing", "labels": {"alertname": "CheckoutErrors"},
  "annotations": {"hs_last": "1h", "hs_service": "cart", "hs_limit": "3"}},
 {"status": "resolved", "labels": {"alertname": "Old"},
  "annotations": {"trace_id": "%s"}}]}"""


def hook():
    """Alerts and forms fire from outside, by TCP with a token, as curl does."""
    fabric = Fabric(1)
    (port,) = free_ports(1)
    url = "http://127.0.0.1:%d/v1/hook" % port
    bearer = ["-H", "Authorization: Bearer " + HOOK_TOKEN]
    with open(fabric.path("agent-0.yaml"), encoding="utf-8") as old:
        text = old.read()
    fabric.write("agent-0.yaml", text.replace("control:\n", (
        "control:\n  tcp_port: %d\n  allow:\n"
        "  - {token: %s, may: [fire]}\n") % (port, HOOK_TOKEN), 1) + (
            "triggers:\n- {name: rare, rate: 1}\n"))
    with fabric:
        def quiet(app, count):
            traces = []
            for _ in range(count):
                traces.append(app.say("begin h"))
                app.say("finish h " + app.say("span h op"))
                app.say("end h")
            return traces
        cart = fabric.app(0, "cart")
        carts = quiet(cart, 5)
        others = quiet(fabric.app(0, "other"), 5)
        wait_for("the agent has seen them", lambda: sum(
            d["traces"] for d in fabric.status("agent-0")["domains"]) == 10)
        body = ALERT % (others[0], others[1])
        check(curl("-d", body, url)[0] == 401, "not without a token")
        check(curl("-H", "Authorization: Bearer x" + HOOK_TOKEN, "-d", body,
                   url)[0] == 401, "nor with another one")
        check(not fabric.rows(), "and nothing was fired")
        code, answer = curl(*bearer, "-H", "Content-Type: application/json",
                            "-d", body, url)
        check(code == 200 and answer["fired"] == 4 and
              answer["resolved"] == 1, "an alert fires: %r" % answer)
        slow, errors = answer["triggers"]
        check(slow["trigger"] == "CheckoutSlow" and
              slow["trace_ids"] == [others[0]], "by id: %r" % slow)
        check(errors["seen"] == 5 and errors["left_out"] == 2 and
              set(errors["trace_ids"]) <= set(carts), "by time: %r" % errors)
        wait_for("all four are collected",
                 lambda: len(fabric.rows(mark="complete")) == 4)
        code, answer = curl(*bearer, "-d", "trace_id=" + others[2], url +
                            "?trigger=pager")
        check(code == 200 and answer["triggers"][0]["trigger"] == "pager",
              "a form: %r" % answer)
        fabric.wait_mark(others[2], "complete", 1)
        # However slow this machine is, some come within one second.
        ids = ",".join("%x" % (1000 + i) for i in range(200))
        code, answer = curl(*bearer, "-d", "trigger=rare&trace_ids=" + ids,
                            url)
        check(code == 200 and 1 <= answer["fired"] < 200 and "rate" in
              answer["triggers"][0]["error"], "as its rate lets it: %r" %
              answer)
        codes = {curl(*bearer, "-d", "trigger=rare&trace_id=%x" % (2000 + i),
                      url)[0] for i in range(50)}
        check(429 in codes, "over it: %r" % codes)
        for bad in ("trace_id=nonsense", "{", "x", "last=-1"):
            code, answer = curl(*bearer, "-d", bad, url)
            check(code == 400 and answer["error"], "%s: %r" % (bad, answer))
        fabric.write("big", "trace_id=1&" + "x" * (1 << 20))
        check(curl(*bearer, "-d", "@" + fabric.path("big"), url)[0] == 413,
              "a body that is too long")
        status = "http://127.0.0.1:%d/v1/status" % port
        check(curl(*bearer, status)[0] == 403, "its token fires and no more")
        stats = fabric.status("agent-0")["stats"]
        check(stats["hooks_refused"] == 4 and stats["recent_left_out"] >= 2,
              "counted: %r" % stats)


SCENARIOS = [roles, dry_run, reload, redact, hook]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], SCENARIOS))
