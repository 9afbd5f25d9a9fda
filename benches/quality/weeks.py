"""Weeks in the life of a service: lists for everybody, shown, and saves of what is liked come back.

What is liked is the validation part of a set, which the model was not trained on; what was learnt is judged on the test part.
"""
import glob
import json
import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HERE = os.path.dirname(os.path.abspath(__file__))
PROTO = f"{HERE}/../../proto"
FIRST = pd.Timestamp("2026-11-01T00:00:00Z")
EVENTS_A_CALL = 500
TIMEOUT_S = 60


def milliseconds(moment):
    return int(moment.timestamp() * 1000)


def text(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def stubs(folder):
    """The client of the events API, made from its definition."""
    from grpc_tools import protoc

    os.makedirs(folder, exist_ok=True)
    files = [f"{PROTO}/segue/v1/{name}.proto" for name in ("types", "feedback")]
    if protoc.main(["protoc", f"-I{PROTO}", f"--python_out={folder}", f"--grpc_python_out={folder}", *files]):
        sys.exit(f"no client could be made of {files}")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    from segue.v1 import feedback_pb2, feedback_pb2_grpc

    return feedback_pb2, feedback_pb2_grpc


class Server:
    """`segue serve` on a database, for as long as the block lasts."""

    def __init__(self, segue, database, log):
        self.command = [segue, "serve", "--data", database, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--set", "log.format=json"]
        self.log = log

    def __enter__(self):
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(self.command, stderr=log)
        try:
            self.address = self.ready()
        except BaseException:
            self.process.kill()
            raise
        return self

    def ready(self):
        """The address, once it serves."""
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end and self.process.poll() is None:
            with open(self.log) as log:
                said = log.read()
            if '"message":"ready"' in said:
                return re.search(r'"grpc":"(?:http://)?([^"]+)"', said).group(1)
            time.sleep(0.1)
        sys.exit(f"the server is not ready: see {self.log}")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        if status:
            sys.exit(f"the server ended with {status}: see {self.log}")


def show(segue, database, lists, at, client, log):
    """Tells that each list was shown to whom it was made for."""
    import grpc

    messages, services = client
    tokens = lists.drop_duplicates("user_id")
    event = lambda row: messages.FeedbackEvent(
        user_id=row.user_id, action=messages.ACTION_SERVED, at_ms=milliseconds(at), impression=row.impression)
    events = [event(row) for row in tokens.itertuples()]
    with Server(segue, database, log) as server, grpc.insecure_channel(server.address) as channel:
        stub = services.FeedbackStub(channel)
        for start in range(0, len(events), EVENTS_A_CALL):
            request = messages.RecordRequest(events=events[start : start + EVENTS_A_CALL])
            if not all(stub.Record(request, timeout=TIMEOUT_S).accepted):
                sys.exit("a list was shown before")


def saved(lists, liked, at, path):
    """Writes saves of those tracks of the lists that are liked."""
    found = lists.merge(liked, on=["user_id", "track_id"])[["user_id", "track_id"]]
    times = pa.array([milliseconds(at)] * len(found), pa.timestamp("ms", "UTC"))
    table = pa.table({"user_id": found.user_id, "track_id": found.track_id, "played_at": times,
                      "listened_ms": pa.array([0] * len(found), pa.int64()), "action": ["save"] * len(found)})
    pq.write_table(table, path)
    return len(found)


def live(database, recipe, weeks, liked, work):
    """So many weeks of lists by a recipe; what they bring in is learnt from. Returns how many tracks were saved in each, and
    the time behind the last one."""
    run, segue, path = database.run, database.segue, database.path
    client = stubs(f"{work}/stubs")
    liked = pq.read_table(liked).to_pandas()[["user_id", "track_id"]]
    saves = []
    for week in range(weeks):
        at = FIRST + pd.Timedelta(days=7 * week)
        out = f"{work}/lists-{week}"
        run(segue, "batch", "--surface", "discover_weekly", "--recipe", recipe, "--as-of", text(at), "--partitions", "4", "--out", out, "--data", path)
        lists = pa.concat_tables(pq.read_table(file) for file in sorted(glob.glob(f"{out}/*.parquet"))).to_pandas()
        show(segue, path, lists, at, client, f"{work}/server-{week}.log")
        saves.append(saved(lists, liked, at + pd.Timedelta(hours=1), f"{work}/saves-{week}.parquet"))
        if not saves[-1]:
            sys.exit("nothing of the lists is liked: there is nothing to learn")
        # A load that ends has everything learnt anew.
        run(segue, "load", "plays", f"{work}/saves-{week}.parquet", "--data", path)
    return saves, text(FIRST + pd.Timedelta(days=7 * weeks))
