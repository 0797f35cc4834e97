#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Slices over TCP of their own, one scenario a function: connections that break,
certificates, and how the carrier is chosen.

    tcp.py                  run them all
    tcp.py NAME...          run these
    tcp.py --list           print their names
"""
import os
import signal
import socket
import subprocess
import sys
import threading

from fabric import Fabric, program, wait_for
from scenarios import all_there, check, fire_many, main
from secure import Certified


class Relay:
    """Between agents and a collector; cut() breaks what stands, wherever."""

    def __init__(self, port):
        self.to = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs = []
        self.carried = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                near.close()
                continue
            with self.lock:
                self.pairs.append((near, far))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=pair,
                                 daemon=True).start()

    def carry(self, source, sink):
        try:
            while True:
                data = source.recv(3000)
                if not data:
                    break
                sink.sendall(data)
                with self.lock:
                    self.carried += len(data)
        except OSError:
            pass
        self.shut(source, sink)

    @staticmethod
    def shut(*ends):
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            self.shut(*pair)
        return len(pairs)

    def close(self):
        self.shut(self.listener)
        self.listener.close()
        self.cut()


def shipping(base):
    """`base` with slices over TCP, through a relay."""
    class Tcp(base):
        relay = None

        def ship(self, name):
            text = "ship:\n  carrier: tcp\n"
            if name == "collector":
                return text + '  bind: "127.0.0.1:%d"\n' % self.own_port()
            if not self.relay:
                type(self).relay = Relay(self.own_port())
            return text + '  collectors: ["127.0.0.1:%d"]\n' % self.relay.port

        def own_port(self):
            if not getattr(self, "ship_port", None):
                with socket.create_server(("127.0.0.1", 0)) as sock:
                    self.ship_port = sock.getsockname()[1]
            return self.ship_port

        def __exit__(self, *why):
            super().__exit__(*why)
            self.relay.close()
    return Tcp


def status_text(fabric):
    return subprocess.run(
        [program("hs"), "status", "--fabric", fabric.dir], text=True,
        stdout=subprocess.PIPE, check=True).stdout


def large(fabric, app):
    """A trace of which all the bytes count."""
    trace = app.say("begin h")
    span = app.say("span h op")
    app.say("fill h 400000")
    app.say("finish h " + span)
    app.say("end h")
    app.say("trigger large " + trace)
    return trace


def cut_while_shipping(base, tls):
    with shipping(base)(2) as fabric:
        apps = [fabric.app(i, "svc-%d" % i) for i in range(2)]
        ids, cuts, seen = [], 0, 0
        for i in range(5):
            ids += [large(fabric, app) for app in apps]
            ids += fire_many(fabric, apps[0], 10, 10 * i + 1)
            wait_for("something goes",
                     lambda: fabric.relay.carried > seen + 100000)
            seen = fabric.relay.carried
            cuts += fabric.relay.cut()
        check(cuts >= 5, "connections stood when they were cut: %d" % cuts)
        wait_for("all there", lambda: all_there(fabric, ids))
        for name in ("agent-0", "agent-1", "collector"):
            ship = fabric.status(name)["ship"]
            check(ship["carrier"] == "tcp" and ship["tls"] == tls,
                  "%s: %r" % (name, ship))
        check("slices by tcp: configured%s, %s copies a byte" % (
            ", TLS" if tls else "", "3.0" if tls else "1.0")
            in status_text(fabric).replace("1.00", "1.0").replace(
                "3.00", "3.0"), "hs status: " + status_text(fabric))


def cut():
    """Connections break in the middle of slices: nothing is lost, and what is
    shipped again is counted once."""
    cut_while_shipping(Fabric, False)


def cut_tls():
    """The same with TLS."""
    cut_while_shipping(Certified, True)


def wrong_certificate():
    """An agent whose certificate is of another authority, or is none of an
    agent, ships nothing, and both ends say why; with the right one it does."""
    with shipping(Certified)(1) as fabric:
        app = fabric.app(0, "svc")
        ids = fire_many(fabric, app, 5)
        wait_for("all there", lambda: all_there(fabric, ids))
        fabric.kill("agent-0", signal.SIGTERM)
        fabric.authority("stranger")
        fabric.certify("agent-0", "stranger")
        fabric.start("agent-0")

        def said(name, *words):
            with open(fabric.path(name + ".log"), encoding="utf-8") as log:
                return any(all(word in line for word in words)
                           for line in log)
        wait_for("the collector says why", lambda: said(
            "collector", "ship: tcp: agent from", "its certificate",
            "certificate signature failure") or said(
                "collector", "ship: tcp: agent from", "its certificate",
                "issuer"))
        wait_for("the agent says why", lambda: said(
            "agent-0", "ship: tcp: collector at", "TLS:"))
        check(not fabric.status("agent-0")["ship"]["collectors"][0]["up"],
              "it does not ship")
        check("LINK DOWN" in status_text(fabric), "hs status says so")
        # Of the right authority, for somebody else.
        os.rename(fabric.path("collector.pem"), fabric.path("kept.pem"))
        os.rename(fabric.path("collector.key"), fabric.path("kept.key"))
        fabric.certify("coordinator", "ca")
        for end in (".pem", ".key"):
            with open(fabric.path("coordinator" + end), "rb") as of:
                with open(os.open(fabric.path("agent-0" + end),
                                  os.O_WRONLY | os.O_TRUNC), "wb") as to:
                    to.write(of.read())
        os.rename(fabric.path("kept.key"), fabric.path("collector.key"))
        os.rename(fabric.path("kept.pem"), fabric.path("collector.pem"))
        wait_for("for whom it is", lambda: said(
            "collector", "ship: tcp: agent from",
            "its certificate is not for agent/"))
        fabric.certify("agent-0", "ca")
        wait_for("it ships", lambda: fabric.status("agent-0")["ship"][
            "collectors"][0]["up"])
        app.close()
        app = fabric.app(0, "svc")
        ids = fire_many(fabric, app, 5, 100)
        wait_for("all there", lambda: all_there(fabric, ids))


def auto():
    """The carrier that is chosen is the one that fits, and is said with the
    reason: TCP with certificates, else UDP."""
    for base, carrier, why in ((Certified, "tcp", "there are certificates"),
                               (Fabric, "udp", "neither certificates")):
        class Chosen(base):
            def ship(self, name):
                port = self.collector_ports["collector"] % 30000 + 1024
                at = '"127.0.0.1:%d"' % port
                return "ship:\n  carrier: auto\n" + (
                    "  bind: %s\n" % at if name == "collector"
                    else "  collectors: [%s]\n" % at)
        with Chosen(1) as fabric:
            ids = fire_many(fabric, fabric.app(0, "svc"), 5)
            wait_for("all there", lambda: all_there(fabric, ids))
            for name in ("agent-0", "collector"):
                ship = fabric.status(name)["ship"]
                check(ship["carrier"] == carrier and why in ship["why"],
                      "%s: %r" % (name, ship))
            check("slices by %s: auto: %s" % (carrier, why) in
                  status_text(fabric), "hs status: " + status_text(fabric))


SCENARIOS = [cut, cut_tls, wrong_certificate, auto]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], SCENARIOS))
