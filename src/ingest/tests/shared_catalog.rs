use super::*;

/// The reference catalogue, or `None` (said loudly) where it is not installed.
fn catalog(file: &str) -> Option<PathBuf> {
    let data = std::env::var_os("SEGUE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = data.join("catalog").join(file);
    if !path.exists() {
        eprintln!("SKIPPED: reference data is absent. path=`{}`", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn every_row_of_the_reference_catalogue_is_good_and_85_percent_are_everywhere() {
    let Some(path) = catalog("tracks.parquet") else { return };
    let tracks: Vec<Track> = all::<TrackTable>(&path).into_iter().map(|(_, track)| track.unwrap()).collect();
    let count = |test: fn(&Track) -> bool| tracks.iter().filter(|track| test(track)).count();
    assert_eq!(tracks.len(), 130_695);
    assert_eq!(count(|track| track.regions == RegionSet::All), 110_443);
    assert_eq!(count(|track| track.genres.is_empty()), 60_541);
    assert_eq!(count(|track| track.audio.tempo.is_none()), 54);
    assert_eq!(count(|track| track.explicit == Some(true)), 14_451);
    assert_eq!(count(|track| track.popularity.is_none()), 49_388);
}

#[test]
fn every_row_of_the_reference_users_and_vectors_is_good() {
    let (Some(users), Some(vectors)) = (catalog("users.parquet"), catalog("user_cf.parquet")) else { return };
    assert_eq!(all::<UserTable>(&users).iter().filter(|(_, user)| user.is_ok()).count(), 1_902);
    let vectors = all::<VectorTable>(&vectors);
    assert!(vectors.iter().all(|(_, row)| row.as_ref().is_ok_and(|row| row.vector.len() == 64)));
    assert_eq!(vectors.len(), 1_882);
}
