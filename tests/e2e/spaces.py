#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Network namespaces around a switch, as hosts of a test.

A bridge stands in a namespace of its own (hsf-switch-PID, SWITCH). Each node
has one too (hsf-KIND-PID-N), with a veth pair to the bridge for each of the
devices asked for: "kernel" has an address of the kernel's (198.18.1.N+1),
"dpdk" none, and a port of the switch's own. Needs root.
"""
import os
import subprocess

SWITCH = "198.18.1.254"


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Spaces:
    """The namespaces; the last of them is the switch's."""

    def __init__(self, kind, nodes, devices):
        self.names = ["hsf-%s-%d-%d" % (kind, os.getpid(), i)
                      for i in range(nodes)]
        self.names.append("hsf-switch-%d" % os.getpid())
        for name in self.names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        switch = self.names[-1]
        ip("-n", switch, "link", "add", "br0", "mtu", "9000", "type", "bridge")
        ip("-n", switch, "address", "add", SWITCH + "/24", "dev", "br0")
        ip("-n", switch, "link", "set", "br0", "up")
        for i, name in enumerate(self.names):
            if "dpdk" in devices:
                self.pair(i, name, "dpdk")
            if "kernel" in devices and name != switch:
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

    def inside(self, number):
        """What has a command run in one of them."""
        return ["nsenter", "--net=/run/netns/" + self.names[number]]
