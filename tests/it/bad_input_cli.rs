//! Bad input through the commands: exit status 1 or 2, the field named on standard error, nothing on standard output, and
//! nothing half-written. The goal: what the library and gRPC refuse, the program refuses too, before or after the wire.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, Float32Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use segue::Segue;
use segue::ingest::{PlayTable, TableWriter, write_vectors};
use segue::types::Entity;
use serde_json::Value;

use crate::running::{Running, document, run};
use crate::support::{DIM, World, small_segments};

/// A file with these columns.
fn parquet(folder: &Path, name: &str, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let path = folder.join(name);
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn texts(cells: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(cells.to_vec()))
}

fn lists(cells: &[&str]) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for cell in cells {
        builder.values().append_value(cell);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// Runs a command that must be refused, and returns what it said.
fn refusal(case: &str, arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{case}: {}: {said}", output.status);
    assert_eq!(output.stdout.len(), 0, "{case}: nothing on standard output");
    assert!(said.len() < 2_000, "{case}: an error must not repeat megabytes: {} bytes", said.len());
    said
}

/// What a refused command might have changed.
fn contents(at: &[&str]) -> Vec<Value> {
    let list = |line: &[&str]| document(&[line, at].concat());
    vec![
        list(&["list", "tracks", "--limit", "1000"]),
        list(&["list", "users", "--limit", "1000"]),
        list(&["list", "vectors", "--space", "audio", "--limit", "1000"]),
        list(&["generation", "list"]),
        list(&["recipe", "list"]),
    ]
}

struct Place {
    _folder: tempfile::TempDir,
    files: PathBuf,
    server: Running,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let (engine, _) = Segue::open(&data, small_segments()).unwrap();
        World::generate(21, 120, 6).load(&engine);
        engine.shutdown().unwrap();
        drop(engine);
        let files = folder.path().join("files");
        std::fs::create_dir(&files).unwrap();
        Self { server: Running::start(&data, &[]), files, _folder: folder }
    }
}

#[test]
fn wrong_questions_name_their_field() {
    let place = Place::new();
    let at = ["--endpoint", place.server.endpoint.as_str(), "--json"];
    let before = contents(&at);
    let zero = format!("[{}]", vec!["0"; DIM].join(","));
    let huge = format!("[{}]", vec!["1e39"; DIM].join(","));
    let short = format!("[{}]", vec!["1"; DIM - 1].join(","));
    let user = ["recommend", "--surface", "radio", "--user"];
    let recommend = |rest: &[&'static str]| [&user[..], &["u1"], rest].concat();
    let cases: Vec<(&str, Vec<&str>, &str)> = vec![
        ("empty user", [&user[..], &[""]].concat(), "--user"),
        ("unknown user", [&user[..], &["nobody"]].concat(), "user not found"),
        ("n 0", recommend(&["--n", "0"]), "n: must be 1"),
        ("n huge", recommend(&["--n", "4000000000"]), "n: must be 1"),
        (
            "duplicate seeds",
            recommend(&["--seed", "t1", "--seed", "t1"]),
            "seeds: must not name the same twice",
        ),
        ("unknown seed", recommend(&["--seed", "nothing"]), "track not found"),
        ("contradiction", recommend(&["--artist", "a1", "--exclude-artist", "a1"]), "filter.exclude_artists"),
        ("genres", recommend(&["--genre", "jazz", "--exclude-genre", "jazz"]), "filter.exclude_genres"),
        ("tempo 0", recommend(&["--tempo", "0..100"]), "filter.tempo"),
        ("energy NaN", recommend(&["--energy", "NaN..1"]), "filter.energy"),
        ("popularity turned round", recommend(&["--popularity", "80..20"]), "filter.popularity"),
        ("unknown recipe", recommend(&["--recipe", "nothing"]), "recipe not found"),
        ("unknown generation", recommend(&["--generation", "99"]), "generation not found"),
        ("not a time", recommend(&["--as-of", "yesterday"]), "--as-of"),
        ("not a token", recommend(&["--min-token", "17"]), "--min-token"),
        ("k 0", vec!["similar", "--track", "t1", "--k", "0"], "k: must be 1"),
        ("k huge", vec!["similar", "--track", "t1", "--k", "4000000000"], "k: must be 1"),
        ("unknown track", vec!["similar", "--track", "nothing"], "track not found"),
        ("weight", vec!["similar", "--track", "t1=NaN"], "seeds.weight"),
        ("unknown space", vec!["similar", "--track", "t1", "--space", "nowhere"], "space not found"),
        ("dimension", vec!["search", "--space", "audio", "--vector", short.as_str()], "vector"),
        ("infinity", vec!["search", "--space", "audio", "--vector", huge.as_str()], "vector"),
        ("zero by cosine", vec!["search", "--space", "audio", "--vector", zero.as_str()], "vector"),
        (
            "unknown track",
            vec!["explain", "--user", "u1", "--surface", "radio", "--track", "nothing"],
            "track not found",
        ),
        (
            "unknown user",
            vec!["feedback", "--user", "nobody", "--action", "play", "--track", "t1"],
            "user not found",
        ),
        ("no track", vec!["feedback", "--user", "u1", "--action", "play"], "track_id"),
        ("no artist", vec!["feedback", "--user", "u1", "--action", "block_artist"], "artist_id"),
        ("empty id", vec!["feedback", "--user", "u1", "--action", "play", "--track", ""], "--track"),
        ("dim 0", vec!["generation", "create", "--dim", "0"], "dim"),
        ("nothing to activate", vec!["generation", "activate", "99"], "generation not found"),
        ("page", vec!["list", "tracks", "--page", "x"], "page"),
        ("page", vec!["list", "vectors", "--space", "audio", "--page", "x"], "page"),
        ("limit", vec!["list", "users", "--limit", "0"], "limit"),
    ];
    for (case, line, expected) in cases {
        let said = refusal(case, &[line.as_slice(), &at].concat());
        assert!(said.contains(expected), "{case}: expected `{expected}` in: {said}");
    }
    assert_eq!(contents(&at), before);
}

#[test]
fn wrong_files_name_column_and_row_and_leave_nothing() {
    let place = Place::new();
    let at = ["--endpoint", place.server.endpoint.as_str(), "--json"];
    let before = contents(&at);
    let file = |name: &str, columns| parquet(&place.files, name, columns).display().to_string();
    let plays = place.files.join("plays.parquet");
    let empty = TableWriter::create(&plays, PlayTable).unwrap();
    empty.finish().unwrap();
    let plays = plays.display().to_string();
    let good = ("artist_ids", lists(&["a1", "a2"]));
    let long = "x".repeat(10 << 20);
    let no_id = file("no_id.parquet", vec![good.clone()]);
    let wrong_type = file(
        "wrong_type.parquet",
        vec![("track_id", Arc::new(Float32Array::from(vec![1.0, 2.0]))), good.clone()],
    );
    let empty_id = file("empty_id.parquet", vec![("track_id", texts(&["n1", ""])), good.clone()]);
    let long_id = file("long_id.parquet", vec![("track_id", texts(&["n1", long.as_str()])), good.clone()]);
    let tempo: ArrayRef = Arc::new(Float32Array::from(vec![100.0, 0.0]));
    let tempo =
        file("tempo.parquet", vec![("track_id", texts(&["n1", "n2"])), good.clone(), ("tempo", tempo)]);
    let vectors = |name: &str, ids: &[&str], dim: usize, matrix: &[f32]| {
        let path = place.files.join(name);
        write_vectors(&path, Entity::Track, dim, ids.iter().copied().zip(matrix.chunks(dim))).unwrap();
        path.display().to_string()
    };
    let dimension = vectors("dimension.parquet", &["t1", "t2"], DIM + 1, &[1.0; 2 * (DIM + 1)]);
    let zero = vectors("zero.parquet", &["t1", "t2"], DIM, &[vec![1.0; DIM], vec![0.0; DIM]].concat());
    let unknown = vectors("unknown.parquet", &["t1", "nothing"], DIM, &[1.0; 2 * DIM]);
    let text = place.files.join("text.parquet");
    std::fs::write(&text, "not Parquet at all").unwrap();
    let text = text.display().to_string();
    let audio = ["--space", "audio"];
    let cases: Vec<(&str, Vec<&str>, &[&str])> = vec![
        ("no id column", vec!["tracks", &no_id], &["track_id"]),
        ("type of the id", vec!["tracks", &wrong_type], &["track_id"]),
        ("plays as tracks", vec!["tracks", &plays], &["artist_ids"]),
        ("plays as vectors", vec!["vectors", &plays, "--space", "audio"], &["track_id"]),
        ("tracks as plays", vec!["plays", &empty_id], &["user_id"]),
        ("empty id", vec!["tracks", &empty_id], &["row 1", "track_id"]),
        ("10 MB id", vec!["tracks", &long_id], &["row 1", "track_id"]),
        ("tempo 0", vec!["tracks", &tempo], &["row 1", "tempo"]),
        ("wrong dimension", [&["vectors", dimension.as_str()], &audio[..]].concat(), &["vector"]),
        ("zero by cosine", [&["vectors", zero.as_str()], &audio[..]].concat(), &["row 1", "vector"]),
        (
            "unknown track",
            [&["vectors", unknown.as_str()], &audio[..]].concat(),
            &["row 1", "track not found"],
        ),
        ("no space", vec!["vectors", &zero], &["--space"]),
        ("unknown space", vec!["vectors", &zero, "--space", "nowhere"], &["space not found"]),
        ("not Parquet", vec!["tracks", &text], &["text.parquet"]),
        ("not there", vec!["tracks", "/nowhere/at/all.parquet"], &["/nowhere/at/all.parquet"]),
    ];
    for (case, line, expected) in cases {
        let said = refusal(case, &[&["load"], line.as_slice(), &at].concat());
        for part in expected {
            assert!(said.contains(part), "{case}: expected `{part}` in: {said}");
        }
    }
    assert_eq!(contents(&at), before);
}
