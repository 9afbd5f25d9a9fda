//! Entries keep their bytes: logs of earlier programs are read by this one. A variant that is larger, or aligned otherwise, than
//! the largest of its enum before changes the bytes of all others, whatever its version says (STATUS.md, learnt).
//!
//! Each test encodes one entry of every kind an earlier program wrote and compares a hash of the bytes with the one that was
//! noted then. A hash is never corrected here: put what is new into a box, or give old entries a reader of their own.

#![expect(clippy::unwrap_used, reason = "tests")]

use segue_storage_format::{FileEntry, SegmentEntry, SegmentKind};

use super::meta::{GenerationContents, GramData, MetaCommand, SplitPhase};
use super::track_shard::Lineage;
use super::track_shard::command::{
    Inheritance, LoadMark, NewSegment, SegmentOrigin, TrackCommand, TrackSplitOp, VectorSetSpec,
};
use super::user_shard::{
    EventOrigin, EventTrack, ListOrigin, ListedEvents, LoadStep, PlayBatch, PlayRow, ResolvedEvent,
    ServedList, ServedTrack, ShownSlot, SlotChoice, SplitOp, TimedEvents, UserCommand, UserOp,
};
use crate::types::{
    Action, Artist, ArtistId, GenerationId, GenreTag, Metric, PlayAction, RegionSet, ShardId, SlotRange,
    SpaceName, SpaceSpec, Surface, Timestamp, Track, TrackId, TrackOrdinal, TrackRef, User, UserId,
};

/// Compares the hashes of all entries at once, so that a failure shows which kinds changed.
fn check(entries: &[(&str, Vec<u8>)], noted: &[(&str, &str)]) {
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex()[..16].to_owned();
    let found: Vec<(&str, String)> = entries.iter().map(|(kind, bytes)| (*kind, hash(bytes))).collect();
    let noted: Vec<(&str, String)> = noted.iter().map(|(kind, hash)| (*kind, (*hash).to_owned())).collect();
    assert_eq!(found, noted);
}

fn track() -> Track {
    let artist = Artist { id: ArtistId::new("a1").unwrap(), name: "An artist".to_owned() };
    let mut track = Track::new(TrackId::new("t1").unwrap(), "A title", vec![artist]);
    track.genres = vec![GenreTag { genre: "jazz".to_owned(), confidence: 0.5 }];
    track.album = Some("An album of a long name".to_owned());
    track.popularity = Some(42.0);
    track.explicit = Some(false);
    track.duration_ms = Some(180_000);
    track.regions = RegionSet::Only(vec!["DE".parse().unwrap()]);
    track.audio.tempo = Some(120.0);
    track.audio.key = Some(3);
    track
}

fn user() -> User {
    let mut user = User::unknown(UserId::new("a listener of a long name").unwrap());
    user.region = Some("JP".parse().unwrap());
    user.blocked_artists = vec![ArtistId::new("a2").unwrap()];
    user.age_band = Some("18-24".to_owned());
    user.registered_at = Some(Timestamp(1_700_000_000_000));
    user
}

fn space() -> SpaceName {
    SpaceName::new("audio").unwrap()
}

#[test]
fn entries_of_track_shards() {
    let id = || TrackId::new("t1").unwrap();
    let set = || VectorSetSpec {
        space: space(),
        generation: GenerationId(2),
        dim: 3,
        metrics: vec![Metric::Cosine, Metric::Ip],
    };
    let load = || LoadMark { load_id: "a load of a long name".to_owned(), rows_done: 7, finished: true };
    let file = FileEntry {
        name: "codes".to_owned(),
        len: 9,
        content_id: segue_storage_format::ContentId::of(b"codes"),
    };
    let entry = SegmentEntry {
        id: 4,
        kind: SegmentKind::Vectors,
        space: "audio".to_owned(),
        generation: 2,
        profile: "cosine".to_owned(),
        rows: 11,
        files: vec![file.clone()],
        tombstones: Some(file),
    };
    let lineage = Lineage {
        slots: SlotRange { first: 2_048, end: 4_096 },
        births: vec![(0, 0), (77, 1)],
        shared_below: 77,
        parting: None,
    };
    let inheritance = Inheritance {
        lineage,
        next_ordinal: 77,
        next_recording: 70,
        next_segment: 5,
        epoch: 12,
        loads: vec![load()],
        sets: vec![set()],
        segments: vec![NewSegment { entry: entry.clone(), set: Some(set()) }],
    };
    let commands = [
        ("UpsertTracks", TrackCommand::UpsertTracks { tracks: vec![track()], load: Some(load()) }),
        ("DeleteTracks", TrackCommand::DeleteTracks { ids: vec![id()] }),
        (
            "UpsertVectors",
            TrackCommand::UpsertVectors { set: set(), ids: vec![id()], rows: vec![1.0, 2.0, 3.0] },
        ),
        (
            "DeleteVectors",
            TrackCommand::DeleteVectors { space: space(), generation: GenerationId(2), ids: vec![id()] },
        ),
        ("DropGeneration", TrackCommand::DropGeneration { generation: GenerationId(2) }),
        ("Seal", TrackCommand::Seal),
        (
            "AddSegments",
            TrackCommand::AddSegments {
                segments: vec![NewSegment { entry, set: Some(set()) }],
                origin: SegmentOrigin::Merged(vec![1, 2]),
                load: None,
            },
        ),
        ("ReserveSegments", TrackCommand::ReserveSegments { count: 5 }),
        ("MarkLoad", TrackCommand::MarkLoad { load: load() }),
        ("Inherit", TrackSplitOp::Inherit(inheritance).into()),
        ("Freeze", TrackSplitOp::Freeze { child: 1, at: 2_048 }.into()),
        ("Release", TrackSplitOp::Release { child: 1 }.into()),
    ];
    let entries: Vec<_> = commands
        .iter()
        .map(|(kind, command)| (*kind, super::track_shard::encode(command).unwrap()))
        .collect();
    check(
        &entries,
        &[
            ("UpsertTracks", "1918b1a6ec84c319"),
            ("DeleteTracks", "b3ec3b334586aa24"),
            ("UpsertVectors", "518f43673c552f0b"),
            ("DeleteVectors", "e753e7da1aa2e2d4"),
            ("DropGeneration", "4f92f7e5c8cb0168"),
            ("Seal", "f7f0caeb7bafc25b"),
            ("AddSegments", "f140b52edeebabc0"),
            ("ReserveSegments", "3f3e675c95c7f5ee"),
            ("MarkLoad", "b692b5d66cc35b6a"),
            ("Inherit", "4742a4c05a9e27bf"),
            ("Freeze", "36240e1f97e38c73"),
            ("Release", "37f49ff9e84fba0d"),
        ],
    );
}

#[test]
fn entries_of_the_meta_group() {
    let gram = GramData {
        dim: 1,
        gram: vec![2.0],
        alpha0: 0.1,
        lambda: 0.2,
        nu: 0.3,
        alpha: 0.4,
        tracks: 5,
        half_life_days: 62.4,
        reference_time: Timestamp(6),
    };
    let name = || "a recipe".to_owned();
    let contents = GenerationContents { users: 1, user_dim: 2, tracks: 3, track_dim: 4 };
    let [first, ..] = SpaceSpec::built_in();
    let id = GenerationId(3);
    let begin = |instead_of| MetaCommand::BeginSplit { parent: 1, at: 2, founder: 3, instead_of };
    let commands = [
        ("DefineSpace", MetaCommand::DefineSpace(first)),
        ("CreateGeneration", MetaCommand::CreateGeneration { dim: 1, gram: Some(gram) }),
        ("ActivateGeneration", MetaCommand::ActivateGeneration { id, contents }),
        ("RollbackGeneration", MetaCommand::RollbackGeneration),
        ("DropGeneration", MetaCommand::DropGeneration { id }),
        ("PutRecipe", MetaCommand::PutRecipe { name: name(), document: "{}".to_owned(), built_in: 1 }),
        ("ActivateRecipe", MetaCommand::ActivateRecipe { name: name(), version: 2, built_in: 1 }),
        ("SetKey", MetaCommand::SetKey { name: name(), key: vec![1, 2, 3], replace: true }),
        ("SetUserShards", MetaCommand::SetUserShards { count: 4 }),
        (
            "PutExperiment",
            MetaCommand::PutExperiment {
                surface: "home".to_owned(),
                document: "{}".to_owned(),
                needs: vec![(name(), 2)],
            },
        ),
        ("StopExperiment", MetaCommand::StopExperiment { surface: "home".to_owned() }),
        ("SetTrackShards", MetaCommand::SetTrackShards { count: 4 }),
        ("BeginSplit", begin(None)),
        ("BeginSplit again", begin(Some(5))),
        ("AdvanceSplit", MetaCommand::AdvanceSplit { child: 5, phase: SplitPhase::Switched }),
        ("EndSplit", MetaCommand::EndSplit { child: 5 }),
    ];
    let entries: Vec<_> = commands.iter().map(|(kind, command)| (*kind, command.encode().unwrap())).collect();
    check(
        &entries,
        &[
            ("DefineSpace", "b250dfcfb790692e"),
            ("CreateGeneration", "32f93e0510f14520"),
            ("ActivateGeneration", "946704d3865512dc"),
            ("RollbackGeneration", "88f6a7f73e2805a8"),
            ("DropGeneration", "4f9fc91e3e4234ab"),
            ("PutRecipe", "53859237ffe9574c"),
            ("ActivateRecipe", "ce7108387c401db0"),
            ("SetKey", "b902f93d57d4ca84"),
            ("SetUserShards", "d50d00c75edbfe02"),
            ("PutExperiment", "3f5cab045c4c84e5"),
            ("StopExperiment", "063704a04aaebcde"),
            ("SetTrackShards", "56b77014c519f96c"),
            ("BeginSplit", "21ea639387627ffa"),
            ("BeginSplit again", "228340c8fb5744b4"),
            ("AdvanceSplit", "bef3f4a1cdd8f815"),
            ("EndSplit", "c17ff9b03b5f9baa"),
        ],
    );
}

/// An event with every part.
fn event() -> ResolvedEvent {
    let place = TrackRef { shard: ShardId(1), ordinal: TrackOrdinal(2) };
    ResolvedEvent {
        track: Some(EventTrack::Resolved(place)),
        track_id: Some(TrackId::new("t1").unwrap()),
        artist: Some(ArtistId::new("a1").unwrap()),
        listened_ms: 30_000,
        completed: true,
        event_key: Some(9),
        query: Some("words".to_owned()),
        served: Some(ServedList {
            surface: Surface::new("home").unwrap(),
            impression: "an impression of a long name".to_owned(),
            tracks: vec![ServedTrack { track: place, explored: true }],
        }),
        ..ResolvedEvent::new(UserId::new("u1").unwrap(), Action::Play, Timestamp(5))
    }
}

#[test]
fn entries_of_user_shards() {
    let place = TrackRef { shard: ShardId(1), ordinal: TrackOrdinal(2) };
    let (id, generation) = (|| UserId::new("u1").unwrap(), GenerationId(2));
    let waiting = ResolvedEvent { track: Some(EventTrack::Unknown(TrackId::new("t9").unwrap())), ..event() };
    let play = PlayRow {
        user: 0,
        track: place,
        listened_ms: 1,
        at: Timestamp(2),
        action: PlayAction::Skip,
        completed: false,
    };
    let origin = ListOrigin {
        recipe: "a recipe of a long name@2".to_owned(),
        experiment: Some(("an experiment@1".to_owned(), "an arm".to_owned())),
        generation: Some(generation),
        seed: 6,
        candidates_hash: 7,
        as_of: Timestamp(8),
        positions: vec![9],
    };
    let choice = SlotChoice { source: 1, genre_cluster: 2, propensity: 0.5, draw: 3, open: 4 };
    let batch = PlayBatch {
        users: vec![id()],
        plays: vec![play],
        unknown: vec![(TrackId::new("t9").unwrap(), play)],
    };
    let load = LoadStep { load_id: "a load".to_owned(), first_row: 1, rows_done: 2, finished: false };
    let ops = [
        ("Nothing", UserOp::Nothing),
        ("UpsertUsers", UserOp::UpsertUsers(vec![user()])),
        ("DeleteUsers", UserOp::DeleteUsers(vec![id()])),
        ("Record", UserOp::Record(vec![event(), waiting])),
        ("RecordPlays", UserOp::RecordPlays(batch)),
        (
            "UpsertVectors",
            UserOp::UpsertVectors { space: space(), generation, rows: vec![(id(), vec![1.0])] },
        ),
        ("DeleteVectors", UserOp::DeleteVectors { space: space(), generation, users: vec![id()] }),
        ("DropGeneration", UserOp::DropGeneration { space: space(), generation }),
        ("ResolveTracks", UserOp::ResolveTracks(vec![(TrackId::new("t9").unwrap(), place)])),
        ("PutStatistics", UserOp::PutStatistics(vec![1, 2])),
        (
            "RecordShown",
            UserOp::RecordShown(vec![event()], vec![ShownSlot { event: 0, position: 0, choice }]),
        ),
        ("Split", SplitOp::BeginSplit { child: 1, at: 2 }.into()),
        (
            "RecordByTime",
            UserOp::RecordByTime(Box::new(TimedEvents {
                received: Timestamp(9),
                events: vec![ResolvedEvent { action: Action::BlockArtist, ..event() }],
                slots: vec![ShownSlot { event: 0, position: 0, choice }],
            })),
        ),
        (
            "RecordLists",
            UserOp::RecordLists(Box::new(ListedEvents {
                timed: TimedEvents { received: Timestamp(9), events: vec![event()], slots: vec![] },
                origins: vec![EventOrigin { event: 0, origin }],
            })),
        ),
    ];
    let entries: Vec<_> = ops
        .into_iter()
        .map(|(kind, op)| (kind, UserCommand { load: Some(load.clone()), op }.encode()))
        .collect();
    check(
        &entries,
        &[
            ("Nothing", "083d74c98ca7dcb2"),
            ("UpsertUsers", "5e3e199916087e26"),
            ("DeleteUsers", "bc5434bbc4d89856"),
            ("Record", "eb214c7711eb5861"),
            ("RecordPlays", "4f842bf9f9dbab21"),
            ("UpsertVectors", "8930e0dd79607843"),
            ("DeleteVectors", "aa949d9b1cdfa172"),
            ("DropGeneration", "09e87a2fb553128a"),
            ("ResolveTracks", "367af12e2bd956bd"),
            ("PutStatistics", "68cbbe002c721eeb"),
            ("RecordShown", "7ffa8f6e56c6c321"),
            ("Split", "20edd5c26fe656b3"),
            ("RecordByTime", "1ec93e2daa9fa848"),
            ("RecordLists", "4da26ce442fd3529"),
        ],
    );
}
