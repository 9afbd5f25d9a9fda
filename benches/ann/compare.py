#!/usr/bin/env python3
"""Segue and other ANN libraries side by side, from one command: tables and plots of recall against queries a second.

  python3 -m venv .venv-bench && .venv-bench/bin/pip install -r benches/ann/requirements.txt
  cargo build --release --bin segue
  .venv-bench/bin/python benches/ann/compare.py --data glove:cosine:190000:VECTORS.npy --peers symqg,hnswlib --out OUT

A data set is NAME:METRIC:COUNT:PATH, metric cosine or ip, the file `[n, d]` floats (.npy, or .parquet with a column `vector`). 2,000 rows are held out as queries, COUNT others
are indexed. All run in turns on the same files, one thread a search and two a build; a result within 1e-5
of the k-th exact score counts as a hit, once; each point is the median of five passes of at least --seconds. Rates at
a recall are interpolated in log space. Compare rates of one run only.
"""
import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import time

import numpy as np

EF = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048]
QUERIES, DEPTH, M, EF_CONSTRUCTION, BUILD_THREADS = 2000, 500, 16, 200, 2
RECALLS = (0.90, 0.95, 0.99)
COLOURS = ("#c0392b", "#e67e22", "#2471a3", "#1e8449", "#7d3c98", "#566573", "#b7950b", "#117a65")


def load(path):
    """The vectors of a file, `[n, d]`."""
    if not path.endswith(".parquet"):
        return np.load(path, mmap_mode="r")
    import pyarrow.parquet as parquet

    column = parquet.read_table(path, columns=["vector"])["vector"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)


def prepare(path, metric, count, out):
    """Writes base, query and exact results once."""
    import faiss

    if os.path.exists(f"{out}/truth.npy"):
        return
    os.makedirs(out, exist_ok=True)
    vectors = load(path)
    order = np.random.default_rng(11).permutation(len(vectors))
    query = np.ascontiguousarray(vectors[np.sort(order[:QUERIES])], dtype=np.float32)
    base = np.ascontiguousarray(vectors[np.sort(order[QUERIES : QUERIES + count])], dtype=np.float32)
    if metric == "cosine":
        for x in (query, base):
            x /= np.linalg.norm(x, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(base.shape[1])
    index.add(base)
    for name, x in (("base", base), ("query", query), ("truth", index.search(query, DEPTH)[1])):
        np.save(f"{out}/{name}.npy", x)


def identifiers(result):
    return next(np.asarray(a) for a in result if np.asarray(a).dtype.kind in "iu")


class Peer:
    """One library: `build(base)`, then `search(index, ef)` gives a function from queries to row numbers."""

    def __init__(self, metric, k):
        self.metric, self.k = metric, k
        self.space = "ip" if metric == "ip" else "l2"  # cosine as L2 of unit vectors, where a library has no cosine


class hnswlib(Peer):
    def build(self, base):
        import hnswlib as library

        index = library.Index(space="ip", dim=base.shape[1])
        index.init_index(len(base), M=M, ef_construction=EF_CONSTRUCTION)
        index.add_items(base, num_threads=BUILD_THREADS)
        return index

    def search(self, index, ef):
        index.set_ef(ef)
        return lambda q: index.knn_query(q, k=self.k, num_threads=1)[0]


class symqg(Peer):
    def build(self, base):
        import rabitqlib

        index = rabitqlib.SymqgIndex(base.shape[1], 32, metric=self.space)
        index.build(base, EF_CONSTRUCTION, num_threads=BUILD_THREADS)
        return index

    def search(self, index, ef):
        return lambda q: identifiers(index.search(q, self.k, ef, num_threads=1))


class svs(Peer):
    def build(self, base):
        import svs as library

        parameters = library.VamanaBuildParameters(graph_max_degree=32, window_size=EF_CONSTRUCTION, alpha=0.95)
        return library.Vamana.build(parameters, base, library.DistanceType.MIP, num_threads=BUILD_THREADS)

    def search(self, index, ef):
        index.num_threads, index.search_window_size = 1, ef
        return lambda q: index.search(q, self.k)[0]


class faiss_sq8(Peer):
    def build(self, base):
        import faiss

        faiss.omp_set_num_threads(BUILD_THREADS)
        kind = faiss.ScalarQuantizer.QT_8bit
        index = faiss.IndexHNSWSQ(base.shape[1], kind, M, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        index.train(base)
        index.add(base)
        faiss.omp_set_num_threads(1)
        return index

    def search(self, index, ef):
        index.hnsw.efSearch = ef
        return lambda q: index.search(q, self.k)[1]


class usearch_i8(Peer):
    def build(self, base):
        from usearch.index import Index

        index = Index(ndim=base.shape[1], metric="ip", dtype="i8", connectivity=M, expansion_add=EF_CONSTRUCTION)
        index.add(np.arange(len(base)), base, threads=BUILD_THREADS)
        return index

    def search(self, index, ef):
        index.expansion_search = ef
        return lambda q: index.search(q, self.k, threads=1).keys


class voyager(Peer):
    def build(self, base):
        import voyager as library

        space = library.Space.InnerProduct
        index = library.Index(space, num_dimensions=base.shape[1], M=M, ef_construction=EF_CONSTRUCTION)
        index.add_items(base, num_threads=BUILD_THREADS)
        return index

    def search(self, index, ef):
        return lambda q: index.query(q, k=self.k, query_ef=ef, num_threads=1)[0]


PEERS = {c.__name__: c for c in (hnswlib, symqg, svs, faiss_sq8, usearch_i8, voyager)}


def resident_mb():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) / 1024


def measure_peer(a):
    """Runs in a process of its own and prints one JSON document."""
    base, query, truth = (np.load(f"{a.folder}/{name}.npy") for name in ("base", "query", "truth"))
    truth = truth[:, : a.k]
    kth = np.array([base[t] @ q for t, q in zip(truth, query)]).min(axis=1)
    peer = PEERS[a.measure](a.metric, a.k)
    before, start = resident_mb(), time.time()
    index = peer.build(base)
    build_s = time.time() - start
    gc.collect()
    memory, curve = resident_mb() - before, []
    for ef in (e for e in a.ef if e >= a.k):
        search = peer.search(index, ef)
        search(query[:50])
        rates = []
        for _ in range(5):
            start, done = time.perf_counter(), 0
            while done == 0 or time.perf_counter() - start < a.seconds:
                found, done = search(query), done + len(query)
            rates.append(done / (time.perf_counter() - start))
        hits = 0
        for i, row in enumerate(np.asarray(found)):
            row = np.unique(row[(row >= 0) & (row < len(base))][: a.k].astype(np.int64))
            hits += int(((base[row] @ query[i]) >= kth[i] - 1e-5).sum())
        curve.append(dict(ef=ef, recall=hits / (len(query) * a.k), qps=sorted(rates)[2]))
        if curve[-1]["recall"] > 0.997:
            break
    print(json.dumps(dict(build_s=build_s, bytes=memory * 2**20 / len(base), curve=curve)))


def run_peer(name, folder, metric, k, a):
    command = [sys.executable, __file__, "--measure", name, "--folder", folder, "--metric", metric]
    command += ["--k", str(k), "--seconds", str(a.seconds), "--ef", *map(str, a.ef)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return dict(error=done.stderr.strip().splitlines()[-1:] or ["no output"])
    return json.loads(lines[-1])


def run_segue(profile, folder, metric, k, a):
    command = [a.segue, "bench", "ann", "--json", "--metric", metric, "--profile", profile, "--k", str(k)]
    command += ["--base", f"{folder}/base.npy", "--query", f"{folder}/query.npy", "--truth", f"{folder}/truth.npy"]
    command += ["--seconds", str(a.seconds), "--ef", ",".join(map(str, a.ef))]
    environment = dict(os.environ, RAYON_NUM_THREADS=str(BUILD_THREADS))
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
    size = sum(report["bytes"][part] for part in ("codes", "graph", "sieve")) / report["n"]
    build = report["build"]
    return dict(build_s=build["seconds"], build_mib=build["memory_mb"], bytes=size, curve=report["curve"])


def rate_at(curve, recall):
    points = sorted((p["recall"], p["qps"]) for p in curve)
    low, high = [p for p in points if p[0] < recall], [p for p in points if p[0] >= recall]
    if not high:
        return None
    if not low:
        return high[0][1]
    weight = (recall - low[-1][0]) / (high[0][0] - low[-1][0])
    return float(np.exp(np.log(low[-1][1]) * (1 - weight) + np.log(high[0][1]) * weight))


def table(title, results):
    rows = [f"### {title}", "", "| index | q/s at recall 0.90 | 0.95 | 0.99 | best recall | build, s | bytes a vector |"]
    rows.append("|---|---|---|---|---|---|---|")
    for name, result in results.items():
        if "error" in result:
            rows.append(f"| {name} | failed: {' '.join(result['error'])[:80]} | | | | | |")
            continue
        rates = [rate_at(result["curve"], r) for r in RECALLS]
        cells = [f"{rate:,.0f}" if rate else "never" for rate in rates]
        best = max(p["recall"] for p in result["curve"])
        cells += [f"{best:.3f}", f"{result['build_s']:.0f}", f"{result['bytes']:,.0f}"]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def plot(title, results, path):
    """Recall from 0.8 to 1 against the logarithm of the rate."""
    width, height, left, top = 720, 460, 70, 40
    curves = {n: [p for p in r["curve"] if p["recall"] >= 0.8] for n, r in results.items() if "curve" in r}
    rates = [np.log10(p["qps"]) for c in curves.values() for p in c] or [3, 4]
    low, high = np.floor(min(rates) * 2) / 2, np.ceil(max(rates) * 2) / 2
    x = lambda recall: left + (recall - 0.8) / 0.2 * (width - left - 190)
    y = lambda rate: height - 50 - (np.log10(rate) - low) / max(high - low, 0.5) * (height - 50 - top)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">']
    out.append(f'<rect width="100%" height="100%" fill="white"/><text x="{left}" y="22" font-size="14">{title}</text>')
    for recall in (0.8, 0.85, 0.9, 0.95, 1.0):
        out.append(f'<path d="M{x(recall):.1f} {top}V{height - 50}" stroke="#ddd"/>')
        out.append(f'<text x="{x(recall):.1f}" y="{height - 32}" text-anchor="middle">{recall}</text>')
    for step in np.arange(low, high + 0.1, 0.5):
        out.append(f'<path d="M{left} {y(10**step):.1f}H{width - 190}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 6}" y="{y(10**step) + 4:.1f}" text-anchor="end">{10**step:,.0f}</text>')
    out.append(f'<text x="{left}" y="{height - 12}">recall; upwards: queries a second, one thread</text>')
    for i, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        line = " ".join(f"{x(p['recall']):.1f},{y(p['qps']):.1f}" for p in curve)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="{width - 180}" y="{top + 14 + 18 * i}" fill="{colour}">{name}</text>')
    open(path, "w").write("\n".join(out) + "\n</svg>\n")


def main(a):
    os.makedirs(a.out, exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    cpu = [l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith(("model name", "model\t"))][:2]
    text = [f"Commit {commit}; {platform.machine()}, {' '.join(cpu)}, {os.cpu_count()} cores; recall@k, one thread.", ""]
    for spec in a.data:
        name, metric, count, path = spec.split(":", 3)
        folder = f"{a.work}/{name}-{metric}"
        prepare(path, metric, int(count), folder)
        for k in a.k:
            results = {f"Segue {p}": run_segue(p, folder, metric, k, a) for p in a.profiles.split(",")}
            results |= {p: run_peer(p, folder, metric, k, a) for p in a.peers.split(",") if p}
            title = f"{name}, {int(count):,} vectors, {metric}, k {k}"
            text.append(table(title, results))
            plot(title, results, f"{a.out}/{name}-{metric}-{k}.svg")
            json.dump(results, open(f"{a.out}/{name}-{metric}-{k}.json", "w"))
            print(text[-1], flush=True)
    open(f"{a.out}/tables.md", "w").write("\n".join(text))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", default=[], help="NAME:METRIC:COUNT:PATH, again for more")
    parser.add_argument("--peers", default="symqg,hnswlib", help=",".join(PEERS))
    parser.add_argument("--profiles", default="fast")
    parser.add_argument("--k", type=int, nargs="+", default=[10])
    parser.add_argument("--ef", type=int, nargs="+", default=EF)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--segue", default="target/release/segue")
    parser.add_argument("--work", default="/tmp/segue-bench-ann")
    parser.add_argument("--out", default="bench-ann")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--metric", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        arguments.k = arguments.k[0]
        measure_peer(arguments)
    else:
        main(arguments)
