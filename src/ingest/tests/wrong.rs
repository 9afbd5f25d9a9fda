use arrow_array::builder::*;
use arrow_array::*;
use proptest::prelude::*;

use super::*;
use crate::Error;

/// The message of the only row that is wrong, without its number.
fn complaint<T: Table>(path: &Path) -> (u64, &'static str, String, String) {
    let mut wrong = all::<T>(path).into_iter().filter_map(|(_, row)| row.err());
    let error = wrong.next().expect("a row is wrong");
    assert_eq!(wrong.next(), None, "only one row is wrong");
    (error.row, error.field, error.value, error.reason)
}

fn tracks_with(folder: &TempDir, name: &str, cells: ArrayRef) -> PathBuf {
    let mut columns = vec![
        ("track_id", texts(&["t0", "t1"])),
        ("artist_ids", text_rows(&[&["a"], &["a"]])),
        ("artist_names", text_rows(&[&["A"], &["A"]])),
    ];
    columns.retain(|(column, _)| *column != name);
    columns.push((name, cells));
    file_of(folder, columns)
}

#[test]
fn wrong_cells_are_named_with_row_column_value_and_reason() {
    let folder = TempDir::new().unwrap();
    let long = "x".repeat(300);
    let numbers = |bad: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![0.5, bad])) };
    let integers = |bad: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![1, bad])) };
    let cases: Vec<(&str, ArrayRef, &str)> = vec![
        ("track_id", texts(&["t0", ""]), "empty"),
        ("track_id", texts(&["t0", &long]), "too long"),
        ("track_id", Arc::new(StringArray::from(vec![Some("t0"), None])), "null"),
        ("recording_id", texts(&["r0", "a\u{0}b"]), "control"),
        ("album_id", texts(&["al", ""]), "empty"),
        ("artist_ids", text_rows(&[&["a"], &[]]), "at least one artist"),
        ("artist_ids", text_rows(&[&["a"], &[""]]), "empty"),
        ("artist_names", text_rows(&[&["A"], &["A", "B"]]), "one name for each"),
        ("genres", text_rows(&[&["g"], &[""]]), "empty names"),
        ("regions", text_rows(&[&["DE"], &["GER"]]), "ISO 3166"),
        ("popularity", numbers(100.1), "between 0 and 100"),
        ("popularity", numbers(f64::NAN), "finite"),
        ("tempo", numbers(0.0), "above 0"),
        ("tempo", numbers(-1.0), "above 0"),
        ("tempo", numbers(1e300), "finite"),
        ("energy", numbers(1.01), "between 0 and 1"),
        ("liveness", numbers(-0.01), "between 0 and 1"),
        ("loudness", numbers(f64::NEG_INFINITY), "finite"),
        ("duration_ms", integers(0), "milliseconds from 1"),
        ("duration_ms", integers(i64::MAX), "milliseconds from 1"),
        ("key", integers(12), "between 0 and 11"),
        ("mode", integers(-1), "between 0 and 1"),
        ("duration_ms", Arc::new(UInt64Array::from(vec![1, u64::MAX])), "outside the range"),
    ];
    for (name, cells, reason) in cases {
        let shown = format!("{cells:?}");
        let (row, field, _, why) = complaint::<TrackTable>(&tracks_with(&folder, name, cells));
        assert_eq!((row, field), (1, name), "{shown}");
        assert!(why.contains(reason), "{shown}: {why}");
    }
}

#[test]
fn an_error_prints_where_and_what_and_cuts_long_values() {
    let folder = TempDir::new().unwrap();
    let path = tracks_with(&folder, "tempo", Arc::new(Float32Array::from(vec![120.0, 0.0])));
    let (row, outcome) = all::<TrackTable>(&path).remove(1);
    assert_eq!(row, 1);
    let text = outcome.unwrap_err().to_string();
    assert_eq!(text, "row 1: tempo: must be above 0; null when unknown. value=`0`");
    let path = tracks_with(&folder, "track_id", texts(&["t0", &"é".repeat(10_000_000)]));
    let (_, _, value, _) = complaint::<TrackTable>(&path);
    assert_eq!(value.chars().count(), 81);
}

#[test]
fn wrong_plays_and_users_are_named() {
    let folder = TempDir::new().unwrap();
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![0, 1]));
    let plays = |listened: ArrayRef, actions: &[&str]| {
        file_of(
            &folder,
            vec![
                ("user_id", texts(&["u", "u"])),
                ("track_id", texts(&["t", "t"])),
                ("played_at", times.clone()),
                ("listened_ms", listened),
                ("action", texts(actions)),
            ],
        )
    };
    let path = plays(Arc::new(Int32Array::from(vec![5, -1])), &["play", "play"]);
    assert_eq!(complaint::<PlayTable>(&path).1, "listened_ms");
    let path = plays(Arc::new(Int32Array::from(vec![5, 6])), &["play", "loved"]);
    let (row, field, value, reason) = complaint::<PlayTable>(&path);
    assert_eq!((row, field, value.as_str()), (1, "action", "loved"));
    assert_eq!(reason, "must be one of play, skip, save, repeat");
    let path = file_of(&folder, vec![("user_id", texts(&["u", "v"])), ("region", texts(&["DE", "Berlin"]))]);
    assert_eq!(complaint::<UserTable>(&path).1, "region");
    let friends = text_rows(&[&["u"], &["u", ""]]);
    let path = file_of(&folder, vec![("user_id", texts(&["u", "v"])), ("friend_ids", friends)]);
    assert_eq!(complaint::<UserTable>(&path).1, "friend_ids");
}

#[test]
fn wrong_vectors_are_named() {
    let folder = TempDir::new().unwrap();
    let lists = |second: &[Option<f32>]| {
        let mut lists = ListBuilder::new(Float32Builder::new());
        lists.values().append_slice(&[1.0, 2.0]);
        lists.append(true);
        second.iter().for_each(|x| lists.values().append_option(*x));
        lists.append(true);
        Arc::new(lists.finish()) as ArrayRef
    };
    for (second, reason) in [
        (&[Some(f32::NAN), Some(0.0)][..], "component 0 is not"),
        (&[Some(0.0), Some(f32::INFINITY)], "component 1 is not"),
        (&[Some(0.0)], "dimension of the vectors before it. expected=`2`"),
        (&[], "at least one component"),
        (&[Some(0.0), None], "nulls"),
    ] {
        let path = file_of(&folder, vec![("track_id", texts(&["t0", "t1"])), ("vector", lists(second))]);
        let (row, field, _, why) = complaint::<VectorTable>(&path);
        assert_eq!((row, field), (1, "vector"));
        assert!(why.contains(reason), "{why}");
    }
}

fn refusal<T: Table>(path: &Path) -> (String, String) {
    match Rows::<T>::open(path) {
        Err(Error::InvalidField { field, reason }) => (field.into_owned(), reason),
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("was opened"),
    }
}

#[test]
fn files_with_missing_or_wrong_columns_are_refused_by_column_name() {
    let folder = TempDir::new().unwrap();
    let pairs = file_of(&folder, vec![("user_id", texts(&["u"])), ("track_id", texts(&["t"]))]);
    let (field, reason) = refusal::<PlayTable>(&pairs);
    assert_eq!(field, "played_at");
    assert!(
        reason.contains("found=`user_id, track_id`") && reason.contains("expected=`played_at: timestamp"),
        "{reason}"
    );
    assert_eq!(refusal::<TrackTable>(&pairs).0, "artist_ids");
    let (field, reason) = refusal::<VectorTable>(&pairs);
    assert_eq!(field, "track_id");
    assert!(reason.contains("both id columns"), "{reason}");
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let path = file_of(&folder, vec![("user_id", numbers.clone())]);
    let (field, reason) = refusal::<UserTable>(&path);
    assert_eq!(field, "user_id");
    assert_eq!(
        reason,
        "the column has the wrong type. found=`Int64`, expected=`string, large_string or string_view`"
    );
    let path = file_of(&folder, vec![("track_id", texts(&["t"])), ("vector", numbers)]);
    assert_eq!(refusal::<VectorTable>(&path).0, "vector");
    let path = tracks_with(&folder, "tempo", texts(&["fast", "slow"]));
    assert_eq!(refusal::<TrackTable>(&path).0, "tempo");
}

#[test]
fn columns_nobody_knows_are_named() {
    let folder = TempDir::new().unwrap();
    let path = tracks_with(&folder, "relase_date", texts(&["2026-01-01", "2026-01-02"]));
    assert_eq!(Rows::<TrackTable>::open(&path).unwrap().unread_columns(), ["relase_date"]);
    let path = tracks_with(&folder, "title", texts(&["a", "b"]));
    assert_eq!(Rows::<TrackTable>::open(&path).unwrap().unread_columns(), [""; 0]);
}

#[test]
fn files_that_are_not_parquet_or_not_there_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("text.parquet");
    for bytes in [&b""[..], b"PAR1", b"track_id,title\n1,x\n", b"PAR1\xff\xff\xff\xffPAR1"] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(refusal::<TrackTable>(&path).0, "file");
    }
    assert!(matches!(TrackRows::open(&folder.path().join("no.parquet")), Err(Error::Io { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_numbers_make_a_row_in_range_or_a_named_error(tempo in any::<f64>(), energy in any::<f32>(), key in any::<i64>()) {
        let folder = TempDir::new().unwrap();
        let path = file_of(&folder, vec![
            ("track_id", texts(&["t"])),
            ("artist_ids", text_rows(&[&["a"]])),
            ("tempo", Arc::new(Float64Array::from(vec![tempo])) as ArrayRef),
            ("energy", Arc::new(Float32Array::from(vec![energy])) as ArrayRef),
            ("key", Arc::new(Int64Array::from(vec![key])) as ArrayRef),
        ]);
        match all::<TrackTable>(&path).remove(0).1 {
            Ok(track) => {
                let audio = track.audio;
                prop_assert!(audio.tempo.is_some_and(|t| t.is_finite() && t >= 0.0) && tempo > 0.0);
                prop_assert!(audio.energy.is_some_and(|e| (0.0..=1.0).contains(&e)));
                prop_assert!(key == -1 || audio.key.is_some_and(|k| i64::from(k) == key));
            }
            Err(error) => prop_assert!(["tempo", "energy", "key"].contains(&error.field)),
        }
    }
}
