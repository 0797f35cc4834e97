#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a use case came to, in words. Exit status: 0 when it shows what it is
for, 1 when it does not, 2 usage."""
import csv
import json
import os
import sys


def load(folder, name):
    with open(os.path.join(folder, name + ".json"), encoding="utf-8") as text:
        return json.load(text)[0]


def volume(path, percent):
    """Bytes a second that each of four agents may report: a share of all."""
    with open(path, encoding="utf-8") as text:
        one = json.load(text)[0]
    print(max(1024, int(one["written_bytes"] / one["seconds"] *
                        float(percent) / 100 / 4)))
    return 0


def errors(folder):
    good = True
    for name, what in (("all", "10 % fail, no limit"),
                       ("limit-1", "10 % fail, limit of 1 % of the data"),
                       ("limit-5", "10 % fail, limit of 5 %"),
                       ("few-1", "0.5 % fail, limit of 1 %"),
                       ("few-5", "0.5 % fail, limit of 5 %")):
        edge = load(folder, name)["edge"]
        print("%-36s %5d exceptions, %5d whole traces, %d partial, %d not "
              "collected" % (what, edge["all"], edge["whole"],
                             edge["partial"], edge["missing"]))
        if name in ("all", "few-5"):
            good &= edge["all"] > 0 and edge["whole"] >= 0.99 * edge["all"]
    few, more = (load(folder, "limit-%d" % p)["edge"]["whole"]
                 for p in (1, 5))
    return 0 if good and few < more else 1


def quantile(histogram, share):
    total, so_far = sum(n for _, n in histogram), 0
    for value, count in histogram:
        so_far += count
        if so_far >= share * total:
            return value / 1e6
    return 0.0


def latency(folder):
    one = load(folder, "p90")
    print("%-24s %6s %8s %8s %8s" % ("captured by", "traces", "p10 ms",
                                     "p50 ms", "p90 ms"))
    medians = {}
    everybody = one["latency"]
    rows = [("(all requests)", one["latency"])]
    rows += [("percentile %d" % p,
              load(folder, "p%d" % p)["collected_durations"])
             for p in (90, 95, 99)]
    rows.append(("head sampling, 5 %",
                 load(folder, "head")["collected_durations"]))
    for name, histogram in rows:
        medians[name] = quantile(histogram, 0.5)
        print("%-24s %6d %8.2f %8.2f %8.2f" % (
            name, sum(n for _, n in histogram), quantile(histogram, 0.1),
            medians[name], quantile(histogram, 0.9)))
    # A trigger brings slow ones; head sampling brings what there is.
    slow = all(medians["percentile %d" % p] >= quantile(everybody, 0.85)
               for p in (95, 99))
    return 0 if slow and medians["head sampling, 5 %"] <= quantile(
        everybody, 0.8) else 1


def queue(folder):
    with open(os.path.join(folder, "queue.csv"), encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    costly = [r for r in rows if int(r["marks"]) & 16]
    first = int(costly[0]["at_ns"])
    for r in rows:
        at = (int(r["at_ns"]) - first) / 1e6
        if -15 < at < 300 and r["captured"] != "missing":
            print("%8.1f ms  took %7.2f ms  %-8s %s" % (
                at, int(r["latency_ns"]) / 1e6, r["captured"],
                "<- expensive" if int(r["marks"]) & 16 else ""))
    got = sum(r["captured"] == "whole" for r in costly)
    collected = sum(r["captured"] != "missing" for r in rows)
    print("%d of %d expensive requests captured whole; %d of %d requests "
          "captured in all" % (got, len(costly), collected, len(rows)))
    return 0 if got == len(costly) and collected < len(rows) / 2 else 1


def main():
    known = {"errors": errors, "latency": latency, "queue": queue}
    if len(sys.argv) == 4 and sys.argv[1] == "volume":
        return volume(sys.argv[2], sys.argv[3])
    if len(sys.argv) != 3 or sys.argv[1] not in known:
        sys.stderr.write("usage: show.py errors|latency|queue FOLDER\n")
        return 2
    return known[sys.argv[1]](sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
