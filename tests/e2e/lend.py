#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Slices through a port that an application owns and lends: examples/lend.

    lend.py [--v6] SCENARIO...

All stand in one network namespace (hsf-lend-PID), made and removed here. The
application has one end of a pair of veth devices through DPDK (af_packet), an
end that the kernel has no address for; the other end is the kernel's, where the
collector takes datagrams and from where requests go to the application. The
agent has nothing but the application's loan. Slices go over IPv4, or with --v6
over IPv6; the application's own requests come over IPv4. Needs root.
"""
import mmap
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time

import fabric
import scenarios
from scenarios import all_there, check, fire_many, fired_count, wait_for

SKIPPED = 77
OUTSIDE = "198.18.7.1"
INSIDE = "198.18.7.2"
INSIDE_MAC = "02:00:00:07:00:02"
V6 = "--v6" in sys.argv
VDEV = "net_af_packet0,iface=hsfport,framesz=16384,blocksz=65536,framecnt=512"


def slices_at(host, port):
    """Where slices come from or go, of the family that they take."""
    host = host.replace("198.18.7.", "fd07:7::") if V6 else host
    return ("[%s]:%d" if V6 else "%s:%d") % (host, port)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def program():
    return os.path.join(fabric.BUILD, "examples", "lend", "lend")


class LendFabric(fabric.Fabric):
    """Its collector takes datagrams, its one agent is lent a port."""
    more = ""

    def ship(self, name):
        if name in self.collectors:
            return ("ship:\n  carrier: udp\n  bind: \"%s\"\n" %
                    slices_at(OUTSIDE, self.collector_ports[name]))
        return ("ship:\n  carrier: lent\n  mtu: 9000\n  socket: %s\n"
                "  collectors: [%s]\n%s" %
                (self.path("lend.sock"), ", ".join(
                    '"%s"' % slices_at(OUTSIDE, port)
                    for port in self.collector_ports.values()), self.more))

    def lender(self):
        return self.status("agent-0")["ship"]["lender"]

    def wait_lent(self, state="lends"):
        wait_for("the port: " + state,
                 lambda: self.lender()["state"] == state)

    def check_text(self, *parts):
        """hs status says so, to people."""
        text = subprocess.run(
            [fabric.program("hs"), "status", "--fabric", self.dir], text=True,
            stdout=subprocess.PIPE, check=True).stdout
        for words in parts:
            check(words in text, "hs status has no %r: %s" % (words, text))

    def __exit__(self, kind, value, trace):
        for name in [n for n in self.running if n.startswith("lend")]:
            one = self.running.pop(name)
            one.send_signal(signal.SIGCONT)
            one.kill()
            one.wait()
        super().__exit__(kind, value, trace)


class Lender:
    """The application: a server, with a socket of who asks it."""
    port = 9000

    def __init__(self, fab, number=0):
        self.fabric = fab
        self.asks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.asks.settimeout(0.2)
        self.number = number
        self.start()

    def start(self):
        # DPDK's af_packet takes a group number by chance, that may be taken.
        for _ in range(5):
            self.process = subprocess.Popen(
                [program(), "--agent", self.fabric.path("app-0.sock"),
                 "--lend", self.fabric.path("lend.sock"), "--vdev", VDEV,
                 "--mtu", "9000", "--address", "%s:9000" % INSIDE,
                 "--lent-address", slices_at(INSIDE, 7431)],
                stdout=subprocess.PIPE, text=True)
            if self.process.stdout.readline() == "serving\n":
                self.fabric.running["lend-%d" % self.number] = self.process
                return
            self.process.wait()
        raise fabric.Failure("the application does not start")

    def ask(self, fire):
        """One request; the id of its trace."""
        body = (b"T" if fire else b"-") + b"." * 63
        for _ in range(100):
            self.asks.sendto(body, (INSIDE, 9000))
            try:
                reply = self.asks.recv(100)
            except socket.timeout:
                continue
            return reply[:32].decode()
        raise fabric.Failure("the application does not answer")

    def end(self):
        """Its last words: name -> number."""
        self.process.terminate()
        text = self.process.communicate(timeout=30)[0]
        check(self.process.returncode == 0, "exit %d: %s" %
              (self.process.returncode, text))
        return {key: int(value) for key, value in
                (pair.split("=") for pair in text.split())}


def traced(lender, fab, count):
    """Requests to the application itself, once its traces are kept: a new
    process has no buffers before the agent's next round."""
    first = []

    def probe():
        first.append(lender.ask(True))
        known = {row["trace_id"] for row in fab.rows()}
        return known.intersection(first)
    wait_for("traces of the application", probe)
    return [lender.ask(True) for _ in range(count)]


def fire_large(fab, app, count):
    """Traces of 20 kB, of which some are under way when this returns."""
    ids = []
    before = fired_count(fab)
    for nr in range(count):
        # A stock holds so many; a slow agent is another test's matter.
        if nr % 10 == 0:
            wait_for("the triggers are taken",
                     lambda: fired_count(fab) >= before + len(ids))
        ids.append(app.say("begin h"))
        app.say("fill h 20000")
        app.say("end h")
        app.say("trigger large " + ids[-1])
    return ids


def lent():
    """The application's traces, and others', leave through its own port."""
    with LendFabric(1) as fab:
        check(fab.lender()["state"] == "nobody", fab.lender())
        lender = Lender(fab)
        fab.wait_lent()
        app = fab.app(0, "svc")
        trace = app.say("begin h")
        app.say("fill h 200000")
        app.say("end h")
        app.say("trigger large " + trace)
        ids = [trace] + fire_many(fab, app, 50) + traced(lender, fab, 50)
        wait_for("all delivered", lambda: all_there(fab, ids))
        ship = fab.status("agent-0")["ship"]
        moved = sum(row["bytes"] for row in fab.rows()
                    if row["trace_id"] in ids)
        # By the agent into the ring, by the application into an mbuf.
        check(ship["bytes_copied"] >= moved > 200000 and
              ship["bytes_copied_lender"] >= moved and
              not ship["bytes_in_place"] and not ship["bytes_copied_kernel"],
              "each byte twice: %r, %d" % (ship, moved))
        fab.check_text("slices by lent: configured, 2.00 copies a byte",
                       'port of "lend" pid %d at %s' %
                       (lender.process.pid, slices_at(INSIDE, 7431)))
        last = lender.end()
        check(last["loans"] == 1 and last["sent"] and last["received"] and
              last["requests"] >= 50 and not last["broken"], repr(last))
        fab.wait_lent("nobody")


def killed():
    """The application dies in the middle, and comes again: nothing is lost."""
    with LendFabric(1) as fab:
        lender = Lender(fab)
        fab.wait_lent()
        app = fab.app(0, "svc")
        ids = fire_many(fab, app, 20) + traced(lender, fab, 20)
        wait_for("stored", lambda: all_there(fab, ids))
        ids += fire_large(fab, app, 100)
        lender.process.kill()
        lender.process.wait()
        ids += fire_many(fab, app, 20, first=200)
        fab.wait_lent("nobody")
        fab.check_text("LINK DOWN, nobody lends a port")
        lender.start()
        fab.wait_lent()
        ids += fire_many(fab, app, 20, first=300) + traced(lender, fab, 20)
        wait_for("all delivered", lambda: all_there(fab, ids))
        check(fab.lender()["loans"] == 2, fab.lender())


def stopped():
    """One that hangs is waited for: its ring fills, and says so."""
    with LendFabric(1) as fab:
        lender = Lender(fab)
        fab.wait_lent()
        app = fab.app(0, "svc")
        ids = fire_many(fab, app, 20)
        wait_for("stored", lambda: all_there(fab, ids))
        lender.process.send_signal(signal.SIGSTOP)
        for first in range(1000, 1200, 20):
            ids += fire_many(fab, app, 20, first=first)
            # A lane holds so many; a slow agent is another test's matter.
            wait_for("the triggers are taken",
                     lambda: fired_count(fab) == len(ids))
        fab.wait_lent("stalled")
        fab.check_text("STALLED")
        lender.process.send_signal(signal.SIGCONT)
        wait_for("all delivered", lambda: all_there(fab, ids))
        check(fab.lender()["loans"] == 1, fab.lender())


def worker_killed():
    """The agent's worker dies: its successor is lent the port again."""
    with LendFabric(1) as fab:
        lender = Lender(fab)
        fab.wait_lent()
        app = fab.app(0, "svc")
        ids = fire_many(fab, app, 20)
        wait_for("stored", lambda: all_there(fab, ids))
        ids += fire_many(fab, app, 20, first=100)
        os.kill(fab.worker("agent-0"), signal.SIGKILL)
        fab.wait_lent()
        app.say("attach 15")
        ids += fire_many(fab, app, 20, first=200)
        wait_for("all delivered", lambda: all_there(fab, ids))
        last = lender.end()
        check(last["loans"] == 2, repr(last))


class Liar:
    """An application that carries frames by a socket, bends a tenth of them
    both ways, and at last writes nonsense into what it shares."""
    # hs/lend_format.h
    hello = struct.Struct("=IHH4sHHII32s")
    welcome = struct.Struct("=IHHIIII")
    magic, words, head = 0x444e4548, 4096, 16

    def __init__(self, fab, udp, seed):
        self.random = random.Random(seed)
        self.udp = udp
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(10)
        self.sock.connect(fab.path("lend.sock"))
        self.sock.send(self.hello.pack(
            self.magic, 1, 1, socket.inet_aton(OUTSIDE),
            socket.htons(self.udp.getsockname()[1]), 0, 8972, 0, b"liar"))
        data, fds, _, _ = socket.recv_fds(self.sock, self.welcome.size, 2)
        (_, _, refused, _, self.slot, self.count, _) = self.welcome.unpack(data)
        check(not refused and len(fds) == 2, "refused: %d" % refused)
        self.down = mmap.mmap(fds[0], 0, prot=mmap.PROT_READ)
        self.up = mmap.mmap(fds[1], 0)
        for fd in fds:
            os.close(fd)
        self.taken = self.put = 0

    def place(self, number):
        return self.words + number % self.count * self.slot

    def bend(self, frame):
        frame = bytearray(frame)
        if self.random.random() < 0.1:
            for _ in range(self.random.randrange(1, 6)):
                frame[self.random.randrange(len(frame))] ^= \
                    self.random.randrange(1, 256)
        return bytes(frame)

    def carry(self):
        """What there is, both ways."""
        sent = struct.unpack_from("=I", self.down, 0)[0]
        while self.taken != sent:
            at = self.place(self.taken)
            ip_word, port, size = struct.unpack_from("=4sHH", self.down, at)
            self.udp.sendto(
                self.bend(self.down[at + self.head:at + self.head + size]),
                (socket.inet_ntoa(ip_word), socket.ntohs(port)))
            self.taken = (self.taken + 1) % 2 ** 32
        struct.pack_into("=I", self.up, 0, self.taken)
        while True:
            try:
                frame, (host, port) = self.udp.recvfrom(9000)
            except BlockingIOError:
                break
            at = self.place(self.put)
            self.up[at + self.head:at + self.head + len(frame)] = \
                self.bend(frame)
            struct.pack_into("=4sHH", self.up, at, socket.inet_aton(host),
                             socket.htons(port), len(frame))
            self.put += 1
        struct.pack_into("=I", self.up, 64, self.put)

    def nonsense(self):
        """Slots, holes, counters."""
        for _ in range(20):
            at = self.random.randrange(self.words, len(self.up) - 4096)
            self.up[at:at + 4096] = self.random.randbytes(4096)
        self.up.madvise(9, 0, len(self.up) // 2 & ~4095)  # MADV_REMOVE
        self.up[0:4] = self.random.randbytes(4)
        self.up[64:68] = self.random.randbytes(4)

    def thrown_out(self):
        try:
            return self.sock.recv(1) == b""
        except ConnectionError:
            return True

    def close(self):
        self.sock.close()
        self.down.close()
        self.up.close()


def hostile():
    """One that lies loses its loan, and what it bends goes again; the agent
    goes on."""
    with LendFabric(1) as fab:
        worker = fab.worker("agent-0")
        app = fab.app(0, "svc")
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((OUTSIDE, 0))
        udp.setblocking(False)
        ids = []
        for seed in range(6):
            liar = Liar(fab, udp, seed)
            ids += fire_many(fab, app, 20, first=100 * (seed + 1))

            def carried():
                liar.carry()
                return all_there(fab, ids)
            wait_for("all delivered, over a way that bends", carried)
            liar.nonsense()
            check(liar.thrown_out(), "the loan ends")
            liar.close()
        state = fab.status("agent-0")
        check(state["node"]["pid"] == worker, "the worker lives")
        check(state["ship"]["lender"]["broken"] == 6, state["ship"]["lender"])
        check(state["ship"]["collectors"][0]["frames_bad"],
              "bent frames were seen: %r" % state["ship"]["collectors"])


def processor_s(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
        words = stat.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def idle():
    """What an agent takes while nothing is under way: printed, not judged."""
    def share(pid):
        before, began = processor_s(pid), time.monotonic()
        time.sleep(4)
        return (processor_s(pid) - before) / (time.monotonic() - began)
    with LendFabric(1) as fab:
        worker = fab.worker("agent-0")
        print("nobody lends: %.1f %% of a processor" % (100 * share(worker)))
        Lender(fab)
        fab.wait_lent()
        print("lent, idle: %.1f %%" % (100 * share(worker)))


SCENARIOS = [lent, killed, stopped, worker_killed, hostile, idle]


def inside(words):
    """In the namespace: the pair, then the scenarios."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "hsfport", "mtu", "9000", "type", "veth", "peer", "name",
       "hsfout", "mtu", "9000")
    # The kernel shall not talk on the application's end.
    ip("link", "set", "hsfport", "address", INSIDE_MAC)
    ip("link", "set", "hsfport", "addrgenmode", "none", "up")
    ip("link", "set", "hsfout", "up")
    ip("addr", "add", OUTSIDE + "/24", "dev", "hsfout")
    if V6:
        ip("addr", "add", "fd07:7::1/64", "dev", "hsfout", "nodad")
        # What is lent answers for its own address, and that is none of IPv4.
        ip("neigh", "add", INSIDE, "lladdr", INSIDE_MAC, "dev", "hsfout")
    fabric.PATIENCE_S = max(fabric.PATIENCE_S, 60)
    return scenarios.main(words, SCENARIOS)


def main():
    if "--inside" in sys.argv:
        return inside([w for w in sys.argv[1:]
                       if w not in ("--inside", "--v6")])
    if os.geteuid():
        print("skipped: a network namespace needs root")
        return SKIPPED
    if not os.path.exists(program()):
        print("skipped: built without DPDK")
        return SKIPPED
    space = "hsf-lend-%d" % os.getpid()
    ip("netns", "add", space)
    try:
        return subprocess.run(
            ["ip", "netns", "exec", space, sys.executable,
             os.path.abspath(__file__), "--inside", *sys.argv[1:]],
            check=False).returncode
    finally:
        ip("netns", "delete", space)


if __name__ == "__main__":
    sys.exit(main())
