#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Slices through DPDK ports: agents and a collector on a switch of veth pairs.

    dpdk.py [--v6] SCENARIO...

Over IPv4, or IPv6. The switch is a bridge in a network namespace of its own
(hsf-switch-PID); each daemon's DPDK port (af_packet) has one end of a pair,
without an address of the kernel's. Everything else is the fabric of
scenarios.py, and so are the scenarios, but for those below: there the kernel is
at the other end, on a pair of its own. Needs root.
"""
import ctypes
import os
import socket
import struct
import subprocess
import sys

import fabric
import scenarios
from fabric import wait_for
from spaces import ip

SKIPPED = 77
V6 = "--v6" in sys.argv[1:2]
KERNEL = 99  # its number on the switch
ETH_P_ALL = 3
ETH_P_IPV6 = 0x86dd
CLONE_NEWNET = 0x40000000
# What listeners say (RFC 2710, 3; RFC 3810, 5.2): the kind of message, and in
# version 2 the kind of its first record.
JOIN, LISTENS_V1, LISTENS_V2 = (143, 4), (131, None), (143, 2)


def host(number):
    """The address of who has that number on the switch."""
    return "2001:db8::%d" % number if V6 else "198.18.0.%d" % number


def place(number, port=7430):
    return ("[%s]:%d" if V6 else "%s:%d") % (host(number), port)


class Switch:
    """A bridge, and a pair for each daemon that asks for one."""

    def __init__(self):
        self.space = "hsf-switch-%d" % os.getpid()
        self.ports = []
        ip("netns", "add", self.space)
        ip("-n", self.space, "link", "add", "br0", "mtu", "9000", "type",
           "bridge")
        # It asks nothing over IPv6 before it has an address that it is sure of.
        ip("-n", self.space, "link", "set", "br0", "addrgenmode", "none", "up")
        ip("-n", self.space, "address", "add", "fe80::1/64", "dev", "br0",
           "nodad")

    def port(self):
        """The name of our end, and the number of the port, from 1."""
        number = len(self.ports) + 1
        name = "hsf%d-%d" % (os.getpid() % 100000, number)
        ip("link", "add", name, "mtu", "9000", "type", "veth", "peer", "name",
           "p%d" % number, "mtu", "9000", "netns", self.space)
        ip("-n", self.space, "link", "set", "p%d" % number, "master", "br0",
           "up")
        # The kernel shall not talk on it: no addresses, not even of its own.
        ip("link", "set", name, "addrgenmode", "none", "up")
        self.ports.append(name)
        return name, number

    def kernel(self):
        """An end that the kernel has, with an address on the switch."""
        name, _ = self.port()
        # It would give us what it has joined, as large as no packet can be.
        ip("link", "set", name, "gso_max_segs", "1")
        ip("address", "add", "%s/%d" % (host(KERNEL), 64 if V6 else 24), "dev",
           name, *(["nodad"] if V6 else []))
        return name

    def bridge(self, *words):
        """What bridge(8) says."""
        return subprocess.run(
            ["bridge", "-n", self.space, *words], check=True, text=True,
            stdout=subprocess.PIPE).stdout

    def listens(self, number, group):
        """Whether it passes the group's packets on to that port."""
        return any("port p%d " % number in line and "grp %s " % group in line
                   for line in self.bridge("mdb", "show").splitlines())

    def ears(self):
        """A socket that gets all that goes through it.

        One of IPv6 alone gets nothing before the bridge has taken it in."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open("/run/netns/" + self.space, os.O_RDONLY)
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            if libc.setns(there, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns: " + self.space)
            ears = socket.socket(socket.AF_PACKET,
                                 socket.SOCK_DGRAM | socket.SOCK_NONBLOCK,
                                 socket.htons(ETH_P_ALL))
            if libc.setns(here, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns: back")
        finally:
            os.close(here)
            os.close(there)
        return ears

    def close(self):
        for name in self.ports:
            subprocess.run(["ip", "link", "delete", name], check=False)
        subprocess.run(["ip", "netns", "delete", self.space], check=False)


def port_yaml(device, number, collector=None):
    """How the daemon with port `number` ships; collector: the port of its."""
    text = ("ship:\n  carrier: dpdk\n  mtu: 9000\n"
            "  vdev: \"net_af_packet0,iface=%s,framesz=16384,"
            "blocksz=65536,framecnt=1024\"\n"
            "  bind: \"%s\"\n" % (device, place(number)))
    if collector:
        text += "  collectors: [\"%s\"]\n" % place(collector)
    return text


def socket_yaml(collector=None):
    """The same with the kernel's UDP, at its end."""
    text = "ship:\n  carrier: udp\n  bind: \"%s\"\n" % place(
        KERNEL, 0 if collector else 7430)
    if collector:
        text += "  collectors: [\"%s\"]\n" % place(collector)
    return text


class DpdkFabric(fabric.Fabric):
    """A fabric whose slices go by DPDK; the other messages go as they did."""
    switch = None

    def wait_up(self, name):
        # DPDK's af_packet numbers its socket's group by process id and device,
        # in 16 bits, and does not start where another one has that number.
        for _ in range(5):
            try:
                return super().wait_up(name)
            except fabric.Failure:
                if self.running[name].poll() is None:
                    raise
                self.start(name, wait=False)
        return super().wait_up(name)

    def ship(self, name):
        # The same daemon keeps its port when its file is written again.
        self.ways = getattr(self, "ways", {})
        if name not in self.ways:
            self.ways[name] = self.switch.port()
        if "collector" not in self.ways:
            self.ways["collector"] = self.switch.port()
        device, number = self.ways[name]
        return port_yaml(device, number, None if name == "collector"
                         else self.ways["collector"][1])


def ping(address):
    """Three echoes over IPv6, with as much as the switch takes."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW,
                       socket.IPPROTO_ICMPV6) as sock:
        sock.settimeout(10)
        for number in range(3):
            # The kernel makes the checksum of this kind of socket.
            body = struct.pack("!HH", os.getpid() & 0xffff, number) + bytes(
                i % 251 for i in range(8000))
            sock.sendto(struct.pack("!BBH", 128, 0, 0) + body, (address, 0))
            while True:
                answer, sender = sock.recvfrom(9000)
                if sender[0] == address and answer[0] == 129:
                    break
            scenarios.check(answer[4:] == body, "what was sent came back")


def deliver(with_kernel):
    """Traces come whole with one kind of daemon on the kernel's sockets."""
    class Mixed(DpdkFabric):
        """Some of the daemons have no port of their own."""

        def ship(self, name):
            if (name == "collector") != (with_kernel == "collector"):
                if name == "collector":
                    return super().ship(name)
                self.ways = getattr(self, "ways", {})
                if name not in self.ways:
                    self.ways[name] = self.switch.port()
                return port_yaml(*self.ways[name], collector=KERNEL)
            return socket_yaml(None if name == "collector"
                               else self.ways["collector"][1])

    device = DpdkFabric.switch.kernel()
    try:
        with Mixed(1) as fabric:
            app = fabric.app(0, "svc")
            ids = scenarios.fire_many(fabric, app, 50)
            wait_for(
                "all delivered", lambda: scenarios.all_there(fabric, ids))
            name = "agent-0" if with_kernel == "collector" else "collector"
            number = fabric.ways[name][1]
            known = subprocess.run(
                ["ip", "-6" if V6 else "-4", "neighbour", "show", host(number),
                 "dev", device], check=True, text=True,
                stdout=subprocess.PIPE).stdout
            scenarios.check("lladdr" in known, "the kernel found it: " + known)
            if V6:
                ping(host(number))
    finally:
        ip("address", "flush", "dev", device)


def from_sockets():
    """Agents ship over UDP to a collector with a port: the kernel asks where
    it is, and pings it."""
    deliver("agent")


def to_sockets():
    """Agents with ports ship to a collector on UDP: they ask the kernel."""
    deliver("collector")


class Reports:
    """What those at the switch's ports said that they listen to."""

    def __init__(self, switch):
        self.ears = switch.ears()
        self.heard = {}  # for each port and group: kinds, as they came

    def take(self, port, packet):
        if len(packet) < 72 or packet[6] != 0 or packet[40] != 58:
            return  # no ICMPv6 behind an option
        at = 48
        if packet[at] == 131:
            kind, group = LISTENS_V1, packet[at + 8:at + 24]
        elif packet[at] == 143:
            kind = (143, packet[at + 8])
            group = packet[at + 12:at + 28]
        else:
            return
        name = socket.inet_ntop(socket.AF_INET6, group)
        self.heard.setdefault((port, name), []).append(kind)

    def of(self, number, group):
        """The kinds that the port's daemon said so far."""
        while True:
            try:
                packet, sender = self.ears.recvfrom(9000)
            except BlockingIOError:
                return self.heard.get(("p%d" % number, group), [])
            if (sender[1] == ETH_P_IPV6
                    and sender[2] != socket.PACKET_OUTGOING):
                self.take(sender[0], packet)

    def close(self):
        self.ears.close()


def snooped():
    """A switch that passes groups on to those only who listen: who starts says
    so, twice, and so does who is asked, in the version that it was asked in."""
    switch = DpdkFabric.switch
    device = switch.kernel()
    reports = Reports(switch)

    class Collector(DpdkFabric):
        """The agent is on the kernel's sockets, and has to ask."""

        def ship(self, name):
            if name == "collector":
                return super().ship(name)
            return socket_yaml(self.ways["collector"][1])
    try:
        with Collector(1) as fabric:
            number = fabric.ways["collector"][1]
            group = "ff02::1:ff00:%d" % number

            def listens():
                return switch.listens(number, group)
            wait_for("it says so at the start", listens)
            wait_for("and once more",
                     lambda: len(reports.of(number, group)) >= 2)
            scenarios.check(reports.of(number, group) == [JOIN, JOIN],
                            "nobody asked yet")
            for version, answer in ("1", LISTENS_V1), ("2", LISTENS_V2):
                switch.bridge("mdb", "del", "dev", "br0", "port",
                              "p%d" % number, "grp", group)
                scenarios.check(not listens(), "it is forgotten")
                before = len(reports.of(number, group))
                ip("-n", switch.space, "link", "set", "br0", "type", "bridge",
                   "mcast_querier", "0", "mcast_mld_version", version,
                   "mcast_query_response_interval", "50",
                   "mcast_startup_query_count", "1")
                ip("-n", switch.space, "link", "set", "br0", "type", "bridge",
                   "mcast_querier", "1")
                wait_for("it answers version " + version, lambda: len(
                    reports.of(number, group)) > before)
                scenarios.check(
                    reports.of(number, group)[before:] == [answer],
                    "it answers as it was asked")
                wait_for("the switch takes it", listens)
            app = fabric.app(0, "svc")
            ids = scenarios.fire_many(fabric, app, 50)
            wait_for(
                "all delivered", lambda: scenarios.all_there(fabric, ids))
    finally:
        reports.close()
        ip("address", "flush", "dev", device)


def main():
    if os.geteuid():
        print("skipped: a switch of veth pairs needs root")
        return SKIPPED
    module = os.path.join(fabric.BUILD, "ship", "hs_ship_dpdk.so")
    if not os.path.exists(module):
        print("skipped: built without DPDK")
        return SKIPPED
    fabric.PATIENCE_S = max(fabric.PATIENCE_S, 60)
    scenarios.Fabric = DpdkFabric
    DpdkFabric.switch = Switch()
    try:
        return scenarios.main(sys.argv[2 if V6 else 1:],
                              scenarios.SCENARIOS + [from_sockets, to_sockets,
                                                     snooped])
    finally:
        DpdkFabric.switch.close()


if __name__ == "__main__":
    sys.exit(main())
