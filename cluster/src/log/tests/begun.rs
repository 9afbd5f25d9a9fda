//! Files of the log that a kill or a full disk left begun.

use super::*;

/// A log of several files in both queues beside its model, closed while the file behind the newest of `queue` was
/// begun with these bytes, and these stood behind the last record of the newest; then opened, written and compared several
/// times. Returns that file's last header, if there is one.
fn goes_on_behind(begun: &[u8], tail: &[u8], queue: &str) -> Option<Header> {
    let dir = tempfile::tempdir().unwrap();
    let mut pair = Pair::new(dir.path());
    small_history(&mut pair);
    pair.close();
    let newest = log_files(dir.path()).into_iter().rfind(|file| file.extension().unwrap() == queue).unwrap();
    let number: u64 = newest.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let next = dir.path().join(format!("{:016}.{queue}", number + 1));
    fs::write(&next, begun).unwrap();
    let end = fs::metadata(&newest).unwrap().len();
    fs::write(&newest, [fs::read(&newest).unwrap().as_slice(), tail].concat()).unwrap();
    let torn = scan(dir.path()).unwrap();
    let is_expected =
        |it: &TornTail| it.file == next && it.offset == 0 || it.file == newest && it.offset == end;
    assert!(torn.iter().all(is_expected), "{torn:?}");
    assert_eq!(torn.iter().any(|it| it.file == newest), tail.iter().any(|byte| *byte != 0));
    let mut header = None;
    for _ in 0..3 {
        pair.engine =
            Arc::new(EngineLog::open(dir.path(), FILE_BYTES, DISK_BYTES, Env::real().disk).unwrap());
        pair.resume();
        for group in GROUPS {
            pair.step(&Step::Append { group, overwrite: 0, count: 4, bytes: 100 });
        }
        pair.compare();
        pair.close();
        assert_eq!(scan(dir.path()).unwrap(), []);
        header = fs::read(&next).ok().map(|bytes| Header::of(&bytes).unwrap());
    }
    header
}

/// The engine takes up such a file in a version that was refused at the start after next: seen after a kill -9.
#[test]
fn a_kill_before_a_new_file_has_its_header_loses_nothing() {
    for queue in ["raftlog", "rewrite"] {
        let header = header::newest();
        for length in (0..header.len()).step_by(6) {
            let header = goes_on_behind(&header[..length], &[], queue);
            assert!(header.is_none_or(|header| header == Header::NEWEST), "{length} bytes");
        }
        let allocated = [header.as_slice(), &[0; 4 << 10]].concat();
        assert_eq!(goes_on_behind(&allocated, &[], queue), Some(Header::NEWEST));
        let header = goes_on_behind(&[0; 4 << 10], &[], queue);
        assert!(header.is_none_or(|header| header == Header::NEWEST));
    }
}

/// A disk without room leaves a file that was only begun, and the engine goes on with the one before it: after a kill that one may
/// end in a torn write, or in room that was allocated. Found by simulation: the start called it damage.
#[test]
fn a_kill_after_the_disk_was_full_when_a_file_was_begun_loses_nothing() {
    let header = header::newest();
    for queue in ["raftlog", "rewrite"] {
        for tail in [&[0_u8; 900][..], &[7; 33], &[[7_u8; 33], [0; 33]].concat()] {
            for begun in [&header[..0], &header[..34], &header[..header.len() - 1]] {
                let header = goes_on_behind(begun, tail, queue);
                assert!(header.is_none_or(|header| header == Header::NEWEST), "{} bytes", begun.len());
            }
        }
    }
    // Behind a file with a header nobody can have been writing: there it is damage.
    for (bytes, is_damage) in [(&header[..], true), (&header[..header.len() - 1], false)] {
        let dir = tempfile::tempdir().unwrap();
        small_log(dir.path());
        let newest = log_files(dir.path()).into_iter().rfind(|file| file.extension().unwrap() == "raftlog");
        let newest = newest.unwrap();
        let number: u64 = newest.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        fs::write(&newest, [fs::read(&newest).unwrap().as_slice(), &[7; 33]].concat()).unwrap();
        fs::write(dir.path().join(format!("{:016}.raftlog", number + 1)), bytes).unwrap();
        let damage = |found: Result<(), crate::LogError>| matches!(found, Err(crate::LogError::Damaged { file, .. }) if file == newest);
        assert_eq!(damage(scan(dir.path()).map(drop)), is_damage);
        let (found, _) = survey(dir.path()).unwrap();
        assert_eq!(found.into_iter().any(|error| damage(Err(error))), is_damage);
    }
}

/// What the engine wrote after such a kill before its files were looked at first.
#[test]
fn a_file_of_version_1_is_read_and_goes_on() {
    let unsigned = header::of_version_1();
    let header = goes_on_behind(&unsigned, &[], "raftlog").unwrap();
    assert_eq!(header, Header { bytes: unsigned.len(), signs: false });
}
