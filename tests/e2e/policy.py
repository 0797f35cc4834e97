#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may do what, one scenario a function.

    policy.py                 run them all
    policy.py NAME...         run these
    policy.py --list          print their names
"""
import json
import os
import subprocess
import sys

from fabric import Fabric, free_ports
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
            check(code == 404 or TOKEN not in json.dumps(answer),
                  name + ": tokens are shown to nobody")
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


SCENARIOS = [roles]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], SCENARIOS))
