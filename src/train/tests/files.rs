use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::*;
use crate::Error;
use crate::ingest::{PlayTable, PlayWriter, Rows, TrackTable, TrackWriter, VectorRows, VectorTable};

fn file_of(folder: &TempDir, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let path = folder.path().join("hand.parquet");
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn read(path: &Path) -> crate::Result<(PlaysShape, Interactions)> {
    read_interactions(path, &Durations::default(), 62.4, None)
}

fn column(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

#[test]
fn events_are_measured_from_the_newest_or_from_as_of() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("plays.parquet");
    let plays = [
        play(0, 0, PlayAction::Play, 180_000, 0),
        play(0, 1, PlayAction::Play, 180_000, 10),
        play(1, 1, PlayAction::Skip, 1_000, 20),
    ];
    let mut writer = PlayWriter::create(&path, PlayTable).unwrap();
    writer.write(&plays).unwrap();
    writer.finish().unwrap();
    let (shape, data) = read(&path).unwrap();
    assert_eq!(shape, PlaysShape::Events);
    assert_eq!(data, Interactions::from_plays(&plays, |_| None, params()).unwrap());
    let as_of = NOW.minus_days(5);
    let (_, earlier) = read_interactions(&path, &Durations::default(), 62.4, Some(as_of)).unwrap();
    let before = WeightParams { reference_time: as_of, ..params() };
    assert_eq!(earlier, Interactions::from_plays(&plays[1..], |_| None, before).unwrap());
    assert_eq!(earlier.items(), ["t01"], "what came later is not known yet");
}

#[test]
fn durations_come_from_a_tracks_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tracks.parquet");
    let track = |id: &str, duration_ms| Track {
        track_id: TrackId::new(id).unwrap(),
        recording_id: RecordingId::new(id).unwrap(),
        title: String::new(),
        artists: vec![Artist { id: ArtistId::new("a").unwrap(), name: "A".to_owned() }],
        album_id: None,
        album: None,
        label: None,
        genres: Vec::new(),
        release_date: None,
        duration_ms,
        popularity: None,
        explicit: None,
        regions: RegionSet::All,
        audio: AudioFeatures::default(),
    };
    let mut writer = TrackWriter::create(&path, TrackTable::default()).unwrap();
    writer.write(&[track("t1", Some(240_000)), track("t2", None)]).unwrap();
    writer.finish().unwrap();
    let durations = Durations::read(&path).unwrap();
    assert_eq!(["t1", "t2", "t3"].map(|id| durations.get(id)), [Some(240_000), None, None]);
}

#[test]
fn counts_and_pairs_are_told_apart_and_ids_may_be_integers() {
    let folder = TempDir::new().unwrap();
    let path = file_of(
        &folder,
        vec![
            ("user_id", Arc::new(UInt32Array::from(vec![7, 7, 12])) as ArrayRef),
            ("artist_id", column(&[1, 2, 1])),
            ("play_count", Arc::new(Int32Array::from(vec![3, 1, 0]))),
        ],
    );
    let (shape, data) = read(&path).unwrap();
    assert_eq!(
        (shape, data.users(), data.items()),
        (PlaysShape::Counts, &["12".to_owned(), "7".to_owned()][..], &["1".to_owned(), "2".to_owned()][..])
    );
    assert_eq!(data.of_user(1).collect::<Vec<_>>(), [(0, 3.0, true), (1, 1.0, true)]);
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["b", "a"]));
    let path = file_of(&folder, vec![("user_id", ids), ("track_id", column(&[5, 5]))]);
    let (shape, data) = read(&path).unwrap();
    assert_eq!(
        (shape, data.users(), data.pairs()),
        (PlaysShape::Pairs, &["a".to_owned(), "b".to_owned()][..], 2)
    );
    assert_eq!(data.of_user(0).collect::<Vec<_>>(), [(0, 0.0, true)]);
}

#[test]
fn wrong_files_to_train_on_are_named() {
    let folder = TempDir::new().unwrap();
    let field = |path: &Path| match read(path) {
        Err(Error::InvalidField { field, reason }) => (field.into_owned(), reason),
        other => panic!("{other:?}"),
    };
    let path = file_of(&folder, vec![("track_id", column(&[1]))]);
    assert_eq!(field(&path).0, "user_id");
    let path = file_of(&folder, vec![("user_id", column(&[1])), ("title", column(&[1]))]);
    let (name, reason) = field(&path);
    assert!(name == "track_id" && reason.contains("found=`user_id, title`"), "{name} {reason}");
    let counts = [("user_id", column(&[1, 1])), ("item", column(&[1, 2])), ("plays", column(&[3, -3]))];
    let (name, reason) = field(&file_of(&folder, counts.into()));
    assert!(
        name == "plays" && reason.starts_with("row 1: plays: must be a number of at least 0"),
        "{reason}"
    );
    let times = vec![("user_id", column(&[1])), ("track_id", column(&[1])), ("played_at", column(&[1]))];
    assert_eq!(field(&file_of(&folder, times)).0, "played_at");
    assert!(matches!(read(&folder.path().join("absent")), Err(Error::Io { .. })));
}

#[test]
fn a_model_is_written_whole_and_reads_back() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("deep/er");
    let data = Interactions::from_plays(&two_tastes(1), |_| None, params()).unwrap();
    let model = train_als(&data, &AlsParams { sweeps: 1, ..small() }, &mut |_| {}).unwrap();
    for _ in 0..2 {
        model.write(&out).unwrap();
    }
    let mut names: Vec<_> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["gram.json", "track_cf.parquet", "user_cf.parquet"]);
    let json = std::fs::read(out.join("gram.json")).unwrap();
    assert_eq!(serde_json::from_slice::<crate::storage::meta::GramData>(&json).unwrap(), model.gram);
    let mut rows: Rows<VectorTable> = VectorRows::open(&out.join("track_cf.parquet")).unwrap();
    assert_eq!((rows.table().entity(), rows.table().dim(), rows.total_rows()), (Entity::Track, Some(12), 80));
    for (row, vector) in rows.next_batch(100).unwrap() {
        let vector = vector.unwrap();
        let at = usize::try_from(row).unwrap();
        assert_eq!((&vector.id, &vector.vector[..]), (&model.track_ids[at], model.track(at)));
    }
}

#[test]
fn rows_without_a_liked_pair_are_left_out_of_the_files() {
    let folder = TempDir::new().unwrap();
    let mut plays = two_tastes(1);
    plays.push(play(99, 0, PlayAction::Skip, 1_000, 0));
    plays.push(play(0, 99, PlayAction::Skip, 1_000, 0));
    let data = Interactions::from_plays(&plays, |_| None, params()).unwrap();
    let model = train_als(&data, &AlsParams { sweeps: 1, ..small() }, &mut |_| {}).unwrap();
    assert_eq!((model.user_ids.len(), model.track_ids.len()), (61, 81));
    assert_eq!(model.write(folder.path()).unwrap(), Written { users: 60, tracks: 80 });
    let rows: Rows<VectorTable> = VectorRows::open(&folder.path().join("user_cf.parquet")).unwrap();
    assert_eq!(rows.total_rows(), 60);
}

#[test]
fn pairs_that_are_left_out_leave_no_trace() {
    let data = Interactions::from_plays(&two_tastes(1), |_| None, params()).unwrap();
    let odd: Vec<Play> =
        two_tastes(1).into_iter().filter(|play| play.track_id.as_str().ends_with('7')).collect();
    let fewer = Interactions::from_plays(&odd, |_| None, params()).unwrap();
    assert_eq!(data.filtered(|_, item| data.items()[item].ends_with('7')).unwrap(), fewer);
    assert_eq!(data.filtered(|_, _| true).unwrap(), data);
    assert!(data.filtered(|_, _| false).is_err());
    let listeners = |data: &Interactions, item: usize| {
        (0..data.users().len()).filter(|&user| data.of_user(user).any(|(other, ..)| other == item)).count()
    };
    let known = data.with_listeners(14).unwrap();
    assert!(known.items().len() > 10 && known.items().len() < data.items().len(), "{}", known.items().len());
    assert!((0..known.items().len()).all(|item| listeners(&known, item) >= 14));
}
