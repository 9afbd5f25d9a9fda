#!/usr/bin/env python3
"""Both listening sets from the files to the judgement, in one command: what RESULTS.md says of lists must hold.

  python3 -m venv .venv-bench && .venv-bench/bin/pip install -r benches/quality/requirements.txt
  cargo build --release --bin segue
  .venv-bench/bin/python benches/quality/check.py --data DATA --work WORK

DATA holds the folders lastfm and taste_profile. Makes the files (prepare.py), trains and loads (load.sh), and asks the
recipes of this folder for the held-out pairs of the test part. Then the same without the validation part: lists by learnt
weights are shown for two weeks, what is in that part is saved (weeks.py), and lists are asked for the test part again. Ends with
an error when a bound is missed. Three to four minutes.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

import weeks

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
    """One set, trained without its test part (`test`), or without the validation part either (`validation`), and loaded."""

    run = staticmethod(run)

    def __init__(self, a, name, part, recipes):
        self.segue, self.folder, self.path = a.segue, f"{a.work}/{name}", f"{a.work}/{name}/database-{part}"
        os.environ["SEGUE"] = a.segue
        run(f"{HERE}/load.sh", f"{self.folder}/{part}", self.path, *SETS[name]["train"].split())
        for recipe in recipes:
            run(self.segue, "recipe", "put", f"{HERE}/recipes/{recipe}.toml", "--data", self.path)

    def compare(self, base, other, asked, as_of=AS_OF):
        """What `segue eval` says of two recipes."""
        command = [self.segue, "eval", "--data", self.path, "--test", f"{self.folder}/test/{asked}.parquet", "--recipe", base]
        return json.loads(run(*command, "--against", other, "--k", "10", "--explore", "off", "--as-of", as_of, "--json"))


def prepare(a, name):
    shutil.rmtree(f"{a.work}/{name}", ignore_errors=True)
    run(sys.executable, f"{HERE}/prepare.py", name, f"{a.data}/{SETS[name]['files']}", f"{a.work}/{name}")


def fitted(a, name):
    """What must hold of the recipe that was fitted: text, value, least value."""
    database = Database(a, name, "test", {"collab", "trending", name})
    whole = database.compare("collab", name, "asked")
    base, blend = whole["base"], whole["other"]
    few = database.compare("trending", name, "asked_new")
    ratio = lambda field: blend[field] / base[field]
    return [
        ("NDCG@10 of the best source, times", ratio("ndcg"), 0.98),
        ("upper end of the difference to it", whole["differences"]["ndcg"]["interval"][1], 0.0),
        ("intra-list distance, times", ratio("intra_list_distance"), 1.10),
        ("coverage, times", ratio("coverage"), 1.5),
        ("new listeners: NDCG@10 of popularity, times", few["other"]["ndcg"] / few["base"]["ndcg"], 1.15),
        ("new listeners: lower end of the gain, times", few["differences"]["ndcg"]["interval"][0] / few["base"]["ndcg"], 0.15),
        ("lists without a violation, share", 1 - blend["violations"] / blend["lists"], 1.0),
    ]


def learnt(a, name):
    """What must hold of weights that are learnt from what was shown, beginning with equal ones."""
    database = Database(a, name, "validation", {"collab", "even", "learnt"})
    saves, after = weeks.live(database, "learnt", 2, f"{database.folder}/validation/asked.parquet", database.folder)
    best, even = (database.compare(base, "learnt", "asked", after) for base in ("collab", "even"))
    print(f"      {name:<14} saves a week: {', '.join(map(str, saves))}; NDCG@10 of the best source {best['base']['ndcg']:.4f}, "
          f"by learnt weights {best['other']['ndcg']:.4f} (difference {best['differences']['ndcg']['interval']}), by equal ones {even['base']['ndcg']:.4f}")
    return [
        ("learnt: upper end of the difference to the best", best["differences"]["ndcg"]["interval"][1], 0.0),
        ("learnt: lower end of the difference to equal", even["differences"]["ndcg"]["interval"][0], 0.002),
    ]


def main(a):
    missed = 0
    for name in SETS:
        prepare(a, name)
        for text, value, least in fitted(a, name) + learnt(a, name):
            missed += value < least
            print(f"{'ok   ' if value >= least else 'WRONG'} {name:<14} {text:<46} {value:7.3f} (must be >= {least})", flush=True)
    sys.exit(f"{missed} bounds were missed" if missed else 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of the listening sets")
    parser.add_argument("--work", required=True, help="folder for files and databases; what is there is replaced")
    parser.add_argument("--segue", default="target/release/segue", help="the program")
    main(parser.parse_args())
