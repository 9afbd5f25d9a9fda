use super::*;

/// Reads a file to its end or first error; never panics, whatever its bytes.
fn survives<T: Table>(path: &Path) {
    let Ok(mut rows) = Rows::<T>::open(path) else { return };
    while let Ok(batch) = rows.next_batch(100) {
        if batch.is_empty() {
            return;
        }
    }
}

#[test]
fn truncated_and_flipped_files_give_errors_or_rows_but_no_panic() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5e9e_u64);
    eprintln!("SEED={seed}");
    let mut rng = SplitMix64::new(seed);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("plays.parquet");
    let mut writer = PlayWriter::create(&path, PlayTable).unwrap();
    let plays: Vec<Play> = (0..200)
        .map(|i| Play {
            user_id: UserId::new(format!("u{}", i % 5)).unwrap(),
            track_id: TrackId::new(format!("t{i}")).unwrap(),
            played_at: Timestamp(i64::from(i)),
            listened_ms: i,
            action: PlayAction::Play,
        })
        .collect();
    writer.write(&plays).unwrap();
    writer.finish().unwrap();
    let whole = std::fs::read(&path).unwrap();
    for _ in 0..1_500 {
        let mut bytes = whole.clone();
        let at = rng.below(bytes.len() as u64) as usize;
        if rng.below(4) == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << rng.below(8);
        }
        std::fs::write(&path, &bytes).unwrap();
        survives::<PlayTable>(&path);
    }
}
