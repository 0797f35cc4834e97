#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo's fabric with DPDK carriers, each node in a network namespace.

    demo_dpdk.py [ARGUMENT...]    run demo.sh on it, with these arguments

A bridge stands in a namespace of its own (hsf-switch-PID), with the coordinator
and the collector. Each agent has one too (hsf-node-PID-N), and two veth pairs
to the bridge: one with an address of the kernel's, for all that is not slices,
and one for its DPDK port. Needs root; removes what it made.
"""
import os
import subprocess
import sys

import fabric
from dpdk import SKIPPED, ip, port_yaml

NODES = 3
# What hs-replay gives to a fabric of its own.
LIMITS = "limits:\n  slots: 32768\n  operations: 256\n"


class Spaces:
    """The namespaces; the last of them is the switch's."""

    def __init__(self):
        self.names = ["hsf-node-%d-%d" % (os.getpid(), i)
                      for i in range(NODES)]
        self.names.append("hsf-switch-%d" % os.getpid())
        for name in self.names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        switch = self.names[-1]
        ip("-n", switch, "link", "add", "br0", "mtu", "9000", "type", "bridge")
        ip("-n", switch, "address", "add", "198.18.1.254/24", "dev", "br0")
        ip("-n", switch, "link", "set", "br0", "up")
        for i, name in enumerate(self.names):
            self.pair(i, name, "dpdk")
            if name != switch:
                self.pair(i, name, "kernel")
                ip("-n", name, "address", "add", "198.18.1.%d/24" % (i + 1),
                   "dev", "kernel")

    def pair(self, number, name, device):
        """A device there, whose other end is at the bridge."""
        switch = self.names[-1]
        far = "%s-%d" % (device, number)
        ip("-n", name, "link", "add", device, "mtu", "9000", "type", "veth",
           "peer", "name", far, "mtu", "9000", "netns", switch)
        ip("-n", switch, "link", "set", far, "master", "br0", "up")
        if device == "dpdk":
            # The kernel shall not talk on it.
            ip("-n", name, "link", "set", device, "addrgenmode", "none")
        ip("-n", name, "link", "set", device, "up")

    def close(self):
        # With a namespace go its devices, and with these their other ends.
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


class SpacedFabric(fabric.Fabric):
    """Each agent in its namespace, the servers at the switch."""
    host = "198.18.1.254"
    spaces = None

    def number(self, name):
        kind, _, number = name.partition("-")
        return int(number) if kind == "agent" else NODES

    def inside(self, name):
        return ["nsenter", "--net=/run/netns/" +
                self.spaces.names[self.number(name)]]

    def ship(self, name):
        to = None if name == "collector" else NODES + 1
        return port_yaml("dpdk", self.number(name) + 1, to)


def main():
    if os.geteuid():
        print("demo: --dpdk makes network namespaces, which needs root")
        return SKIPPED
    if not os.path.exists(os.path.join(fabric.BUILD, "ship",
                                       "hs_ship_dpdk.so")):
        print("demo: --dpdk: this was built without DPDK")
        return SKIPPED
    spaces = SpacedFabric.spaces = Spaces()
    try:
        with SpacedFabric(NODES, LIMITS, pool="128MiB") as one:
            print("demo: three nodes in network namespaces of their own, "
                  "slices by DPDK", flush=True)
            return subprocess.run(
                ["bash", os.path.join(os.path.dirname(
                    os.path.abspath(__file__)), "demo.sh"), *sys.argv[1:]],
                env=dict(os.environ, HS_DEMO_FABRIC=one.dir),
                check=False).returncode
    finally:
        spaces.close()


if __name__ == "__main__":
    sys.exit(main())
