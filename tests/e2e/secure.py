#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may take part, one scenario a function: keys of the cluster,
certificates.

    secure.py                  run them all
    secure.py NAME...          run these
    secure.py --list           print their names
"""
import os
import re
import secrets
import signal
import subprocess
import sys

import fabric as house
from fabric import Fabric, program, wait_for
from scenarios import all_there, chain, check, fire_many, main


class Keyed(Fabric):
    """A fabric in which every daemon has a key file of its own."""

    def __init__(self, nodes, keys, other=None):
        """`keys`: the text of the files; `other`: by daemon's name."""
        self.keys = keys
        self.other = other or {}
        super().__init__(nodes)

    def write(self, name, text):
        if name.endswith(".yaml"):
            daemon = name[:-len(".yaml")]
            self.write_key(daemon, self.other.get(daemon, self.keys))
            text += "transport:\n  key_file: %s\n" % self.path(daemon + ".key")
        super().write(name, text)

    def write_key(self, daemon, text):
        """In one step, as an operator should."""
        path = self.path(daemon + ".key")
        with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT, 0o600),
                  "w", encoding="utf-8") as out:
            out.write(text)
        os.rename(path + ".new", path)

    def cut(self, daemon, cause):
        """How many peers a daemon cut off for it."""
        return self.status(daemon)["transport"]["cut_off_for"].get(cause, 0)

    def up(self, count):
        """Are so many agents known to the coordinator?"""
        return self.status("coordinator")["stats"]["nodes_up"] == count


def openssl(*words):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                    *words], check=True, stderr=subprocess.DEVNULL)


class Certified(Fabric):
    """A fabric in which every daemon has a certificate of its own, made as
    docs/OPERATIONS.md says."""

    def write(self, name, text):
        if not os.path.exists(self.path("ca.pem")):
            self.authority("ca")
        if name.endswith(".yaml"):
            daemon = name[:-len(".yaml")]
            self.certify(daemon, "ca")
            text += ("transport:\n  tls_ca: %s\n  tls_cert: %s\n"
                     "  tls_key: %s\n" % (
                         self.path("ca.pem"), self.path(daemon + ".pem"),
                         self.path(daemon + ".key")))
        super().write(name, text)

    def authority(self, name):
        openssl("-subj", "/CN=" + name, "-keyout", self.path(name + ".key"),
                "-out", self.path(name + ".pem"))

    def certify(self, daemon, by):
        """Replaces what the daemon had, the certificate last."""
        role = daemon.split("-")[0]
        name = daemon.replace("agent", "node")
        new = self.path("new")
        openssl("-CA", self.path(by + ".pem"), "-CAkey",
                self.path(by + ".key"), "-subj", "/CN=" + name, "-addext",
                "basicConstraints=CA:FALSE", "-addext",
                "subjectAltName=URI:hs:%s/%s" % (role, name), "-keyout",
                new + ".key", "-out", new + ".pem")
        os.chmod(new + ".key", 0o600)
        for end in (".key", ".pem"):
            os.rename(new + end, self.path(daemon + end))


def tls():
    """A trace over two nodes is whole over TLS on all daemons; an agent whose
    certificate is of another authority is kept out until it has one."""
    with Certified(3) as fabric:
        apps, trace = chain(fabric, 3, reply=False)
        apps[2].say("trigger late " + trace)
        fabric.wait_mark(trace, "complete", 3)
        for name in fabric.names():
            transport = fabric.status(name)["transport"]
            check(transport["tls"] and not transport["peers_cut_off"],
                  "%s: %r" % (name, transport))
        fabric.kill("agent-2", signal.SIGTERM)
        fabric.authority("stranger")
        fabric.certify("agent-2", "stranger")
        fabric.start("agent-2")
        for name in ("agent-2", "coordinator", "collector"):
            wait_for(name + " counts", lambda n=name: fabric.status(n)[
                "transport"]["cut_off_for"].get("tls", 0))
        check(fabric.status("coordinator")["stats"]["nodes_up"] == 2,
              "the other is not")
        fabric.certify("agent-2", "ca")
        wait_for("agent-2 is known", lambda: fabric.status("coordinator")[
            "stats"]["nodes_up"] == 3)


def new_key():
    return secrets.token_hex(32) + "\n"


def key():
    """A trace over two nodes is whole, and each daemon says that it has a
    key."""
    with Keyed(2, new_key()) as fabric:
        apps, trace = chain(fabric, 2, reply=False)
        apps[1].say("trigger late " + trace)
        fabric.wait_mark(trace, "complete", 2)
        for name in fabric.names():
            transport = fabric.status(name)["transport"]
            check(transport["keys"] == 1 and not transport["peers_cut_off"],
                  "%s: %r" % (name, transport))
        out = subprocess.run(
            [program("hs"), "status", "--fabric", fabric.dir], check=True,
            stdout=subprocess.PIPE, text=True).stdout
        check(re.search(r"transport +2 nodes: tcp: configured, cluster key",
                        out), "hs status says so: " + out)


def wrong_key():
    """An agent with another key is kept out, is told why, and is let in as
    soon as it has the right one, without a restart."""
    right = new_key()
    with Keyed(2, right, {"agent-1": new_key()}) as fabric:
        wait_for("agent-0 is known", lambda: fabric.up(1))
        for name in ("agent-1", "coordinator", "collector"):
            wait_for(name + " counts", lambda n=name: fabric.cut(n, "key"))
        check(fabric.up(1), "the other is not")
        with open(fabric.path("agent-1.log"), encoding="utf-8") as log:
            check("no cluster key in common" in log.read(), "it is told why")
        fabric.write_key("agent-1", right)
        wait_for("agent-1 is known", lambda: fabric.up(2))
        apps, trace = chain(fabric, 2, reply=False)
        apps[1].say("trigger late " + trace)
        fabric.wait_mark(trace, "complete", 2)


def open_to_others():
    """A key file that others may read is no secret: the daemon ends."""
    with Keyed(1, new_key()) as fabric:
        fabric.kill("coordinator")
        os.chmod(fabric.path("coordinator.key"), 0o640)
        fabric.start("coordinator", wait=False)
        check(fabric.running["coordinator"].wait(30) != 0, "it ended")
        with open(fabric.path("coordinator.log"), encoding="utf-8") as log:
            check("should have mode 0600" in log.read(), "and said why")
        os.chmod(fabric.path("coordinator.key"), 0o600)
        fabric.start("coordinator")


def rotation():
    """Keys change on all daemons, one after the other, under load."""
    old, new = new_key(), new_key()
    with Keyed(2, old) as fabric:
        app = fabric.app(0, "svc-0")
        fabric.app(1, "svc-1")
        ids, first = [], 1
        for text in (old + new, new + old, new):
            for name in fabric.names():
                fabric.write_key(name, text)
                ids += fire_many(fabric, app, 20, first)
                first += 20
        # Whoever comes now has to have the new one.
        fabric.kill("coordinator")
        fabric.start("coordinator")
        ids += fire_many(fabric, app, 20, first)
        wait_for("all there", lambda: all_there(fabric, ids))
        wait_for("both agents", lambda: fabric.up(2))


def shipping_wrong_key():
    """Frames of the shipping protocol under another key are refused and
    counted; under the right one slices come."""
    right = new_key()
    with Keyed(1, right) as fabric:
        app = fabric.app(0, "svc-0")
        ids = fire_many(fabric, app, 10)
        wait_for("all there", lambda: all_there(fabric, ids))
        ship = fabric.status("collector")["ship"]
        check(ship["carrier"] == house.SHIP, "datagrams carry them")
        check(ship["key"] and not ship["frames_forged"], "all authentic")
        # Its datagrams are somebody else's as soon as it has looked.
        fabric.write_key("agent-0", new_key())

        def forged():
            ids.extend(fire_many(fabric, app, 1, len(ids) + 1))
            return fabric.status("collector")["ship"]["frames_forged"]
        seen = wait_for("refused and counted", forged)
        late = fire_many(fabric, app, 10, len(ids) + 1)
        wait_for("refused again", lambda: fabric.status("collector")["ship"][
            "frames_forged"] > seen)
        check(not any(row["mark"] == "complete" for row in fabric.rows()
                      if row["trace_id"] in late), "nothing of it is taken")
        fabric.write_key("agent-0", right)
        wait_for("all there", lambda: all_there(fabric, ids + late))


SCENARIOS = [key, wrong_key, open_to_others, rotation, shipping_wrong_key,
             tls]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], SCENARIOS))
