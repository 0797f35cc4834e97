#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The process that stands by for an agent's worker, one scenario a function.

    standby.py                 run them all
    standby.py NAME...         run these
    standby.py --list          print their names
"""
import os
import resource
import shutil
import signal
import sys

from fabric import Fabric, program, wait_for
from scenarios import Skipped, all_there, check, fire_many, main

NOBODY = 65534


def stands_by(fabric, name="agent-0", but=0):
    """The pid of one that is prepared, other than `but`."""
    def probe():
        pid = fabric.status(name)["standby"]["pid"]
        return pid if pid != but else None
    return wait_for("a standby of " + name, probe)


def proc(pid, file, key):
    with open("/proc/%d/%s" % (pid, file), encoding="ascii") as lines:
        for line in lines:
            if line.startswith(key + ":"):
                return line.split(":", 1)[1].strip()
    return None


def gone(pid):
    try:
        return proc(pid, "status", "State").startswith("Z")
    except FileNotFoundError:
        return True


def kill_worker(fabric, name="agent-0"):
    """Return its successor's pid."""
    worker = fabric.worker(name)
    os.kill(worker, signal.SIGKILL)

    def successor():
        pid = fabric.worker(name)
        return pid if pid != worker else None
    return wait_for("a successor", successor)


def memory_of(pid):
    """What it has open or mapped of the agent's memory."""
    found = [os.readlink("/proc/%d/fd/%s" % (pid, fd))
             for fd in os.listdir("/proc/%d/fd" % pid)]
    with open("/proc/%d/maps" % pid, encoding="utf-8") as maps:
        found += maps.read().splitlines()
    return [one for one in found if "memfd:hs-" in one]


def takes_over():
    """The successor is who stood by, again and again, and nothing is lost."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        ids = []
        standby = stands_by(fabric)
        for i in range(3):
            check(not memory_of(standby), "it holds no memory of ours")
            wait_for("it waits", lambda pid=standby: proc(
                pid, "status", "State").startswith("S"))
            ids += fire_many(fabric, app, 10, first=10 * i)
            worker = kill_worker(fabric)
            check(worker == standby, "%d was announced, %d works" % (
                standby, worker))
            status = fabric.status("agent-0")
            check(status["adoption"]["stood_by"], "%r" % status["adoption"])
            check(os.sched_getscheduler(worker) == os.sched_getscheduler(0),
                  "at the keeper's own priority")
            standby = stands_by(fabric, but=worker)
        check(status["standby"]["deaths"] == 0, "%r" % status["standby"])
        wait_for("all delivered", lambda: all_there(fabric, ids))
        code, text = fabric.hs("status")
        check(code == 0 and text["nodes"][0]["status"]["standby"]["pid"] ==
              standby, "hs shows it: %r" % text)


def dies():
    """One that dies is counted and replaced, and the worker works on; a worker
    that dies without one has a successor all the same."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        worker = fabric.worker("agent-0")
        first = stands_by(fabric)
        os.kill(first, signal.SIGKILL)
        wait_for("it is known", lambda: fabric.status("agent-0")["standby"] ==
                 {"pid": 0, "private_bytes": 0, "deaths": 1})
        successor = kill_worker(fabric)
        check(successor not in (worker, first), "another one")
        check(not fabric.status("agent-0")["adoption"]["stood_by"],
              "begun from nothing")
        second = stands_by(fabric)
        status = fabric.status("agent-0")["standby"]
        check(status["deaths"] == 1 and status["private_bytes"] > 0,
              "%r" % status)
        check(kill_worker(fabric) == second, "the second one works")
        ids = fire_many(fabric, app, 10)
        wait_for("all delivered", lambda: all_there(fabric, ids))


def upgraded():
    """Another program takes over, and what stands by is that program; one that
    is put under the old name changes nothing before."""
    with Fabric(1) as fabric:
        old = fabric.path("hs-agent-old")
        shutil.copy(program("hs-agent"), old)
        fabric.kill("agent-0", signal.SIGTERM)
        fabric.start("agent-0", path=old)
        standby = stands_by(fabric)
        inode = os.stat(old).st_ino
        os.rename(old, old + ".gone")
        shutil.copy(program("hs-agent"), old)
        check(kill_worker(fabric) == standby, "who stood by works")
        standby = stands_by(fabric, but=standby)
        keeper = fabric.running["agent-0"].pid
        for pid in (keeper, fabric.worker("agent-0"), standby):
            check(os.stat("/proc/%d/exe" % pid).st_ino == inode,
                  "keeper and workers are one version")
        fabric.kill("agent-0", signal.SIGTERM)
        check(fabric.running["agent-0"].returncode == 0, "a clean end")
        check(gone(standby), "it does not outlive its keeper")
        fabric.start("agent-0", path=old)
        standby = stands_by(fabric, but=standby)
        worker = kill_worker(fabric)
        check(worker == standby, "who stood by works")
        check(os.stat("/proc/%d/exe" % worker).st_ino ==
              os.stat(old).st_ino != inode, "and is the new program")


def reloaded():
    """What was taken while it stood by is what it begins with."""
    with Fabric(1) as fabric:
        standby = stands_by(fabric)
        path = fabric.path("agent-0.yaml")
        with open(path, encoding="utf-8") as text:
            base = text.read()
        fabric.write("agent-0.yaml", base +
                     "triggers:\n- {name: slow, weight: 7}\n")
        code, answer = fabric.hs("reload")
        check(code == 0, "%r" % answer)
        # What is in the file now was never taken.
        fabric.write("agent-0.yaml", base +
                     "triggers:\n- {name: slow, weight: 9}\n")
        check(kill_worker(fabric) == standby, "who stood by works")
        weights = [t["weight"] for t in fabric.status("agent-0")["triggers"]
                   if t["name"] == "slow"]
        check(weights == [7], "%r" % weights)


def become_nobody():
    resource.setrlimit(resource.RLIMIT_NICE, (0, 0))
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def unprivileged():
    """Where there is no way back from idle priority nobody is left there."""
    if os.geteuid():
        raise Skipped("other users take root")
    with Fabric(1) as fabric:
        ask_purge(fabric)
        os.chmod(fabric.dir, 0o777)
        shutil.rmtree(fabric.path("agent-0"))
        path = fabric.path("hs-agent")  # where anybody may start it
        shutil.copy(program("hs-agent"), path)
        fabric.start("agent-0", path=path, before=become_nobody)
        standby = stands_by(fabric)
        check(os.sched_getscheduler(standby) == os.SCHED_OTHER, "not idle")
        with open(fabric.path("agent-0.log"), encoding="utf-8") as log:
            check("no way back from idle priority" in log.read(), "it is said")
        check(kill_worker(fabric) == standby, "it works")
        check(fabric.status("agent-0")["standby"]["deaths"] == 0,
              "to give one up is no death")
        ask_purge(fabric)


def ask_purge(fabric):
    code, answer = fabric.hs("stop", "--purge", "--node", "node-0")
    check(code == 0, "%r" % answer)
    check(fabric.running["agent-0"].wait(30) == 0, "a clean end")


def goes_along():
    """A keeper that is killed leaves nobody, one that ends neither."""
    with Fabric(1) as fabric:
        standby = stands_by(fabric)
        fabric.kill("agent-0")
        wait_for("it goes along", lambda: gone(standby))
        fabric.start("agent-0")
        standby = stands_by(fabric, but=standby)
        ask_purge(fabric)
        check(gone(standby), "nor does it stay after a purge")


SCENARIOS = [takes_over, dies, upgraded, reloaded, unprivileged, goes_along]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], SCENARIOS))
