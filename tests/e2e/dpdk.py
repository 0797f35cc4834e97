#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Slices through DPDK ports: agents and a collector on a switch of veth pairs.

    dpdk.py SCENARIO...

The switch is a bridge in a network namespace of its own (hsf-switch-PID); each
daemon's DPDK port (af_packet) has one end of a pair, without an address of the
kernel's. Everything else is the fabric of scenarios.py, and so are the
scenarios. Needs root.
"""
import os
import subprocess
import sys

import fabric
import scenarios

SKIPPED = 77


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Switch:
    """A bridge, and a pair for each daemon that asks for one."""

    def __init__(self):
        self.space = "hsf-switch-%d" % os.getpid()
        self.ports = []
        ip("netns", "add", self.space)
        ip("-n", self.space, "link", "add", "br0", "mtu", "9000", "type",
           "bridge")
        ip("-n", self.space, "link", "set", "br0", "up")

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

    def close(self):
        for name in self.ports:
            subprocess.run(["ip", "link", "delete", name], check=False)
        subprocess.run(["ip", "netns", "delete", self.space], check=False)


def port_yaml(device, number, collector=None):
    """How the daemon with port `number` ships; collector: the port of its."""
    text = ("ship:\n  carrier: dpdk\n  mtu: 9000\n"
            "  vdev: \"net_af_packet0,iface=%s,framesz=16384,"
            "blocksz=65536,framecnt=1024\"\n"
            "  bind: 198.18.0.%d:7430\n" % (device, number))
    if collector:
        text += "  collectors: [\"198.18.0.%d:7430\"]\n" % collector
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
        return scenarios.main(sys.argv[1:], scenarios.SCENARIOS)
    finally:
        DpdkFabric.switch.close()


if __name__ == "__main__":
    sys.exit(main())
