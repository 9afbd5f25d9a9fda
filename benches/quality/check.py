#!/usr/bin/env python3
"""Both listening sets from the files to the judgement, in one command: what RESULTS.md says of lists must hold.

  python3 -m venv .venv-bench && .venv-bench/bin/pip install -r benches/quality/requirements.txt
  cargo build --release --bin segue
  .venv-bench/bin/python benches/quality/check.py --data DATA --work WORK

DATA holds the folders lastfm and taste_profile. Makes the files (prepare.py), trains and loads (load.sh), and asks the
recipes of this folder for the held-out pairs of the test part. Ends with an error when a bound is missed. About two minutes.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
AS_OF = "2026-11-01T00:00:00Z"
SETS = {
    "lastfm": dict(files="lastfm", train="--alpha0 .05 --lambda .03"),
    "taste_profile": dict(files="taste_profile/interactions.parquet", train="--alpha0 .02 --lambda .02 --alpha .2 --dim 256"),
}


def run(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit(f"failed with {result.returncode}: {' '.join(command)}\n{result.stdout}")
    return result.stdout


class Database:
    """One set, trained without its test part and loaded."""

    def __init__(self, a, name, settings):
        self.segue, self.folder, self.path = a.segue, f"{a.work}/{name}/test", f"{a.work}/{name}/database"
        shutil.rmtree(f"{a.work}/{name}", ignore_errors=True)
        run(sys.executable, f"{HERE}/prepare.py", name, f"{a.data}/{settings['files']}", f"{a.work}/{name}")
        os.environ["SEGUE"] = a.segue
        run(f"{HERE}/load.sh", self.folder, self.path, *settings["train"].split())
        for recipe in {"collab", "trending", name}:
            run(self.segue, "recipe", "put", f"{HERE}/recipes/{recipe}.toml", "--data", self.path)

    def compare(self, base, other, asked):
        """What `segue eval` says of two recipes."""
        command = [self.segue, "eval", "--data", self.path, "--test", f"{self.folder}/{asked}.parquet", "--recipe", base]
        return json.loads(run(*command, "--against", other, "--k", "10", "--explore", "off", "--as-of", AS_OF, "--json"))


def checks(name, database):
    """What must hold: text, value, least value."""
    whole = database.compare("collab", name, "asked")
    base, blend = whole["base"], whole["other"]
    few = database.compare("trending", name, "asked_new")
    ratio = lambda field: blend[field] / base[field]
    return [
        ("NDCG@10 of the best source, times", ratio("ndcg"), 0.98),
        ("upper end of the difference to it", whole["ndcg_difference_interval"][1], 0.0),
        ("intra-list distance, times", ratio("intra_list_distance"), 1.10),
        ("coverage, times", ratio("coverage"), 1.5),
        ("new listeners: NDCG@10 of popularity, times", few["other"]["ndcg"] / few["base"]["ndcg"], 1.15),
        ("lists without a violation, share", 1 - blend["violations"] / blend["lists"], 1.0),
    ]


def main(a):
    missed = 0
    for name, settings in SETS.items():
        for text, value, least in checks(name, Database(a, name, settings)):
            missed += value < least
            print(f"{'ok   ' if value >= least else 'WRONG'} {name:<14} {text:<46} {value:7.3f} (must be >= {least})", flush=True)
    sys.exit(f"{missed} bounds were missed" if missed else 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of the listening sets")
    parser.add_argument("--work", required=True, help="folder for files and databases; what is there is replaced")
    parser.add_argument("--segue", default="target/release/segue", help="the program")
    main(parser.parse_args())
