//! A track shard against a model: random writes, seals, merges, crashes.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use segue_storage_format::Verify;

use super::{IndexChoice, merge, plan_merges, seal};
use crate::error::Result;
use crate::storage::track_shard::command::{TrackCommand, TrackReply, VectorSetSpec};
use crate::storage::track_shard::segment::PostingField;
use crate::storage::track_shard::{TrackStateMachine, decode_reply, encode};
use crate::types::{
    Artist, ArtistId, ArtistKey, AudioFeatures, GenerationId, Metric, RecordingId, Region, RegionSet,
    ShardId, SpaceName, SplitMix64, Track, TrackId,
};

/// A shard with a log of its own: entries are numbered, kept, and replayed after a crash.
struct Harness {
    folder: std::path::PathBuf,
    machine: parking_lot::Mutex<TrackStateMachine>,
    log: parking_lot::Mutex<Vec<Vec<u8>>>,
}

impl Harness {
    fn open(folder: &Path, log: Vec<Vec<u8>>) -> Self {
        let (mut machine, repairs) = TrackStateMachine::open(folder, ShardId(0), Verify::Full).unwrap();
        assert_eq!(repairs, Vec::<String>::new());
        let (applied, _) = machine.recovered();
        for (index, bytes) in (1_u64..).zip(&log).filter(|(index, _)| *index > applied) {
            machine.apply(&[(index, 1, bytes)]).unwrap();
        }
        Self { folder: folder.to_owned(), machine: machine.into(), log: log.into() }
    }

    fn propose(&self, command: &TrackCommand) -> Result<TrackReply> {
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

fn track(rng: &mut SplitMix64, number: u64) -> Track {
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

fn spec() -> VectorSetSpec {
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

fn run(seed: u64, steps: u32) {
    println!("SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(folder.path(), Vec::new());
    let (mut rng, mut model) = (SplitMix64::new(seed), Model::default());
    let choice = IndexChoice::default();
    for _ in 0..steps {
        match rng.below(12) {
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
