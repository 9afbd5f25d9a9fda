#!/usr/bin/env python3
"""Real listening sets as Segue's bulk files, split for choosing weights and for judging them.

  python3 -m venv .venv-bench && .venv-bench/bin/pip install -r benches/quality/requirements.txt
  .venv-bench/bin/python benches/quality/prepare.py lastfm DATA/lastfm OUT
  .venv-bench/bin/python benches/quality/prepare.py taste_profile DATA/taste_profile/interactions.parquet OUT

Every (listener, item) pair falls into one of five parts by a hash of its ids. OUT/validation trains without parts 0 and 1 and
asks for part 1: choose weights there. OUT/test trains without part 0 and asks for part 0: judge there, once. One listener in
ten is "new": keeps three known pairs only, each of them played once. Each folder gets tracks, users, plays, counts (for `segue train als`), asked
(the held-out pairs), asked_new (those of new listeners) and, for lastfm, audio (64 dimensions out of the tags by truncated SVD).
"""
import argparse
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

MIN_LISTENERS = 5
TAGS_A_TRACK = 5
DIM = 64
NEW_KEEPS = 3
AS_OF = pd.Timestamp("2026-11-01T00:00:00Z")


def mixed(x):
    """splitmix64 of an array."""
    with np.errstate(over="ignore"):
        x = x.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def pair_hash(pairs):
    with np.errstate(over="ignore"):
        return mixed(mixed(pairs.user.to_numpy()) ^ pairs.item.to_numpy().astype(np.uint64))


def lastfm(folder):
    pairs = pq.read_table(f"{folder}/user_artists.parquet").to_pandas()
    pairs.columns = ["user", "item", "count"]
    names = pq.read_table(f"{folder}/artists.parquet").to_pandas().set_index("artist_id").name
    tags = pq.read_table(f"{folder}/user_taggedartists.parquet").to_pandas()
    words = pq.read_table(f"{folder}/tags.parquet").to_pandas().set_index("tag_id").tag
    tags = tags.groupby(["artist_id", "tag_id"]).size().reset_index(name="count")
    tags["tag"] = tags.tag_id.map(words)
    return pairs, names, tags


def taste_profile(path):
    pairs = pq.read_table(path).to_pandas()
    pairs.columns = ["user", "item", "count"]
    return pairs, None, None


def content(tags, items):
    """Genres (the most used tags) and vectors (tf-idf, truncated SVD) of items."""
    from scipy.sparse import csr_matrix
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import normalize

    place = {item: row for row, item in enumerate(items)}
    tags = tags[tags.artist_id.isin(place)]
    used = tags.groupby("tag_id").artist_id.nunique()
    tags = tags[tags.tag_id.isin(used[used >= MIN_LISTENERS].index)]
    column = {tag: at for at, tag in enumerate(sorted(tags.tag_id.unique()))}
    at = (tags.artist_id.map(place), tags.tag_id.map(column))
    weights = csr_matrix((np.log1p(tags["count"]), at), shape=(len(items), len(column)))
    vectors = TruncatedSVD(DIM, random_state=1).fit_transform(TfidfTransformer().fit_transform(weights))
    best = tags.sort_values(["count", "tag_id"], ascending=[False, True]).groupby("artist_id").head(TAGS_A_TRACK)
    return best.groupby("artist_id").tag.apply(list), normalize(vectors).astype(np.float32)


def plays_of(train):
    """Listening events: as many as the logarithm of the count, spread over the year before AS_OF by the pair's hash."""
    repeats = (1 + np.log2(train["count"].clip(lower=1))).astype(int).clip(upper=12)
    rows = train.loc[train.index.repeat(repeats), ["user", "item"]].reset_index(drop=True)
    spread = mixed(pair_hash(rows) + np.arange(len(rows), dtype=np.uint64)) % np.uint64(360 * 86_400)
    at = AS_OF - pd.to_timedelta(spread.astype(np.int64) + 3_600, unit="s")
    return pa.table({
        "user_id": "u" + rows.user.astype(str), "track_id": "t" + rows.item.astype(str),
        "played_at": pa.array(at.astype("datetime64[ms, UTC]"), pa.timestamp("ms", "UTC")),
        "listened_ms": np.full(len(rows), 180_000, np.int64), "action": ["play"] * len(rows),
    })


def ids(pairs, **more):
    return pa.table({"user_id": "u" + pairs.user.astype(str), "track_id": "t" + pairs.item.astype(str), **more})


def write(folder, pairs, held_out, names, tags):
    os.makedirs(folder, exist_ok=True)
    part = pair_hash(pairs) % np.uint64(5)
    asked, train = pairs[part == held_out], pairs[part > held_out]
    is_new = mixed(pairs.user.unique()) % np.uint64(10) == 0
    new = set(pairs.user.unique()[is_new])
    ranked = train.assign(order=pair_hash(train)).sort_values("order").groupby("user").cumcount()
    train = train[~train.user.isin(new) | (ranked.reindex(train.index) < NEW_KEEPS)].copy()
    train.loc[train.user.isin(new), "count"] = 1
    items = np.sort(pairs.item.unique())
    listeners = train.groupby("item").size().reindex(items).fillna(0)
    genres, vectors = content(tags, items) if tags is not None else ({}, None)
    name = (lambda item: str(names.get(item, item))) if names is not None else str
    tables = {
        "tracks": pa.table({
            "track_id": [f"t{item}" for item in items],
            "title": [name(item) for item in items],
            "artist_ids": [[f"a{item}"] for item in items],
            "artist_names": [[name(item)] for item in items],
            "genres": pa.array([genres.get(item, []) for item in items], pa.list_(pa.string())),
            "popularity": (100 * listeners.rank(pct=True)).to_numpy(np.float32),
            "duration_ms": np.full(len(items), 200_000, np.int64),
            "explicit": np.zeros(len(items), bool),
        }),
        "users": pa.table({"user_id": [f"u{user}" for user in np.sort(train.user.unique())]}),
        "plays": plays_of(train),
        "counts": ids(train, play_count=train["count"].to_numpy()),
        "asked": ids(asked[asked.user.isin(train.user)]),
        "asked_new": ids(asked[asked.user.isin(train.user) & asked.user.isin(new)]),
    }
    if vectors is not None:
        known = np.linalg.norm(vectors, axis=1) > 0
        rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors[known].ravel()), DIM)
        tables["audio"] = pa.table({"track_id": [f"t{item}" for item in items[known]], "vector": rows})
    for table, rows in tables.items():
        pq.write_table(rows, f"{folder}/{table}.parquet")
        print(f"{folder}/{table}.parquet: {rows.num_rows:,} rows")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=("lastfm", "taste_profile"))
    parser.add_argument("source")
    parser.add_argument("out")
    args = parser.parse_args()
    pairs, names, tags = {"lastfm": lastfm, "taste_profile": taste_profile}[args.set](args.source)
    count = pairs.groupby("item").user.nunique()
    pairs = pairs[pairs.item.isin(count[count >= MIN_LISTENERS].index)].reset_index(drop=True)
    for name, held_out in (("validation", 1), ("test", 0)):
        write(f"{args.out}/{name}", pairs, held_out, names, tags)


if __name__ == "__main__":
    main()
