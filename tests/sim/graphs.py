#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Call graphs for hs-sim --graphs, from the data sets of other people.

graphs.py dgg ARCHIVE.tar.xz [MAX] > FILE      Alibaba's dynamic call graphs
graphs.py microbricks TOPOLOGY.json [N] > FILE random walks over a topology

Missing targets and back edges are pruned: what is left is the tree of a
breadth-first walk from the root; how many of each were pruned is said on
stderr. A line a graph: weight, number of nodes, then service and number of
children of each node in that order.
"""
import collections
import json
import random
import sys
import tarfile

NODES_MAX = 512
PRUNED = collections.Counter()


def emit(weight, children, service):
    order = [0]
    for at in order:
        order.extend(children.get(at, []))
    print(weight, len(order), " ".join(
        "%d %d" % (service[at], len(children.get(at, []))) for at in order))


def number_of(name, known={}):
    return known.setdefault(name, len(known))


def tree_of(graph):
    names = [str(n["node"]) for n in graph["nodes"]]
    known, targets, out = set(names), set(), {}
    for edge in graph["edges"]:
        source, target = str(edge["source"]), str(edge["target"])
        if source in known and target in known:
            out.setdefault(source, []).append(target)
            targets.add(target)
        else:
            PRUNED["edges without a target"] += 1
    roots = [n for n in names if n not in targets] or names[:1]
    seen, order, children = {roots[0]: 0}, [roots[0]], {}
    for name in order:
        for target in out.get(name, []):
            if target in seen:
                PRUNED["edges back or to one that has a caller"] += 1
                continue
            if len(order) >= NODES_MAX:
                PRUNED["edges beyond %d nodes" % NODES_MAX] += 1
                continue
            seen[target] = len(order)
            children.setdefault(seen[name], []).append(len(order))
            order.append(target)
    PRUNED["nodes that the root does not reach"] += len(known) - len(order)
    return children, [number_of(name) for name in order]


def dgg(path, most):
    nr = 0
    with tarfile.open(path) as archive:
        for member in archive:
            if not member.name.endswith(".json") or nr >= most:
                continue
            graph = json.load(archive.extractfile(member))
            children, service = tree_of(graph)
            emit(graph.get("num", 1), children, service)
            nr += 1


def callers(above, at, order):
    """Whoever waits for the one at @at, itself included."""
    found = {order[at]}
    while at in above:
        at = above[at]
        found.add(order[at])
    return found


def microbricks(path, nr):
    services = {s["name"]: s for s in json.load(open(path))["services"]}
    apis = {(s["name"], a["name"]): a for s in services.values()
            for a in s["apis"]}
    roll = random.Random(1)
    for _ in range(nr):
        order = [roll.choice(sorted(apis))]
        children, above = {}, {}
        for at, key in enumerate(order):
            for child in apis[key].get("children", []):
                target = (child["service"], child["api"])
                if target not in apis:
                    PRUNED["calls without a target"] += 1
                    continue
                if roll.random() * 100 >= child["probability"]:
                    continue
                if target in callers(above, at, order):
                    PRUNED["calls back to a caller"] += 1
                    continue
                if len(order) >= NODES_MAX:
                    PRUNED["calls beyond %d nodes" % NODES_MAX] += 1
                    continue
                above[len(order)] = at
                children.setdefault(at, []).append(len(order))
                order.append(target)
        emit(1, children, [number_of(s) for s, _ in order])


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("dgg", "microbricks"):
        sys.exit(__doc__)
    most = int(sys.argv[3]) if len(sys.argv) > 3 else 5000
    {"dgg": dgg, "microbricks": microbricks}[sys.argv[1]](sys.argv[2], most)
    print("graphs: pruned: " + (", ".join(
        "%d %s" % (n, what) for what, n in sorted(PRUNED.items()) if n) or
        "nothing"), file=sys.stderr)


if __name__ == "__main__":
    main()
