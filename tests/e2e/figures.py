# SPDX-License-Identifier: Apache-2.0
"""Statistics of what tests measure, and the one format of docs/BENCH.md."""
import json
import math
import os
import platform
import sys


def quantile(values, share):
    """The value at that rank; values need not be sorted."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median_interval(values):
    """(median, low, high): ranks that enclose it with 95 %, by the binomial."""
    ordered = sorted(values)
    n = len(ordered)
    half = 0.98 * math.sqrt(n)
    low = max(0, int(n / 2 - half))
    high = min(n - 1, int(n / 2 + half))
    return quantile(ordered, 0.5), ordered[low], ordered[high]


def share_interval(good, n):
    """95 % of a share, by Wilson; (low, high)."""
    if not n:
        return 0.0, 1.0
    z = 1.96
    p = good / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = (z / (1 + z * z / n)) * math.sqrt(
        p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def slope_interval(times, values):
    """(slope, low, high) of a line through points, 95 %, least squares."""
    n = len(times)
    mt, mv = sum(times) / n, sum(values) / n
    sxx = sum((t - mt) ** 2 for t in times)
    if n < 3 or not sxx:
        return 0.0, 0.0, 0.0
    slope = sum((t - mt) * (v - mv) for t, v in zip(times, values)) / sxx
    rest = sum((v - mv - slope * (t - mt)) ** 2
               for t, v in zip(times, values))
    error = 1.96 * math.sqrt(rest / (n - 2) / sxx)
    return slope, slope - error, slope + error


def proc_value(path, key):
    with open(path, encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith(key):
                return line.split(":", 1)[1].strip()
    return "unknown"


class Report:
    """Results as docs/BENCH.md has them."""

    def __init__(self):
        self.results = []

    def add(self, name, unit, median, low, high, n, note="", valid=True,
            p99=None, ratio=None):
        self.results.append({
            "name": name, "unit": unit, "median": median,
            "p99": median if p99 is None else p99, "low": low, "high": high,
            "n": n, "lost_share": 0.0, "valid": valid, "ratio": ratio or {},
            "note": note})

    def add_share(self, name, good, n, note=""):
        low, high = share_interval(good, n)
        self.add(name, "share", good / n if n else 0.0, low, high, n, note)

    def print(self, out=sys.stdout):
        for r in self.results:
            print("%-28s %12.6g %-6s [%.6g, %.6g] n=%d %s %s" % (
                r["name"], r["median"], r["unit"], r["low"], r["high"],
                r["n"], "".join("%s=%.3g " % one for one in
                                r["ratio"].items()), r["note"]), file=out)

    def save(self, path):
        machine = {
            "cpu": proc_value("/proc/cpuinfo", "model name"),
            "cores": os.cpu_count(), "kernel": platform.release(),
            "memory": proc_value("/proc/meminfo", "MemTotal"),
            "huge_pages": proc_value("/proc/meminfo", "HugePages_Total"),
            "tsc_ghz": float(proc_value("/proc/cpuinfo", "cpu MHz")) / 1000,
        }
        with open(path, "w", encoding="ascii") as out:
            json.dump({"machine": machine, "results": self.results}, out,
                      indent=1)
