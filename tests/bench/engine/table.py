#!/usr/bin/env python3
"""table.py FILE: of the lines that bench-engine and the peers print, the least disturbed time of each case and
implementation, our ratio to the best peer, and its geometric mean over the cases of a cell."""
import collections
import math
import re
import sys

LINE = re.compile(r"(\S+) t(\d+) +(\w+)/(\S+) +[\d.]+ us \[([\d.]+)\.\.")

times = collections.defaultdict(dict)
peak = 0.0
for line in open(sys.argv[1]):
    if m := re.match(r"sgemm t1 n=\d+ median [\d.]+ best ([\d.]+)", line):
        peak = max(peak, float(m[1]))
    if m := LINE.match(line):
        who, threads, cell, shape, least = m[1].split("-")[0], int(m[2]), m[3], m[4], float(m[5])
        case = times[threads, cell, shape]
        case[who] = min(case.get(who, math.inf), least)

peers = ["openblas", "onednn", "ort"]
print(f"\nleast us; sgemm peak on one thread {peak:.0f} GFLOP/s\n")
print(f"| threads | case | ours | {' | '.join(peers)} | ours GFLOP/s | times the best peer | times one thread |")
print("|---|---|---|---|---|---|---|---|---|")
ratios = collections.defaultdict(list)
for (threads, cell, shape), case in times.items():
    if "ours" not in case:
        continue
    steps, batch, inputs, hidden = (int(n) for n in shape.split("/")[0].split(","))
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1, "LIGHT": 2}[cell]
    directions = 2 if shape.endswith("bi") else 1
    flops = 2 * steps * batch * gates * hidden * (inputs + (hidden if cell != "LIGHT" else 0)) * directions
    best = min((case[p] for p in peers if p in case), default=None)
    one = times.get((1, cell, shape), {}).get("ours")
    if best:
        ratios[threads, cell].append(best / case["ours"])
    row = [threads, f"{cell}/{shape}", f"{case['ours']:.1f}"]
    row += [f"{case[p]:.1f}" if p in case else "-" for p in peers]
    row += [f"{flops / case['ours'] / 1e3:.0f}", f"{best / case['ours']:.2f}" if best else "-"]
    row += [f"{one / case['ours']:.2f}" if one else "-"]
    print("|", " | ".join(map(str, row)), "|")
print()
for (threads, cell), r in ratios.items():
    mean = math.exp(sum(map(math.log, r)) / len(r))
    print(f"{cell}, {threads} thread(s): geometric mean {mean:.2f} times the best peer, least {min(r):.2f}")
