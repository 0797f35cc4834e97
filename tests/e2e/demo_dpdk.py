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
from dpdk import SKIPPED, port_yaml
from spaces import SWITCH, Spaces

NODES = 3
# What hs-replay gives to a fabric of its own.
LIMITS = "limits:\n  slots: 32768\n  operations: 256\n"


class SpacedFabric(fabric.Fabric):
    """Each agent in its namespace, the servers at the switch."""
    host = SWITCH
    spaces = None

    def number(self, name):
        kind, _, number = name.partition("-")
        return int(number) if kind == "agent" else NODES

    def inside(self, name):
        return self.spaces.inside(self.number(name))

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
    spaces = SpacedFabric.spaces = Spaces("node", NODES, ("dpdk", "kernel"))
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
