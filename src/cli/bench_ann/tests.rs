use std::path::{Path, PathBuf};

use clap::Parser;
use segue_index::SplitMix64;

use super::{BenchAnnArgs, run};

/// Rows, so many that they are indexed in several batches.
const N: usize = 3_000;
const DIM: usize = 32;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: BenchAnnArgs,
}

/// Writes an array of 4-byte numbers.
fn write_npy(path: &Path, kind: &str, (rows, columns): (usize, usize), bytes: &[u8]) {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    header.extend(std::iter::repeat_n(' ', 63 - (10 + header.len()) % 64));
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend_from_slice(&u16::try_from(header.len()).unwrap().to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(bytes);
    std::fs::write(path, file).unwrap();
}

fn write_vectors(path: &Path, random: &mut SplitMix64, rows: usize) {
    let number = |random: &mut SplitMix64| random.below(2_001) as f32 / 1_000.0 - 1.0;
    let bytes: Vec<u8> = (0..rows * DIM).flat_map(|_| number(random).to_le_bytes()).collect();
    write_npy(path, "<f4", (rows, DIM), &bytes);
}

/// Base, queries and one filter that allows every third row.
fn files(folder: &Path) -> PathBuf {
    let mut random = SplitMix64::new(7);
    write_vectors(&folder.join("base.npy"), &mut random, N);
    write_vectors(&folder.join("query.npy"), &mut random, 40);
    let filters = folder.join("filters");
    std::fs::create_dir(&filters).unwrap();
    let allowed: Vec<u32> = (0..N as u32).step_by(3).collect();
    let bytes: Vec<u8> = allowed.iter().flat_map(|row| row.to_le_bytes()).collect();
    write_npy(&filters.join("0.33-random.allow.npy"), "<u4", (allowed.len(), 1), &bytes);
    std::fs::copy(folder.join("query.npy"), filters.join("0.33-random.query.npy")).unwrap();
    filters
}

fn args(folder: &Path, more: &[&str]) -> BenchAnnArgs {
    let file = |name: &str| folder.join(name).display().to_string();
    let (base, query, index) = (file("base.npy"), file("query.npy"), file("index"));
    let mut line = vec!["bench", "--query", &query, "--index", &index, "--metric", "ip"];
    line.extend(["--seconds", "0.001", "--ef", "0"]);
    if !folder.join("index").exists() {
        line.extend(["--base", &base]);
    }
    line.extend(more);
    Command::try_parse_from(line).unwrap().args
}

#[test]
fn a_kept_segment_is_opened_again_and_finds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let built = run(&args(folder.path(), &[])).unwrap();
    assert!(built.build.is_some() && built.curve[0].recall >= 0.95, "{built:?}");
    let opened = run(&args(folder.path(), &[])).unwrap();
    assert!(opened.build.is_none());
    assert_eq!(opened.curve[0].recall, built.curve[0].recall);
    let wrong = run(&args(folder.path(), &["--profile", "compact"])).unwrap_err();
    assert!(wrong.to_string().contains("no compact index for ip"), "{wrong}");
}

#[test]
fn filters_are_judged_by_the_rows_they_allow() {
    let folder = tempfile::tempdir().unwrap();
    let filters = files(folder.path());
    let filters_text = filters.display().to_string();
    let missing = run(&args(folder.path(), &["--filters", &filters_text])).unwrap_err();
    assert!(missing.to_string().contains("truth.npy"), "{missing}");
    // By brute force over what was written.
    let base = crate::ingest::npy::read_floats(&folder.path().join("base.npy")).unwrap();
    let query = crate::ingest::npy::read_floats(&folder.path().join("query.npy")).unwrap();
    let mut truth = Vec::new();
    for query in query.data.chunks_exact(DIM) {
        let score = |row: usize| -> f32 {
            base.data[row * DIM..(row + 1) * DIM].iter().zip(query).map(|(a, b)| a * b).sum()
        };
        let mut rows: Vec<usize> = (0..N).step_by(3).collect();
        rows.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        truth.extend(rows[..10].iter().flat_map(|&row| (row as u32).to_le_bytes()));
    }
    write_npy(&filters.join("0.33-random.truth.npy"), "<u4", (40, 10), &truth);
    let report = run(&args(folder.path(), &["--filters", &filters_text])).unwrap();
    let bar = report.filters.unwrap();
    assert_eq!((bar.rows.len(), bar.rows[0].allowed), (1, N.div_ceil(3)));
    assert!(bar.rows[0].recall >= 0.95 && bar.rows[0].recall <= 1.0, "{bar:?}");
    assert!(bar.rows[0].p50_us > 0.0 && bar.rows[0].exact_p50_us > 0.0, "{bar:?}");
}
