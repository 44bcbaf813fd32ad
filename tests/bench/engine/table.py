#!/usr/bin/env python3
"""table.py FILE: of the lines that bench-engine and the peers print, the least disturbed time of each case and
implementation, and in each row what is promised of it: `figure (floor) ok`, or BELOW. Geometric means follow."""
import collections
import math
import re
import sys

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1, "LIGHT": 2}
PEERS = ["openblas", "onednn", "ort", "torch"]
FORWARD_PEERS = PEERS[:3]
# Of the geometric mean over the shapes, forward, on one thread: peers, floor.
MEANS = {"the best peer": (FORWARD_PEERS, 1.25), "PyTorch": (["torch"], 4)}

# ours t1 sweep-LSTM/25,324,16,16/bi  12.3 us [12.1..12.9] …   and   onednn-f32 t1 LSTM/…
LINE = re.compile(r"(\S+) t(\d+) +([a-z0-9-]*?)-?(LSTM|GRU|RNN|LIGHT)?(/\S+)? +[\d.]+ us \[([\d.]+)\.\.")
ONEDNN_TRAIN = re.compile(r"onednn-train t(\d+) (\w+)(/\S+) .* sum +[\d.]+ \[([\d.]+)\.\.")
TORCH_TRAIN = re.compile(r"train torch t(\d+) (\w+) +T=(\d+) I=(\d+) B=(\d+) H=(\d+): [\d.]+ ms/step \[([\d.]+)\.\.")
SGEMM = re.compile(r"sgemm t1 n=\d+ median [\d.]+ best ([\d.]+)")

Case = collections.namedtuple("Case", "threads set cell shape")


def read(path):
    """Least microseconds by case and implementation, and the peak of SGEMM on one thread, GFLOP/s."""
    times, peak = collections.defaultdict(dict), 0.0

    def note(threads, set_, cell, shape, who, us):
        row = times[Case(int(threads), set_, cell or "", (shape or "").lstrip("/"))]
        row[who] = min(row.get(who, math.inf), float(us))

    for line in open(path):
        if m := SGEMM.match(line):
            peak = max(peak, float(m[1]))
        elif m := ONEDNN_TRAIN.match(line):
            note(m[1], "train", m[2], m[3], "onednn", m[4])
        elif m := TORCH_TRAIN.match(line):
            note(m[1], "textbook", m[2], f"{m[3]},{m[5]},{m[4]},{m[6]}", "torch", 1e3 * float(m[7]))
        elif m := LINE.match(line):
            set_ = m[3] or ("sweep" if m[5] and m[5].startswith("/25,324,") else "")
            note(m[2], set_, m[4], m[5], m[1].split("-")[0], m[6])
    return times, peak


def gflops(case, us):
    """Multiply-adds of the products; backward counts as two forward passes."""
    if case.set == "textbook" or not case.shape:
        return None
    steps, batch, inputs, hidden = (int(n) for n in case.shape.split("/")[0].split(","))
    width = inputs + (hidden if case.cell != "LIGHT" else 0)
    passes = 3 if case.set in ("train", "sweep-train", "long", "checkpoint") else 1
    directions = 2 if case.shape.endswith("bi") else 1
    return 2e-3 * steps * batch * GATES[case.cell] * hidden * width * directions * passes / us


def promises(case, row, times, peak):
    """Yields (what, figure, floor) of this row; a floor below 0 is a ceiling."""
    ours, rate = row["ours"], gflops(case, row["ours"])
    batch, hidden = (int(case.shape.split("/")[0].split(",")[i]) for i in (1, 3)) if case.shape else (0, 0)
    best = min((row[p] for p in FORWARD_PEERS if p in row), default=None)
    alike = lambda **other: times.get(case._replace(**other), {}).get("ours")  # noqa: E731
    if case.set == "" and case.threads == 1:
        if best:
            yield "best peer", best / ours, 0.95
        if batch >= 32 and peak:
            yield "SGEMM", rate / peak, 0.70
    if case.set == "" and case.threads == 2 and batch >= 64 and alike(threads=1):
        yield "one thread", alike(threads=1) / ours, 1.8
    if case.set == "bf16" and hidden >= 128 and case.threads == 1 and alike(set=""):
        yield "float32", alike(set="") / ours, 1.6
    if case.set in ("sweep", "sweep-train") and hidden < 64:
        yield "GFLOP/s", rate, 85 if case.set == "sweep" else 65
    if (case.set == "sweep" and hidden >= 64 or case.set == "train") and "onednn" in row:
        yield "oneDNN", row["onednn"] / ours, 1
    if case.set == "textbook" and "torch" in row:  # the promise is of the network with an LSTM
        yield "PyTorch", row["torch"] / ours, 3 if case.cell == "LSTM" else 1
    if case.set == "checkpoint" and alike(set="long"):
        yield "keeping all", alike(set="long") / ours, 0.7
    if case.set == "hippocampus-step":
        yield "ms", ours / 1e3, -110
    if case.set == "hippocampus-volume":
        yield "ms", ours / 1e3, -40


def main():
    times, peak = read(sys.argv[1])
    print(f"\nleast us; SGEMM on one thread at most {peak:.0f} GFLOP/s; figure (floor)\n")
    print(f"| threads | case | ours | GFLOP/s | {' | '.join(PEERS)} | times … |")
    print("|---|---|---|---|" + "---|" * len(PEERS) + "---|")
    ratios, below = collections.defaultdict(list), 0
    for case, row in times.items():
        if "ours" not in row:
            continue
        rate, verdicts = gflops(case, row["ours"]), []
        for what, figure, floor in promises(case, row, times, peak):
            kept = figure >= floor if floor > 0 else figure <= -floor
            below += not kept
            verdicts.append(f"{what} {figure:.3g} ({abs(floor):g}) {'ok' if kept else 'BELOW'}")
        for name, (peers, _) in MEANS.items() if case.set == "" else ():
            if best := min((row[p] for p in peers if p in row), default=None):
                ratios[case.threads, case.cell, name].append(best / row["ours"])
        name = "-".join(filter(None, (case.set, case.cell))) + (f"/{case.shape}" if case.shape else "")
        cells = [f"{row[p]:.1f}" if p in row else "-" for p in PEERS]
        cells = [str(case.threads), name, f"{row['ours']:.1f}", f"{rate:.0f}" if rate else "-", *cells]
        print("|", " | ".join([*cells, "; ".join(verdicts) or "-"]), "|")
    print()
    for (threads, cell, name), r in ratios.items():
        mean, floor = math.exp(sum(map(math.log, r)) / len(r)), MEANS[name][1]
        verdict = "" if threads > 1 else f" ({floor}) {'ok' if mean >= floor else 'BELOW'}"
        below += threads == 1 and mean < floor
        print(f"{cell}, {threads} thread(s): geometric mean {mean:.2f} times {name}{verdict}, least {min(r):.2f}")
    print(f"{below} figures below their floors")


if __name__ == "__main__":
    main()
