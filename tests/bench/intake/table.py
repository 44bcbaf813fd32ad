#!/usr/bin/env python3
"""table.py DIMSE.json STOW.json LIMITS.txt: medians of one interleaved run, and our ratios to each peer."""
import json
import re
import statistics
import sys


def read(path):
    """{(server, clients): {figure: median}} of what the benchmark programs wrote."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for name, rows in json.load(file).items():
            parts = name.split("/")
            found[parts[0], int(parts[-1])] = {
                key: statistics.median(row[key] for row in rows) for key in ("img_s", "cpu_1000", "rss", "p50")}
    return found


def table(title, figures):
    print(f"\n{title}\n\n| clients | server | objects/s | CPU s per 1000 | memory MB | p50 ms | we: objects/s | we: CPU |")
    print("|---|---|---|---|---|---|---|---|")
    for server, clients in sorted(figures, key=lambda k: (k[1], k[0])):
        f, ours = figures[server, clients], figures.get(("ours", clients))
        ratios = ["", ""]
        if ours and server != "ours":
            ratios = [f"{ours['img_s'] / f['img_s']:.2f}x", f"{ours['cpu_1000'] / f['cpu_1000']:.2f}x"]
        print(f"| {clients} | {server} | {f['img_s']:.0f} | {f['cpu_1000']:.2f} | {f['rss']:.0f} | {f['p50']:.2f} |",
              " | ".join(ratios), "|")


def main():
    dimse = read(sys.argv[1])
    table("C-STORE", dimse)
    table("STOW-RS", read(sys.argv[2]))
    with open(sys.argv[3], encoding="utf-8") as file:
        raw = [float(rate) for rate in re.findall(r"rate ([\d.]+)/s", file.read())]
    limit = statistics.median(raw)
    print(f"\nraw limit (one connection to synced files) {limit:.0f}/s; with one association we reach "
          f"{dimse['ours', 1]['img_s'] / limit:.2f} of it")


if __name__ == "__main__":
    main()
