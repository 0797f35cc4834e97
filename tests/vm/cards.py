#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Within the guest: a fabric whose slices go from card to card.

    cards.py SCENARIO... PCI PCI

An agent and a collector have a PCI device each, wired to each other; the rest
is the fabric of tests/e2e/scenarios.py, and so are the scenarios, as far as
they make do with one agent.
"""
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

import fabric  # noqa: E402
import scenarios  # noqa: E402


class Cards(fabric.Fabric):
    cards = {}

    def ship(self, name):
        number = 1 if name == "collector" else 2
        text = ("ship:\n  carrier: dpdk\n  mtu: 9000\n  pci: %s\n"
                "  bind: \"198.18.0.%d:7430\"\n" % (self.cards[name], number))
        if name != "collector":
            text += "  collectors: [\"198.18.0.1:7430\"]\n"
        return text


def main():
    *wanted, one, other = sys.argv[1:]
    Cards.cards = {"agent-0": one, "collector": other}
    scenarios.Fabric = Cards
    return scenarios.main(wanted, scenarios.SCENARIOS)


if __name__ == "__main__":
    sys.exit(main())
