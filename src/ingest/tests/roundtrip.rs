use arrow_array::types::*;
use arrow_array::*;
use arrow_schema::*;
use proptest::prelude::*;

use super::*;
use crate::node::VectorRow;

fn full_track() -> Track {
    Track {
        track_id: TrackId::new("t1").unwrap(),
        recording_id: RecordingId::new("r1").unwrap(),
        title: "Línea nocturna".to_owned(),
        artists: vec![artist("a1", "Ana"), artist("a2", "Bo")],
        album_id: Some(AlbumId::new("al1").unwrap()),
        album: Some("Long Player".to_owned()),
        label: Some("Label".to_owned()),
        genres: vec![
            GenreTag { genre: "house".to_owned(), confidence: 1.0 },
            GenreTag { genre: "techno".to_owned(), confidence: 0.25 },
        ],
        release_date: Some("2026-10-28".parse().unwrap()),
        duration_ms: Some(201_000),
        popularity: Some(61.5),
        explicit: Some(false),
        regions: RegionSet::Only(vec!["DE".parse().unwrap(), "FR".parse().unwrap()]),
        audio: AudioFeatures {
            tempo: Some(124.5),
            key: Some(11),
            mode: Some(0),
            energy: Some(0.5),
            danceability: Some(0.25),
            valence: Some(1.0),
            acousticness: Some(0.0),
            instrumentalness: Some(0.125),
            speechiness: Some(0.75),
            liveness: Some(0.375),
            loudness: Some(-7.5),
        },
    }
}

fn bare_track(id: &str) -> Track {
    Track::new(TrackId::new(id).unwrap(), "", vec![artist("a1", "Ana")])
}

fn write<T: Encode + Default>(folder: &TempDir, rows: &[T::Row]) -> std::path::PathBuf {
    let path = folder.path().join("written.parquet");
    let mut writer = TableWriter::create(&path, T::default()).unwrap();
    writer.write(rows).unwrap();
    assert_eq!(writer.finish().unwrap(), rows.len() as u64);
    path
}

fn good<T: Table>(path: &std::path::Path) -> Vec<T::Row>
where
    T::Row: std::fmt::Debug,
{
    all::<T>(path).into_iter().map(|(_, row)| row.unwrap()).collect()
}

#[test]
fn tracks_with_everything_and_with_nothing_known_come_back_as_written() {
    let folder = TempDir::new().unwrap();
    let nowhere = Track { regions: RegionSet::Only(Vec::new()), ..bare_track("t3") };
    let tracks = vec![full_track(), bare_track("t2"), nowhere];
    let path = write::<TrackTable>(&folder, &tracks);
    assert_eq!(good::<TrackTable>(&path), tracks);
}

#[test]
fn users_with_everything_and_with_nothing_known_come_back_as_written() {
    let folder = TempDir::new().unwrap();
    let mut user = User::unknown(UserId::new("u1").unwrap());
    user.region = Some("SE".parse().unwrap());
    user.filter_explicit = true;
    user.blocked_artists = vec![ArtistId::new("a1").unwrap()];
    user.blocked_tracks = vec![TrackId::new("t1").unwrap(), TrackId::new("t2").unwrap()];
    user.followed_artists = vec![ArtistId::new("a2").unwrap()];
    user.friends = vec![UserId::new("u2").unwrap()];
    user.social_consent = true;
    user.onboarding_genres = vec!["jazz".to_owned()];
    user.onboarding_artists = vec![ArtistId::new("a3").unwrap()];
    user.age_band = Some("25-34".to_owned());
    user.registered_at = Some(Timestamp(1_700_000_000_123));
    let users = vec![user, User::unknown(UserId::new("u2").unwrap())];
    let path = write::<UserTable>(&folder, &users);
    assert_eq!(good::<UserTable>(&path), users);
}

fn play(row: usize) -> Play {
    let actions = [PlayAction::Play, PlayAction::Skip, PlayAction::Save, PlayAction::Repeat];
    Play {
        user_id: UserId::new(format!("u{}", row % 7)).unwrap(),
        track_id: TrackId::new(format!("t{row}")).unwrap(),
        played_at: Timestamp(1_790_000_000_000 - row as i64),
        listened_ms: if row == 0 { u32::MAX } else { row as u32 },
        action: actions[row % 4],
    }
}

#[test]
fn plays_come_back_in_order_and_a_reader_can_start_at_any_row() {
    let folder = TempDir::new().unwrap();
    let plays: Vec<Play> = (0..20_000).map(play).collect();
    let path = write::<PlayTable>(&folder, &plays);
    assert_eq!(good::<PlayTable>(&path), plays);
    for first in [0, 1, 8_191, 8_192, 12_345, 19_999, 20_000, 99_999] {
        let mut rows = PlayRows::open_at(&path, first).unwrap();
        assert_eq!((rows.total_rows(), rows.next_row()), (20_000, first.min(20_000)));
        let batch = rows.next_batch(3).unwrap();
        let want: Vec<u64> = (first..20_000).take(batch.len()).collect();
        assert_eq!(batch.iter().map(|(row, _)| *row).collect::<Vec<_>>(), want, "from {first}");
        assert!(batch.iter().all(|(row, play)| play.as_ref() == Ok(&plays[*row as usize])));
        assert_eq!(batch.is_empty(), first >= 20_000);
    }
}

#[test]
fn vectors_come_back_bit_by_bit_and_say_what_they_describe() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("user_cf.parquet");
    let ids: Vec<String> = (0..10_000).map(|i| format!("u{i}")).collect();
    let matrix: Vec<f32> = (0..30_000).map(|i| i as f32 * 0.1).collect();
    let rows = || ids.iter().map(String::as_str).zip(matrix.chunks(3));
    assert_eq!(write_vectors(&path, Entity::User, 3, rows()).unwrap(), 10_000);
    let opened = VectorRows::open(&path).unwrap();
    assert_eq!((opened.table().entity(), opened.table().dim()), (Entity::User, Some(3)));
    let read = good::<VectorTable>(&path);
    for ((row, id), want) in read.iter().zip(&ids).zip(matrix.chunks(3)) {
        assert_eq!((&row.id, &row.vector[..]), (id, want));
    }
    assert_eq!(read.len(), 10_000);
    assert!(write_vectors(&path, Entity::User, 4, rows()).is_err());
    assert_eq!(good::<VectorTable>(&path).len(), 10_000, "a refused write leaves the file as it was");
}

#[test]
fn every_width_and_encoding_of_the_same_rows_reads_the_same() {
    let folder = TempDir::new().unwrap();
    let at = 1_790_000_001_000_i64;
    let variants: Vec<(ArrayRef, ArrayRef, ArrayRef)> = vec![
        (
            Arc::new(StringArray::from(vec!["u1"])),
            Arc::new(TimestampSecondArray::from(vec![at / 1_000]).with_timezone("UTC")),
            Arc::new(Int16Array::from(vec![3_000])),
        ),
        (
            Arc::new(LargeStringArray::from(vec!["u1"])),
            Arc::new(TimestampMillisecondArray::from(vec![at])),
            Arc::new(UInt64Array::from(vec![3_000])),
        ),
        (
            Arc::new(StringViewArray::from(vec!["u1"])),
            Arc::new(TimestampMicrosecondArray::from(vec![at * 1_000]).with_timezone("+02:00")),
            Arc::new(Int32Array::from(vec![3_000])),
        ),
        (
            Arc::new(vec!["u1"].into_iter().collect::<DictionaryArray<Int32Type>>()),
            Arc::new(TimestampNanosecondArray::from(vec![at * 1_000_000])),
            Arc::new(UInt32Array::from(vec![3_000])),
        ),
    ];
    for (users, times, listened) in variants {
        let shape = format!("{} {} {}", users.data_type(), times.data_type(), listened.data_type());
        let path = file_of(
            &folder,
            vec![
                ("action", texts(&["save"])),
                ("listened_ms", listened),
                ("user_id", users),
                ("extra", texts(&["ignored"])),
                ("track_id", texts(&["t1"])),
                ("played_at", times),
            ],
        );
        let play = good::<PlayTable>(&path).remove(0);
        let want = (UserId::new("u1").unwrap(), Timestamp(at), 3_000, PlayAction::Save);
        assert_eq!((play.user_id, play.played_at, play.listened_ms, play.action), want, "{shape}");
    }
}

#[test]
fn vectors_of_any_float_and_list_type_read_the_same() {
    let folder = TempDir::new().unwrap();
    let fixed = |item: ArrayRef| -> ArrayRef {
        let field = Arc::new(Field::new("item", item.data_type().clone(), true));
        Arc::new(FixedSizeListArray::new(field, 2, item, None))
    };
    let list = |item: ArrayRef| -> ArrayRef {
        let field = Arc::new(Field::new("item", item.data_type().clone(), true));
        let offsets = arrow_buffer::OffsetBuffer::from_lengths([2, 2]);
        Arc::new(ListArray::new(field, offsets, item, None))
    };
    let large = |item: ArrayRef| -> ArrayRef {
        let field = Arc::new(Field::new("item", item.data_type().clone(), true));
        let offsets = arrow_buffer::OffsetBuffer::from_lengths([2, 2]);
        Arc::new(LargeListArray::new(field, offsets, item, None))
    };
    let f32s: ArrayRef = Arc::new(Float32Array::from(vec![0.5, -1.0, 2.0, 0.25]));
    let f64s: ArrayRef = Arc::new(Float64Array::from(vec![0.5, -1.0, 2.0, 0.25]));
    let f16s: ArrayRef =
        Arc::new(Float16Array::from_iter_values([0.5, -1.0, 2.0, 0.25].map(half::f16::from_f32)));
    let want = vec![
        VectorRow { id: "t1".to_owned(), vector: vec![0.5, -1.0] },
        VectorRow { id: "t2".to_owned(), vector: vec![2.0, 0.25] },
    ];
    for vectors in [
        fixed(f32s.clone()),
        fixed(f64s.clone()),
        fixed(f16s.clone()),
        list(f32s),
        list(f64s),
        list(f16s.clone()),
        large(f16s),
    ] {
        let shape = vectors.data_type().to_string();
        let path = file_of(&folder, vec![("track_id", texts(&["t1", "t2"])), ("vector", vectors)]);
        assert_eq!(good::<VectorTable>(&path), want, "{shape}");
    }
}

#[test]
fn a_file_that_lists_every_market_means_everywhere_only_when_it_has_twenty() {
    let folder = TempDir::new().unwrap();
    let markets: Vec<String> = (b'A'..=b'T').map(|letter| format!("{}X", char::from(letter))).collect();
    let names: Vec<&str> = markets.iter().map(String::as_str).collect();
    let read = |rows: &[&[&str]]| -> Vec<RegionSet> {
        let ids: Vec<String> = (0..rows.len()).map(|i| format!("t{i}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let artists: Vec<&[&str]> = vec![&["a"]; rows.len()];
        let path = file_of(
            &folder,
            vec![
                ("track_id", texts(&ids)),
                ("artist_ids", text_rows(&artists)),
                ("regions", text_rows(rows)),
            ],
        );
        good::<TrackTable>(&path).into_iter().map(|track| track.regions).collect()
    };
    let only = |codes: &[&str]| {
        RegionSet::Only(codes.iter().map(|code| code.parse().unwrap()).collect::<Vec<Region>>())
    };
    assert_eq!(read(&[&names[..], &names[..19]]), [RegionSet::All, only(&names[..19])]);
    assert_eq!(read(&[&names[..19], &names[3..4]]), [only(&names[..19]), only(&names[3..4])]);
    assert_eq!(
        read(&[&["US", "us"], &[], &["DE", "ALL"], &["*"]]),
        [only(&["US"]), only(&[]), RegionSet::All, RegionSet::All]
    );
}

#[test]
fn repeated_genres_and_artists_count_once_and_absent_columns_are_unknown() {
    let folder = TempDir::new().unwrap();
    let path = file_of(
        &folder,
        vec![
            ("track_id", Arc::new(LargeStringArray::from(vec!["t1"])) as ArrayRef),
            ("artist_ids", text_rows(&[&["a2", "a1", "a2"]])),
            ("artist_names", text_rows(&[&["Bo", "Ana", "Bo again"]])),
            ("genres", text_rows(&[&["funk", "soul", "funk"]])),
            ("key", Arc::new(Int64Array::from(vec![-1])) as ArrayRef),
            ("popularity", Arc::new(Int32Array::from(vec![40])) as ArrayRef),
            ("label", Arc::new(NullArray::new(1)) as ArrayRef),
        ],
    );
    let track = good::<TrackTable>(&path).remove(0);
    let want = Track {
        artists: vec![artist("a2", "Bo"), artist("a1", "Ana")],
        genres: ["funk", "soul"].map(|genre| GenreTag { genre: genre.to_owned(), confidence: 1.0 }).into(),
        popularity: Some(40.0),
        ..bare_track("t1")
    };
    assert_eq!(track, want);
}

#[test]
fn the_identity_of_a_file_is_that_of_its_bytes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, vec![7; 3 << 20]).unwrap();
    assert_eq!(content_id(&path).unwrap(), blake3::hash(&vec![7; 3 << 20]).to_hex().to_string());
    assert!(matches!(content_id(&folder.path().join("absent")), Err(crate::Error::Io { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_title_number_or_missing_part_survives_the_file(
        title in ".*",
        tempo in proptest::option::of(f32::MIN_POSITIVE..500.0),
        energy in proptest::option::of(0.0_f32..=1.0),
        duration in proptest::option::of(1_u32..),
        day in proptest::option::of(-200_000..200_000_i32),
        confidence in 0.001_f32..=1.0,
    ) {
        let folder = TempDir::new().unwrap();
        let mut track = bare_track("t1");
        track.title = title;
        track.audio.tempo = tempo;
        track.audio.energy = energy;
        track.duration_ms = duration;
        track.release_date = day.map(Date);
        track.genres = vec![GenreTag { genre: "g".to_owned(), confidence }];
        let path = write::<TrackTable>(&folder, std::slice::from_ref(&track));
        prop_assert_eq!(good::<TrackTable>(&path), vec![track]);
    }
}
