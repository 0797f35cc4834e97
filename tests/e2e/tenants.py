#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who shares an agent with whom: containers, users, budgets, and whom the
memory is charged to. Takes root; what the machine cannot do is skipped, with a
line that says so.

    tenants.py [NAME...], --list
"""
import os
import shutil
import signal
import subprocess
import sys
import time

from fabric import App, Fabric, program, wait_for
from scenarios import (Skipped, all_there, check, fire_many, fired_count,
                       main)

MIB = 1 << 20
NOBODY = 65534


def tool(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


class Tenants(Fabric):
    """One agent with a socket for each tenant, in a folder of its own."""

    def __init__(self, pools):
        self.pools = pools
        super().__init__(1)
        os.chmod(self.dir, 0o755)
        for name in pools:
            os.mkdir(self.path(name), 0o755)
        self.copy_client()

    def copy_client(self):
        """Where anybody may start it."""
        here = self.path("bin")
        build = os.path.dirname(os.path.dirname(program("hs-client")))
        for part in ("tools", "dataplane"):
            os.makedirs(os.path.join(here, part))
        shutil.copy(program("hs-client"), os.path.join(here, "tools"))
        for name in os.listdir(os.path.join(build, "dataplane")):
            if name.startswith("libhindsight.so"):
                path = os.path.join(build, "dataplane", name)
                if os.path.isfile(path):
                    shutil.copy(path, os.path.join(here, "dataplane"))
        self.client = os.path.join(here, "tools", "hs-client")

    def write_configs(self):
        super().write_configs()
        path = self.path("agent-0.yaml")
        with open(path, encoding="utf-8") as text:
            whole = text.read()
        begin = whole.index("domains:")
        end = whole.index("coordinators:")
        domains = "domains:\n" + "".join(
            "  - name: %s\n    socket: %s\n    pool: %d\n" % (
                name, self.path(os.path.join(name, "agent.sock")), size)
            for name, size in self.pools.items())
        self.write("agent-0.yaml", whole[:begin] + domains + whole[end:])

    def domains(self):
        return {(d["name"], d["uid"]): d
                for d in self.status("agent-0")["domains"]}

    def tenant(self, name, service, command):
        one = App(os.path.join("/mnt" if "unshare" in command else
                               self.path(name), "agent.sock"), service,
                  command=command)
        self.apps.append(one)
        return one


class Container:
    """A network and a mount namespace, in which there is one tenant's socket
    and nothing else of the agent."""

    def __init__(self, fabric, name):
        self.netns = "hsf-%d-%s" % (os.getpid(), name)
        tool("ip", "netns", "add", self.netns)
        self.command = [
            "ip", "netns", "exec", self.netns, "unshare", "--mount", "sh",
            "-c", "mount --bind %s /mnt && mount --bind %s /srv && "
            "mount -t tmpfs none %s && exec /srv/tools/hs-client" % (
                fabric.path(name), fabric.path("bin"), fabric.dir)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        tool("ip", "netns", "delete", self.netns)


def containers_possible():
    if os.geteuid():
        return "namespaces take root"
    name = "hsf-%d-try" % os.getpid()
    try:
        tool("ip", "netns", "add", name)
        try:
            tool("ip", "netns", "exec", name, "unshare", "--mount", "mount",
                 "-t", "tmpfs", "none", "/mnt")
        finally:
            tool("ip", "netns", "delete", name)
    except (OSError, subprocess.CalledProcessError) as error:
        return "no namespaces here: %s" % error
    return ""


def containers():
    """Two containers of the same user on two sockets: domains apart, each
    with its own budget, and only its own socket to be seen."""
    why = containers_possible()
    if why:
        raise Skipped(why)
    pools = {"red": 2 * MIB, "blue": 8 * MIB}
    with Tenants(pools) as fabric, Container(fabric, "red") as red, \
            Container(fabric, "blue") as blue:
        apps = {}
        for box, name in ((red, "red"), (blue, "blue")):
            apps[name] = fabric.tenant(name, name, box.command)
        nets = {os.readlink("/proc/%d/ns/net" % app.process.pid)
                for app in apps.values()} | {os.readlink("/proc/self/ns/net")}
        check(len(nets) == 3, "three networks: %r" % nets)
        for name, app in apps.items():
            root = "/proc/%d/root" % app.process.pid
            check(not os.listdir(root + fabric.dir), "nothing of the fabric")
            check(os.listdir(root + "/mnt") == ["agent.sock"], "one socket")
        domains = fabric.domains()
        check({key: d["pool_bytes"] for key, d in domains.items()} ==
              {(name, 0): size for name, size in pools.items()},
              "a domain each: %r" % domains)
        kept = fire_many_not(apps["blue"], 50)
        flood(fabric, apps["red"])
        domains = fabric.domains()
        red_one, blue_one = domains[("red", 0)], domains[("blue", 0)]
        check(sum(red_one["occupancy"].values()) * red_one["buffer_bytes"] ==
              pools["red"], "red's budget: %r" % red_one)
        check(blue_one["traces"] == len(kept), "blue has all: %r" % blue_one)
        for trace in kept:
            apps["blue"].say("trigger mine " + trace)
        wait_for("blue's are whole", lambda: all_there(fabric, kept))


def fire_many_not(app, count):
    """`count` small traces; return their ids."""
    ids = []
    for i in range(count):
        ids.append(app.say("begin h"))
        app.say("finish h " + app.say("span h op-%d" % i))
        app.say("end h")
    return ids


def flood(fabric, app):
    """More than its domain holds."""
    def evicted():
        for _ in range(20):
            app.say("begin h")
            app.say("fill h 20000")
            app.say("end h")
        return fabric.status("agent-0")["stats"]["traces_evicted"] > 200
    wait_for("much is evicted", evicted)


def two_users():
    """Two users on one socket are two domains with a pool each."""
    if os.geteuid():
        raise Skipped("other users take root")
    with Tenants({"shared": 4 * MIB}) as fabric:
        root = fabric.tenant("shared", "root", [fabric.client])
        other = fabric.tenant("shared", "other", [
            "setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY),
            "--clear-groups", fabric.client])
        check(set(fabric.domains()) == {("shared", 0), ("shared", NOBODY)},
              "two domains: %r" % fabric.domains())
        kept = fire_many_not(root, 20)
        flood(fabric, other)
        check(fabric.domains()[("shared", 0)]["traces"] == 20, "root has all")
        for trace in kept:
            root.say("trigger mine " + trace)
        wait_for("root's are whole", lambda: all_there(fabric, kept))
        # What is root's cannot be opened by the other, not even by /proc.
        worker = fabric.worker("agent-0")
        done = subprocess.run(
            ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY),
             "--clear-groups", "ls", "/proc/%d/fd" % worker],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        check(done.returncode != 0, "the worker's descriptors are closed")


class Group:
    """A control group that counts memory, of either version."""

    def __init__(self, name):
        for top, counter in (("/sys/fs/cgroup", "memory.current"),
                             ("/sys/fs/cgroup/memory",
                              "memory.usage_in_bytes")):
            self.path = os.path.join(top, "hsf-%d-%s" % (os.getpid(), name))
            self.counter = os.path.join(self.path, counter)
            try:
                os.mkdir(self.path)
            except OSError:
                continue
            if os.path.exists(self.counter):
                return
            os.rmdir(self.path)
        raise OSError("no control group counts memory here")

    def enter(self):
        """In a child: what it uses from now on is charged here."""
        with open(os.path.join(self.path, "cgroup.procs"), "w",
                  encoding="ascii") as procs:
            procs.write("0")

    def used(self):
        with open(self.counter, encoding="ascii") as text:
            return int(text.read())

    def remove(self):
        wait_for("the group is empty", self.try_remove)

    def try_remove(self):
        os.rmdir(self.path)
        return True


def charged():
    """The pool is paid by the agent's control group, not by whoever writes
    into it first."""
    groups = []
    try:
        for name in ("agent", "app"):
            groups.append(Group(name))
    except OSError as error:
        for group in groups:
            group.remove()
        raise Skipped(str(error)) from error
    agent, application = groups
    try:
        with Tenants({"big": 64 * MIB}) as fabric:
            fabric.kill("agent-0", signal.SIGTERM)
            fabric.start("agent-0", before=agent.enter)
            before = agent.used()
            app = fabric.tenant("big", "app", [
                "sh", "-c", "echo 0 > %s/cgroup.procs; exec %s" % (
                    application.path, fabric.client)])

            # What finds no buffer, where the agent is slow, is written again.
            def much_is_held():
                for _ in range(10):
                    app.say("begin h")
                    app.say("fill h 300000")
                    app.say("end h")
                return fabric.domains()[("big", 0)]["occupancy"][
                    "held"] > 20000

            wait_for("much is written", much_is_held)
            print("charged: agent %.1f MiB before, %.1f after; application "
                  "%.1f" % (before / MIB, agent.used() / MIB,
                            application.used() / MIB))
            check(agent.used() - before >= 64 * MIB, "the agent pays")
            # A sanitizer's shadow is the application's own.
            with open("/proc/%d/maps" % app.process.pid,
                      encoding="utf-8") as maps:
                shadowed = "san.so" in maps.read()
            check(shadowed or application.used() < 16 * MIB,
                  "the application does not")
    finally:
        for group in groups:
            group.remove()


def keeper_stopped():
    """A keeper that does not move keeps nobody from tracing; a worker that
    dies meanwhile has its successor when it moves again."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        fabric.kill("agent-0", signal.SIGSTOP)
        ids = fire_many(fabric, app, 20)
        wait_for("delivered", lambda: all_there(fabric, ids))
        more = fabric.app(0, "more")
        ids += fire_many(fabric, more, 20, first=100)
        wait_for("delivered", lambda: all_there(fabric, ids))
        fabric.kill("collector")
        ids += fire_many(fabric, app, 20, first=200)
        wait_for("acknowledged", lambda: fired_count(fabric) == 60)
        worker = fabric.worker("agent-0")
        os.kill(worker, signal.SIGKILL)
        kept = fire_many_not(app, 20)
        time.sleep(0.2)
        fabric.kill("agent-0", signal.SIGCONT)
        wait_for("a successor", lambda: fabric.worker("agent-0") != worker)
        fabric.start("collector")
        for trace in kept:
            app.say("trigger late " + trace)
        wait_for("all delivered", lambda: all_there(fabric, ids + kept))


SCENARIOS = [containers, two_users, charged, keeper_stopped]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], SCENARIOS))
