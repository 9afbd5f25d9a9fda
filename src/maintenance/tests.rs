//! A track shard against a model: random writes, seals, merges, crashes.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use segue_storage_format::manifest::segment_folder;
use segue_storage_format::{Residence, Verify};

use super::{IndexChoice, merge, plan_merges, seal, write_vector_segment};
use crate::error::Result;
use crate::storage::track_shard::command::{
    NewSegment, SegmentOrigin, TrackCommand, TrackReply, VectorSetSpec,
};
use crate::storage::track_shard::segment::PostingField;
use crate::storage::track_shard::{Opening, TrackStateMachine, decode_reply, encode};
use crate::types::{
    Artist, ArtistId, ArtistKey, AudioFeatures, GenerationId, Metric, RecordingId, Region, RegionSet,
    ShardId, SpaceName, SplitMix64, Track, TrackId,
};

/// A shard with a log of its own: entries are numbered, kept, and replayed after a crash.
pub(super) struct Harness {
    folder: std::path::PathBuf,
    pub(super) machine: parking_lot::Mutex<TrackStateMachine>,
    pub(super) log: parking_lot::Mutex<Vec<Vec<u8>>>,
}

impl Harness {
    pub(super) fn open(folder: &Path, log: Vec<Vec<u8>>) -> Self {
        let opening = Opening { verify: Verify::Full, index: Residence::Memory, shards: 1, health: None };
        let (mut machine, repairs) = TrackStateMachine::open(folder, ShardId(0), opening).unwrap();
        assert_eq!(repairs, Vec::<String>::new());
        let (applied, _) = machine.recovered();
        for (index, bytes) in (1_u64..).zip(&log).filter(|(index, _)| *index > applied) {
            machine.apply(&[(index, 1, bytes)]).unwrap();
        }
        // As a start does.
        machine.shard().remove_garbage().unwrap();
        Self { folder: folder.to_owned(), machine: machine.into(), log: log.into() }
    }

    pub(super) fn propose(&self, command: &TrackCommand) -> Result<TrackReply> {
        let bytes = encode(command)?;
        let mut log = self.log.lock();
        log.push(bytes.clone());
        let replies = self.machine.lock().apply(&[(log.len() as u64, 1, &bytes)])?;
        decode_reply(&replies[0])
    }

    fn crash(self) -> Self {
        let Self { folder, machine, log } = self;
        drop(machine);
        Self::open(&folder, log.into_inner())
    }
}

pub(super) fn track(rng: &mut SplitMix64, number: u64) -> Track {
    let letter = |n: u64| char::from(b'a' + u8::try_from(n % 4).unwrap());
    let regions = match rng.below(3) {
        0 => RegionSet::All,
        1 => RegionSet::Only(vec!["DE".parse().unwrap()]),
        _ => RegionSet::Only(vec![]),
    };
    Track {
        track_id: TrackId::new(format!("t{number}")).unwrap(),
        recording_id: RecordingId::new(format!("r{}", rng.below(20))).unwrap(),
        title: format!("title {}", rng.below(1_000)),
        artists: vec![Artist { id: ArtistId::new(letter(rng.next_u64())).unwrap(), name: "A".to_owned() }],
        album_id: None,
        album: None,
        label: None,
        genres: vec![],
        release_date: None,
        duration_ms: Some(1_000),
        popularity: Some(rng.below(100) as f32),
        explicit: [None, Some(true), Some(false)][rng.below(3) as usize],
        regions,
        audio: AudioFeatures::default(),
    }
}

#[derive(Default)]
struct Model {
    tracks: BTreeMap<String, Track>,
    vectors: BTreeMap<String, Vec<f32>>,
    ordinals: BTreeMap<String, u32>,
}

pub(super) fn spec() -> VectorSetSpec {
    VectorSetSpec {
        space: SpaceName::new("audio").unwrap(),
        generation: GenerationId::STATIC,
        dim: 3,
        metrics: vec![Metric::Cosine],
    }
}

fn check(harness: &Harness, model: &mut Model) {
    let view = harness.machine.lock().shard().view();
    assert_eq!(view.live_tracks(), model.tracks.len() as u64);
    let set = view.set(&spec().space, GenerationId::STATIC);
    for (id, track) in &model.tracks {
        let ordinal = view.find(&track.track_id).unwrap();
        assert_eq!(*model.ordinals.entry(id.clone()).or_insert(ordinal), ordinal, "an ordinal is for ever");
        assert_eq!(&view.row(ordinal).unwrap().track, track);
        assert_eq!(view.hot(ordinal).popularity, track.popularity.unwrap());
        assert_eq!(set.and_then(|set| set.vector(ordinal)), model.vectors.get(id).map(Vec::as_slice));
        let versions: BTreeSet<u32> =
            view.versions(ordinal).filter(|&version| view.hot(version).live).collect();
        let expected: BTreeSet<u32> = model
            .tracks
            .values()
            .filter(|other| other.recording_id == track.recording_id)
            .map(|other| view.find(&other.track_id).unwrap())
            .collect();
        assert_eq!(versions, expected);
    }
    assert_eq!(set.map_or(0, |set| set.live), model.vectors.len() as u64);
    let posted = |field, key| view.postings(field, key).unwrap().iter().collect::<BTreeSet<u32>>();
    let expect = |keep: &dyn Fn(&Track) -> bool| -> BTreeSet<u32> {
        model
            .tracks
            .values()
            .filter(|track| keep(track))
            .map(|track| view.find(&track.track_id).unwrap())
            .collect()
    };
    for letter in ["a", "b", "c", "d"] {
        let with = expect(&|track| track.artists[0].id.as_str() == letter);
        assert_eq!(posted(PostingField::Artist, ArtistKey::of(letter).0), with);
    }
    let region: Region = "DE".parse().unwrap();
    let german = expect(&|track| matches!(&track.regions, RegionSet::Only(only) if only.contains(&region)));
    assert_eq!(posted(PostingField::Region, u64::from(region.number())), german);
}

/// Few rows are enough for an index, and so for an order of rows that is not the one they came in.
fn ordering() -> IndexChoice {
    IndexChoice { rows_min: 16, ..IndexChoice::default() }
}

/// A bulk load of vectors: files first, then one entry.
fn load(harness: &Harness, model: &mut Model, rng: &mut SplitMix64) {
    let shard = harness.machine.lock().shard();
    let view = shard.view();
    let mut rows: Vec<(u32, Vec<f32>)> = Vec::new();
    for (id, track) in &model.tracks {
        if rng.below(3) == 0 {
            let row: Vec<f32> = (0..3).map(|_| rng.uniform() as f32 + 0.1).collect();
            rows.push((view.find(&track.track_id).unwrap(), row.clone()));
            model.vectors.insert(id.clone(), row);
        }
    }
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|(ordinal, _)| *ordinal);
    let reserved = harness.propose(&TrackCommand::ReserveSegments { count: 1 }).unwrap();
    let TrackReply::Done(id) = reserved else { panic!("{reserved:?}") };
    let rows = rows.iter().map(|(ordinal, row)| (*ordinal, row.as_slice()));
    let choice = ordering();
    let entry = write_vector_segment(shard.folder(), id, &spec(), rows, &choice, &|_| {}).unwrap();
    let new = NewSegment { entry, set: Some(spec()) };
    let command =
        TrackCommand::AddSegments { segments: vec![new], origin: SegmentOrigin::Loaded, load: None };
    assert_eq!(harness.propose(&command).unwrap(), TrackReply::Done(1));
}

fn merge_all(harness: &Harness) -> usize {
    let shard = harness.machine.lock().shard();
    let plans = plan_merges(&shard.view());
    for plan in &plans {
        assert!(merge(&shard, plan, &|command| harness.propose(command), &ordering(), &|_| {}).unwrap());
    }
    plans.len()
}

fn seal_all(harness: &Harness) -> Result<()> {
    let shard = harness.machine.lock().shard();
    seal(&shard, &|command| harness.propose(command), &IndexChoice::default(), &|_| {})
}

/// A shard with four loads, which are worth merging.
fn four_loads(folder: &Path) -> (Harness, Model, SplitMix64) {
    let harness = Harness::open(folder, Vec::new());
    let (mut rng, mut model) = (SplitMix64::new(9), Model::default());
    let tracks: Vec<Track> = (0..300).map(|n| track(&mut rng, n)).collect();
    model.tracks.extend(tracks.iter().map(|track| (track.track_id.as_str().to_owned(), track.clone())));
    harness.propose(&TrackCommand::UpsertTracks { tracks, load: None }).unwrap();
    seal_all(&harness).unwrap();
    (0..4).for_each(|_| load(&harness, &mut model, &mut rng));
    (harness, model, rng)
}

#[test]
fn files_of_a_segment_whose_entry_never_came_go_after_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, ..) = four_loads(folder.path());
    let shard = harness.machine.lock().shard();
    let reserved = harness.propose(&TrackCommand::ReserveSegments { count: 1 }).unwrap();
    let TrackReply::Done(id) = reserved else { panic!("{reserved:?}") };
    let row = [0.5_f32, 0.5, 0.5];
    let rows = [(0_u32, &row[..])].into_iter();
    let entry = write_vector_segment(shard.folder(), id, &spec(), rows, &ordering(), &|_| {}).unwrap();
    shard.stage(&NewSegment { entry, set: Some(spec()) }).unwrap();
    let files = segment_folder(shard.folder(), id);
    let (now, minutes) = (Instant::now(), |minutes: u64| Duration::from_secs(60 * minutes));
    for after in [minutes(0), minutes(59)] {
        shard.forget_staged(now + after);
        shard.remove_garbage().unwrap();
        assert!(files.exists() && shard.staged_ids() == [id], "its entry may still come");
    }
    shard.forget_staged(now + minutes(61));
    shard.remove_garbage().unwrap();
    assert!(!files.exists() && shard.staged_ids().is_empty());
}

#[test]
fn loads_that_were_merged_away_are_replayed_after_two_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, mut model, _) = four_loads(folder.path());
    assert_eq!(merge_all(&harness), 1);
    // No checkpoint names the loads or what they became: a start must keep the files of both, or the next one fails.
    for _ in 0..3 {
        harness = harness.crash();
        check(&harness, &mut model);
    }
    seal_all(&harness).unwrap();
    seal_all(&harness).unwrap();
    check(&harness.crash(), &mut model);
}

#[test]
fn a_merge_between_the_halves_of_a_seal_does_not_stop_checkpoints_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, mut model, mut rng) = four_loads(folder.path());
    seal_all(&harness).unwrap();
    harness
        .propose(&TrackCommand::UpsertTracks { tracks: vec![track(&mut rng, 1_000)], load: None })
        .unwrap();
    model.tracks.insert("t1000".to_owned(), {
        let view = harness.machine.lock().shard().view();
        view.row(view.ordinal_of("t1000").unwrap()).unwrap().track.clone()
    });
    harness.propose(&TrackCommand::Seal).unwrap();
    assert_eq!(merge_all(&harness), 1);
    let before = harness.machine.lock().shard().durable_index();
    seal_all(&harness).unwrap();
    assert!(harness.machine.lock().shard().durable_index() > before);
    check(&harness, &mut model);
    check(&harness.crash(), &mut model);
}

#[test]
fn old_bitmaps_of_deleted_rows_are_removed_while_their_segment_lives() {
    let folder = tempfile::tempdir().unwrap();
    let (harness, mut model, mut rng) = four_loads(folder.path());
    for n in 0..8 {
        // One more dead row each time, far from what makes a merge worthwhile.
        let row = track(&mut rng, n);
        model.tracks.insert(row.track_id.as_str().to_owned(), row.clone());
        harness.propose(&TrackCommand::UpsertTracks { tracks: vec![row], load: None }).unwrap();
        seal_all(&harness).unwrap();
    }
    for segment in std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(files) = std::fs::read_dir(&segment) else { continue };
        let bitmaps = files
            .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with("tombstones-"));
        assert!(bitmaps.count() <= 2, "{} keeps more than two manifests name", segment.display());
    }
    check(&harness.crash(), &mut model);
}

#[test]
fn a_lost_manifest_and_a_longer_log_give_the_same_shard() {
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, mut model, mut rng) = four_loads(folder.path());
    for n in 0..6 {
        seal_all(&harness).unwrap();
        let row = track(&mut rng, n);
        model.tracks.insert(row.track_id.as_str().to_owned(), row.clone());
        harness.propose(&TrackCommand::UpsertTracks { tracks: vec![row], load: None }).unwrap();
        load(&harness, &mut model, &mut rng);
        seal_all(&harness).unwrap();
        let mut manifests: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("MANIFEST-"))
            .collect();
        manifests.sort();
        std::fs::remove_file(manifests.pop().unwrap()).unwrap();
        harness = harness.crash();
        check(&harness, &mut model);
    }
}

fn run(seed: u64, steps: u32) {
    println!("SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(folder.path(), Vec::new());
    let (mut rng, mut model) = (SplitMix64::new(seed), Model::default());
    let choice = IndexChoice::default();
    for _ in 0..steps {
        match rng.below(14) {
            0..4 => {
                let tracks: Vec<Track> = (0..1 + rng.below(30))
                    .map(|_| {
                        let n = rng.below(200);
                        track(&mut rng, n)
                    })
                    .collect();
                for track in &tracks {
                    model.tracks.insert(track.track_id.as_str().to_owned(), track.clone());
                }
                harness.propose(&TrackCommand::UpsertTracks { tracks, load: None }).unwrap();
            }
            4..6 => {
                let ids: Vec<TrackId> =
                    (0..5).map(|_| TrackId::new(format!("t{}", rng.below(200))).unwrap()).collect();
                for id in &ids {
                    model.tracks.remove(id.as_str());
                    model.vectors.remove(id.as_str());
                }
                harness.propose(&TrackCommand::DeleteTracks { ids }).unwrap();
            }
            6..9 => {
                let known: Vec<&String> = model.tracks.keys().collect();
                let ids: Vec<TrackId> = (0..rng.below(40).min(known.len() as u64))
                    .map(|_| TrackId::new(known[rng.below(known.len() as u64) as usize].as_str()).unwrap())
                    .collect();
                let rows: Vec<f32> = (0..3 * ids.len()).map(|_| rng.uniform() as f32 + 0.1).collect();
                for (id, row) in ids.iter().zip(rows.chunks(3)) {
                    model.vectors.insert(id.as_str().to_owned(), row.to_vec());
                }
                let reply =
                    harness.propose(&TrackCommand::UpsertVectors { set: spec(), ids: ids.clone(), rows });
                assert_eq!(reply.unwrap(), TrackReply::Done(ids.len() as u64));
            }
            9 => {
                let shard = harness.machine.lock().shard();
                seal(&shard, &|command| harness.propose(command), &choice, &|_| {}).unwrap();
            }
            10 => {
                let shard = harness.machine.lock().shard();
                for plan in plan_merges(&shard.view()) {
                    assert!(
                        merge(&shard, &plan, &|command| harness.propose(command), &choice, &|_| {}).unwrap()
                    );
                }
            }
            // A seal that goes no further.
            11 => drop(harness.propose(&TrackCommand::Seal).unwrap()),
            12 => load(&harness, &mut model, &mut rng),
            _ => harness = harness.crash(),
        }
        check(&harness, &mut model);
    }
    check(&harness.crash(), &mut model);
}

#[test]
fn a_shard_follows_its_model_through_seals_merges_and_crashes() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    match seed {
        Some(seed) => run(seed, 120),
        None => (0..4).for_each(|seed| run(seed, 80)),
    }
}

#[test]
fn writes_during_a_seal_are_in_the_files_or_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(folder.path(), Vec::new());
    let (mut rng, mut model) = (SplitMix64::new(5), Model::default());
    let put = |harness: &Harness, model: &mut Model, rng: &mut SplitMix64, n: u64| {
        let row = track(rng, n);
        model.tracks.insert(row.track_id.as_str().to_owned(), row.clone());
        harness.propose(&TrackCommand::UpsertTracks { tracks: vec![row], load: None }).unwrap();
    };
    (0..50).for_each(|n| put(&harness, &mut model, &mut rng, n));
    // Rows 0..10 are replaced after the freeze, before the files go live.
    harness.propose(&TrackCommand::Seal).unwrap();
    (0..10).for_each(|n| put(&harness, &mut model, &mut rng, n));
    check(&harness, &mut model);
    harness = harness.crash();
    check(&harness, &mut model);
    let shard = harness.machine.lock().shard();
    seal(&shard, &|command| harness.propose(command), &IndexChoice::default(), &|_| {}).unwrap();
    check(&harness, &mut model);
    assert_eq!(
        shard.durable_index(),
        harness.log.lock().len() as u64 - 1,
        "only the entry that adds files is later"
    );
    drop(shard);
    check(&harness.crash(), &mut model);
}
