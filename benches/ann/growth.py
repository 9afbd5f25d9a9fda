#!/usr/bin/env python3
"""How the rate of searches falls with the number of vectors: `segue bench ann` on growing samples of one file.

  segue generate --tracks 1000000 --listeners 10000 --vectors --cf-dim 256 --out MADE
  .venv-bench/bin/python benches/ann/growth.py --vectors MADE/track_cf.parquet --metric ip --out OUT

Samples are drawn as compare.py does, with the same 2,000 queries. The table says, for each size, queries a second at the recall, and
what they would be if they fell like 1 / log n from the smallest. Writes table.md and growth.svg.
"""
import argparse
import os
from types import SimpleNamespace

import numpy as np

import compare


def measure(a, count):
    folder = f"{a.work}/growth-{a.metric}-{count}"
    compare.prepare(a.vectors, a.metric, count, folder)
    settings = SimpleNamespace(segue=a.segue, seconds=a.seconds, ef=a.ef)
    result = compare.run_segue("fast", folder, a.metric, 10, settings)
    rate = compare.rate_at(result["curve"], a.recall)
    best = max(point["recall"] for point in result["curve"])
    return dict(n=count, rate=rate, build_s=result["build_s"], build_mib=result["build_mib"], best=best)


def table(a, rows):
    first = rows[0]
    text = [f"| vectors | q/s at recall {a.recall} | of the smallest | 1 / log n would be | build, s | MiB beside the vectors |", "|---|---|---|---|---|---|"]
    for row in rows:
        bound = np.log(first["n"]) / np.log(row["n"])
        rate = f"{row['rate']:,.0f}" if row["rate"] else f"never ({row['best']:.3f})"
        share = f"{row['rate'] / first['rate']:.2f}" if row["rate"] and first["rate"] else ""
        text.append(f"| {row['n']:,} | {rate} | {share} | {bound:.2f} | {row['build_s']:.0f} | {row['build_mib']:.0f} |")
    return "\n".join(text) + "\n"


def plot(a, rows, path):
    """Microseconds a query against the number of vectors, on a logarithmic scale: growth by log n is a straight line."""
    rows = [row for row in rows if row["rate"]]
    width, height, left, top = 640, 400, 70, 40
    low, high = np.log(rows[0]["n"]), np.log(rows[-1]["n"])
    cost = [1e6 / row["rate"] for row in rows]
    most = 1.15 * max(cost + [cost[0] * high / low])
    x = lambda n: left + (np.log(n) - low) / (high - low) * (width - left - 40)
    y = lambda us: height - 50 - us / most * (height - 50 - top)
    line = lambda points: " ".join(f"{x(n):.1f},{y(us):.1f}" for n, us in points)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">']
    out.append(f'<rect width="100%" height="100%" fill="white"/><text x="{left}" y="22" font-size="14">')
    out.append(f"microseconds a query at recall {a.recall}, {a.metric}; dashed: growth by log n</text>")
    for row, us in zip(rows, cost):
        out.append(f'<text x="{x(row["n"]):.1f}" y="{height - 32}" text-anchor="middle">{row["n"] // 1000}k</text>')
        out.append(f'<text x="{x(row["n"]):.1f}" y="{y(us) - 8:.1f}" text-anchor="middle">{us:.1f}</text>')
    logarithmic = [(row["n"], cost[0] * np.log(row["n"]) / low) for row in rows]
    out.append(f'<polyline points="{line(logarithmic)}" fill="none" stroke="#566573" stroke-dasharray="5 4"/>')
    out.append(f'<polyline points="{line(zip((r["n"] for r in rows), cost))}" fill="none" stroke="#c0392b" stroke-width="2"/>')
    open(path, "w").write("\n".join(out) + "\n</svg>\n")


def main(a):
    os.makedirs(a.out, exist_ok=True)
    rows = []
    for count in a.counts:
        rows.append(measure(a, count))
        print(rows[-1], flush=True)
    text = table(a, rows)
    print(text)
    open(f"{a.out}/table.md", "w").write(text)
    plot(a, rows, f"{a.out}/growth.svg")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", required=True, help="[n, d] floats, .npy or .parquet; n is 2,000 more than the largest count")
    parser.add_argument("--metric", choices=("cosine", "ip"), required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[50_000, 100_000, 200_000, 400_000, 800_000])
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--ef", type=int, nargs="+", default=[16, 24, 32, 48, 64, 96, 128, 192, 256])
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--segue", default="target/release/segue")
    parser.add_argument("--work", default="/tmp/segue-bench-ann")
    parser.add_argument("--out", default="bench-growth")
    main(parser.parse_args())
