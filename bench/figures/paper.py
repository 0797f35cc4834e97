# SPDX-License-Identifier: Apache-2.0
"""What "The Benefit of Hindsight" (NSDI'23) says in words of its figures:
numbers of its section 6, none of them read off a picture."""

# 6.1, figure 3: offered requests a second -> edge cases captured, of 1 %.
TAIL_CAPTURE = [(1000, 1.0), (2000, 0.71), (3000, 0.28)]
HINDSIGHT_CAPTURE = [(1000, 0.995), (14000, 0.995)]
NETWORK_MB = {"hindsight": 2.6, "head:0.01": 1.4, "tail-async": 78.0,
              "tail-sync": 72.2}
# Peak throughput over that without tracing.
PEAK = {"hindsight": 0.965, "head:0.01": 1.0, "tail-async": 0.86,
        "tail-sync": 0.58}

# 6.2, figure 4b: delay in s -> coherent share.
HORIZON_10MB = [(0.0, 1.0), (0.5, 0.58), (0.6, 0.20)]
HORIZON_100MB = [(0.0, 1.0), (3.0, 0.90), (6.4, 0.20)]

# 6.4.1, figure 6: peak requests a second.
TWO_PEAK = {"none": 71000, "head:0.01": 70200, "hindsight": 70400,
            "tail-async": 41400}

# 6.2, figure 4a: A and B over all loads, and what is collected of all.
COLLECTED_PER_S = 2000

# 6.4.2, table 3: ns at one thread.
TABLE3 = [
    ("begin", 72.7, None), ("end", 70.7, None),
    ("begin + end, empty", 143.4, "begin_end_empty"),
    ("tracepoint, 32 bytes", 7.9, "tracepoint_32B"),
    ("tracepoint without a time", 4.0, "tracepoint_32B_nostamp"),
    ("tracepoint, 8 bytes", 3.9, "tracepoint_8B"),
    ("tracepoint, 128 bytes", 11.5, "tracepoint_128B"),
    ("tracepoint, 512 bytes", 37.7, "tracepoint_512B"),
    ("tracepoint, 2 kB", 160.2, "payload_2kB"),
    ("Category(.01)", 45.8, "category_1"),
    ("Percentile(99)", 275.3, "percentile_p99"),
    ("Percentile(99.9)", 407.1, "percentile_p999"),
    ("Percentile(99.99)", 629.4, "percentile_p9999"),
    ("TriggerSet(10)", 6.57, "set_10"),
]
# 6.4.3, figure 7: the client's peak, GB/s, one thread, 128 kB buffers, with
# tracepoints of 1 kB.
POOL_PEAK_GB = 12.1
POOL_PEAK_BUFFER = 131072
