//! Whether a reopened database holds what was acknowledged: each record whole, every vector found, recall as before.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use segue::Segue;
use segue::node::OpenReport;
use segue::pipeline::request::SearchRequest;
use segue::types::{Metric, SplitMix64, Track, TrackId, shard_of_slot, slot_of};

use crate::child::with_shards;
use crate::kill::lane_index;
use crate::script::{self, BATCH, CatalogOp, LOAD_PIECES, LOAD_ROWS, Lane, ListenerOp};
use crate::support::{STATIC, audio_vector, space};

/// The longest that opening may take before it counts as a hang.
const OPEN_LIMIT: Duration = Duration::from_secs(60);
/// Queries of the recall check.
const QUERIES: u64 = 50;

/// How many operations of each lane were acknowledged; they are done in order, so a count says which.
#[derive(Debug, Clone, Default)]
pub struct Acknowledged {
    counts: [u64; 3],
}

impl Acknowledged {
    /// Takes note of a line of a child; other lines are ignored.
    pub fn note(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (Some(lane), Some(number)) = (words.next().and_then(Lane::from_letter), words.next()) else {
            return;
        };
        let number: u64 = number.parse().expect("the child counts in numbers");
        let count = &mut self.counts[lane_index(lane)];
        assert_eq!(*count, number, "the child skipped an operation of {lane:?}");
        *count += 1;
    }

    /// The operations to go on with: those that were not acknowledged, again.
    pub fn next(&self) -> [u64; 3] {
        self.counts
    }

    /// Of all lanes.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn of(&self, lane: Lane) -> u64 {
        self.counts[lane_index(lane)]
    }
}

/// Opens the database, and fails instead of hanging.
pub fn opened(dir: &Path, shards: u16) -> (Segue, OpenReport) {
    let (sender, receiver) = channel();
    let dir = dir.to_owned();
    std::thread::spawn(move || sender.send(Segue::open(&dir, with_shards(shards))));
    let result = receiver.recv_timeout(OPEN_LIMIT).expect("opening after a crash takes less than a minute");
    result.expect("a database opens after a crash")
}

/// What a track may be after a crash: its acknowledged version, or what the unacknowledged operation would have made.
#[derive(Debug, Clone, Default)]
struct Expected {
    track: Option<u64>,
    vector: Option<u64>,
}

/// The catalogue after the first `count` operations, by track number.
fn model(seed: u64, count: u64) -> HashMap<u64, Expected> {
    let mut state: HashMap<u64, Expected> = HashMap::new();
    for number in 0..count {
        match script::catalog_op(seed, number) {
            CatalogOp::Tracks { first, version } => {
                (first..first + BATCH)
                    .for_each(|track| state.entry(track).or_default().track = Some(version));
            }
            CatalogOp::Vectors { first, version } => {
                (first..first + BATCH)
                    .for_each(|track| state.entry(track).or_default().vector = Some(version));
            }
            CatalogOp::Delete { number } => *state.entry(number).or_default() = Expected::default(),
        }
    }
    state
}

/// Panics with what is missing or wrong; says what was compared.
pub fn check(engine: &Segue, seed: u64, acknowledged: &Acknowledged, shards: u16) -> String {
    let tracks = check_catalog(engine, seed, acknowledged.of(Lane::Catalog), shards);
    let users = check_listeners(engine, seed, acknowledged.of(Lane::Listeners));
    let loaded = check_load(engine, acknowledged.of(Lane::Load));
    format!("{tracks} tracks, {users} listeners, {loaded} loaded vectors")
}

fn check_catalog(engine: &Segue, seed: u64, count: u64, shards: u16) -> usize {
    let (done, begun) = (model(seed, count), model(seed, count + 1));
    let all = all_tracks(engine);
    check_vectors(engine, &done, &begun);
    check_recall(engine, &begun, seed ^ count);
    let mut live = 0;
    for shard in 0..usize::from(shards) {
        let is_own = |id: &TrackId| shard_of_slot(slot_of(id.as_str()), shards) == shard;
        let own = |state: &HashMap<u64, Expected>| -> HashMap<u64, Expected> {
            let numbers = state.iter().filter(|(number, _)| is_own(&script::track_id(**number)));
            numbers.map(|(number, expected)| (*number, expected.clone())).collect()
        };
        let found = all.iter().filter(|(id, _)| is_own(id));
        let found = found.map(|(id, track)| (id.clone(), track.clone())).collect();
        live += check_tracks(&found, &own(&done), &own(&begun), count);
    }
    assert_eq!(all.len(), live, "tracks");
    live
}

/// The tracks of one shard, which takes its part of an operation whole or not at all.
fn check_tracks(
    found: &HashMap<TrackId, Track>,
    done: &HashMap<u64, Expected>,
    begun: &HashMap<u64, Expected>,
    count: u64,
) -> usize {
    // All rows of the operation that was under way, or none of them.
    let state = if matches(found, done) {
        done
    } else {
        let difference = differences(found, done);
        assert!(matches(found, begun), "tracks differ after {count} acknowledged operations:\n{difference}");
        begun
    };
    state.values().filter(|expected| expected.track.is_some()).count()
}

fn all_tracks(engine: &Segue) -> HashMap<TrackId, Track> {
    let mut all = HashMap::new();
    let mut cursor = None;
    loop {
        let (page, next) = engine.list_tracks(cursor, 1_000).expect("tracks are listed");
        for track in page {
            let twice = all.insert(track.track_id.clone(), track);
            assert!(twice.is_none(), "listed twice: {twice:?}");
        }
        cursor = next;
        if cursor.is_none() {
            return all;
        }
    }
}

fn expected_track(number: u64, expected: &Expected) -> Option<Track> {
    expected.track.map(|version| crate::support::track(number, version))
}

fn matches(found: &HashMap<TrackId, Track>, state: &HashMap<u64, Expected>) -> bool {
    // Both ways: an operation under way may have added tracks that the state does not know.
    found.len() == state.values().filter(|expected| expected.track.is_some()).count()
        && state.iter().all(|(number, expected)| {
            found.get(&script::track_id(*number)) == expected_track(*number, expected).as_ref()
        })
}

fn differences(found: &HashMap<TrackId, Track>, state: &HashMap<u64, Expected>) -> String {
    let mut lines = Vec::new();
    for (number, expected) in state {
        let (is, should) = (found.get(&script::track_id(*number)), expected_track(*number, expected));
        if is != should.as_ref() {
            lines.push(format!(
                "t{number}: is {:?}, should be {:?}",
                is.map(|track| &track.title),
                should.map(|track| track.title)
            ));
        }
    }
    lines.sort();
    lines.truncate(10);
    lines.join("\n")
}

/// Every acknowledged vector is there, bit for bit; one under way is there whole or not at all.
fn check_vectors(engine: &Segue, done: &HashMap<u64, Expected>, begun: &HashMap<u64, Expected>) {
    for (number, expected) in done {
        let may = [expected.vector, begun.get(number).and_then(|begun| begun.vector)];
        let found = engine.vector(&space("audio"), Some(STATIC), script::track_id(*number).as_str()).ok();
        let fits = may.iter().any(|version| version.map(|version| audio_vector(*number, version)) == found);
        assert!(fits, "t{number}: vector {found:?} is of none of the versions {may:?}");
    }
}

fn nearest(engine: &Segue, vector: Vec<f32>, exact: bool) -> Vec<TrackId> {
    let request = SearchRequest {
        vector: Some(vector),
        metric: Some(Metric::Cosine),
        exact,
        ..SearchRequest::new(space("audio"))
    };
    let reply = engine.search(request).expect("search works after a crash");
    reply.tracks.into_iter().map(|listed| listed.track_id).collect()
}

/// A vector's own query finds it first, and the graphs find what an exact scan finds.
fn check_recall(engine: &Segue, state: &HashMap<u64, Expected>, seed: u64) {
    let mut stored: Vec<u64> =
        state.iter().filter(|(_, expected)| expected.vector.is_some()).map(|(number, _)| *number).collect();
    if stored.len() < 100 {
        return;
    }
    stored.sort_unstable();
    let mut rng = SplitMix64::new(seed);
    let (mut hits, mut wanted) = (0, 0);
    for _ in 0..QUERIES {
        let number = stored[rng.below(stored.len() as u64) as usize];
        let Ok(vector) = engine.vector(&space("audio"), Some(STATIC), script::track_id(number).as_str())
        else {
            continue;
        };
        let exact = nearest(engine, vector.clone(), true);
        assert_eq!(
            exact.first(),
            Some(&script::track_id(number)),
            "the exact search for t{number} finds {exact:?}"
        );
        let graph = nearest(engine, vector, false);
        hits += graph.iter().filter(|track| exact.contains(track)).count();
        wanted += exact.len();
    }
    assert!(hits * 100 >= wanted * 95, "recall@10 fell to {hits} of {wanted}");
}

/// Records are those of the last acknowledged write; events that were acknowledged are known when they come again.
fn check_listeners(engine: &Segue, seed: u64, count: u64) -> usize {
    let mut written: HashMap<_, u64> = HashMap::new();
    for number in 0..count {
        if let ListenerOp::Upsert(user) = script::listener_op(seed, number) {
            written.insert(user.user_id, number);
        }
    }
    for (user, number) in &written {
        let found = engine.user(user).unwrap_or_else(|error| panic!("{user} is lost: {error}"));
        let acknowledged = script::listener_op(seed, *number);
        let under_way = script::listener_op(seed, count);
        let found = ListenerOp::Upsert(found);
        assert!(found == acknowledged || found == under_way, "{user}: {found:?} is not {acknowledged:?}");
    }
    // Repeating every acknowledged event would hide a loss from the next round: the last ones are enough.
    for number in count.saturating_sub(40)..count {
        if let ListenerOp::Events(events) = script::listener_op(seed, number) {
            let (new, _) = engine.feedback(events).expect("feedback works after a crash");
            assert!(new.iter().all(|new| !new), "events of operation {number} were lost: {new:?}");
        }
    }
    written.len()
}

/// Rows of a load that were acknowledged need not be sent again; those of finished loads are there.
fn check_load(engine: &Segue, count: u64) -> u64 {
    let Some(generation) = engine.generations().expect("generations are listed").first().map(|info| info.id)
    else {
        assert_eq!(count, 0, "the generation is lost");
        return 0;
    };
    if count > 0 {
        let (name, first_row) = script::load_piece(count - 1);
        let progress = engine.load_progress(&name).expect("progress is known");
        let least = first_row + LOAD_ROWS;
        assert!(
            progress.rows_done >= least,
            "{name}: acknowledged {least} rows, kept {}",
            progress.rows_done
        );
        let finished = count.is_multiple_of(LOAD_PIECES);
        assert!(progress.finished || !finished, "{name} was finished");
    }
    let complete = count / LOAD_PIECES * LOAD_PIECES;
    for number in complete.saturating_sub(2 * LOAD_PIECES)..complete {
        for row in script::load_rows(number) {
            let found = engine.vector(&space("user_cf"), Some(generation), &row.id);
            assert_eq!(found.ok().as_ref(), Some(&row.vector), "{} of a finished load", row.id);
        }
    }
    complete * LOAD_ROWS
}
