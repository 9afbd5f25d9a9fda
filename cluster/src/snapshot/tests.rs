//! Offers and files: what is written is read back, damage is refused, an interrupted transfer goes on.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::files::{DirStaging, SnapshotFiles, Staging};
use super::manifest::{Offer, SnapshotFile, SnapshotManifest};
use super::packet::{Chunk, Packet};
use super::transfer::{FetchDone, Progress, Transfers};
use crate::group::snapshots::FetchOrder;
use crate::ids::{GroupId, PeerId, StoreId};
use crate::members::Members;

const GROUP: GroupId = GroupId(4);

/// A snapshot in memory.
struct Memory {
    manifest: SnapshotManifest,
    contents: Vec<Vec<u8>>,
}

impl SnapshotFiles for Memory {
    fn manifest(&self) -> &SnapshotManifest {
        &self.manifest
    }

    fn read(&self, file: usize, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
        let rest = &self.contents[file][offset as usize..];
        Ok(rest[..rest.len().min(bytes as usize)].to_vec())
    }
}

fn memory(lengths: &[usize]) -> Memory {
    let content = |length: &usize| (0..*length).map(|i| (i * 7 + length) as u8).collect::<Vec<u8>>();
    let contents: Vec<Vec<u8>> = lengths.iter().map(content).collect();
    let file = |content: &Vec<u8>| SnapshotFile {
        name: format!("file-{}", content.len()),
        bytes: content.len() as u64,
        hash: *blake3::hash(content).as_bytes(),
    };
    let files = contents.iter().map(file).collect();
    let manifest = SnapshotManifest { index: 90, term: 7, data: vec![1, 2, 3].into(), files };
    Memory { manifest, contents }
}

fn order(snapshot: &Memory) -> FetchOrder {
    FetchOrder {
        peer: PeerId(1),
        from: PeerId(2),
        from_store: StoreId(20),
        snapshot: 55,
        manifest: snapshot.manifest.clone(),
    }
}

/// Answers the requests of a receiver until it is done, or `pieces` pieces are sent.
fn serve(
    receiver: &mut Transfers,
    mut progress: Progress,
    snapshot: &Memory,
    pieces: usize,
    mut spoil: impl FnMut(usize, &mut Chunk),
) -> (usize, Vec<FetchDone>) {
    let mut sender = Transfers::new(100, 1_000);
    let mut sent = 0;
    for _ in 0..1_000 {
        if !progress.done.is_empty() || sent >= pieces {
            break;
        }
        let Some(request) = progress.out.pop() else {
            sender.tick();
            progress = receiver.tick();
            continue;
        };
        let Packet::Fetch(fetch) = request.packet else { panic!("only requests leave a receiver") };
        progress = Progress::default();
        if let Some(mut chunk) = sender.serve(fetch, Some(snapshot)) {
            spoil(sent, &mut chunk);
            sent += 1;
            progress = receiver.take(GROUP, &chunk);
        }
    }
    (sent, progress.done)
}

fn staging(dir: &Path) -> Arc<DirStaging> {
    Arc::new(DirStaging::open(dir.join("staging")).unwrap())
}

#[test]
fn an_interrupted_transfer_goes_on_where_it_stopped_and_files_that_are_there_are_not_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = memory(&[1_000, 0, 350, 77]);
    let area = staging(dir.path());
    let mut receiver = Transfers::new(100, 1_000);
    let progress = receiver.fetch(GROUP, order(&snapshot), area.clone());
    let (sent, done) = serve(&mut receiver, progress, &snapshot, 12, |_, _| ());
    assert_eq!((sent, done.len()), (12, 0));
    // The receiver restarts: the first file is whole, the third one 200 of 350 bytes.
    let mut receiver = Transfers::new(100, 1_000);
    let progress = receiver.fetch(GROUP, order(&snapshot), area.clone());
    let (sent, done) = serve(&mut receiver, progress, &snapshot, 100, |_, _| ());
    assert_eq!(done, [FetchDone { group: GROUP, snapshot: 55, ok: true }]);
    assert_eq!(sent, 2 + 1);
    for (file, content) in snapshot.manifest.files.iter().zip(&snapshot.contents) {
        assert_eq!(fs::read(area.path(file)).unwrap(), *content);
    }
}

#[test]
fn a_piece_damaged_on_the_way_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = memory(&[1_000]);
    let mut receiver = Transfers::new(100, 1_000);
    let progress = receiver.fetch(GROUP, order(&snapshot), staging(dir.path()));
    let spoil = |sent: usize, chunk: &mut Chunk| chunk.crc ^= u32::from(sent % 3 == 1);
    let (sent, done) = serve(&mut receiver, progress, &snapshot, 100, spoil);
    assert!(done[0].ok);
    assert_eq!(sent, 15, "ten pieces and the five that were damaged");
}

#[test]
fn a_file_that_is_not_what_was_announced_is_fetched_anew_and_at_last_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut snapshot = memory(&[250]);
    let area = staging(dir.path());
    snapshot.contents[0][120] ^= 1;
    let mut receiver = Transfers::new(100, 1_000);
    let progress = receiver.fetch(GROUP, order(&snapshot), area.clone());
    let (sent, done) = serve(&mut receiver, progress, &snapshot, 1_000, |_, _| ());
    assert_eq!(done, [FetchDone { group: GROUP, snapshot: 55, ok: false }]);
    assert_eq!(sent, 4 * 3);
    assert!(!area.holds(&snapshot.manifest.files[0]));
}

#[test]
fn a_sender_that_never_answers_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut receiver = Transfers::new(100, 1_000);
    let mut asked = receiver.fetch(GROUP, order(&memory(&[250])), staging(dir.path())).out.len();
    for _ in 0..200 {
        let progress = receiver.tick();
        asked += progress.out.len();
        if let Some(done) = progress.done.first() {
            assert!(!done.ok);
            assert_eq!(asked, 12);
            return;
        }
    }
    panic!("it is still waiting");
}

#[test]
fn two_groups_receive_at_a_time_and_a_sender_keeps_to_its_budget() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = memory(&[250]);
    let mut receiver = Transfers::new(100, 1_000);
    let mut asked = 0;
    for group in 1..=3 {
        asked += receiver.fetch(GroupId(group), order(&snapshot), staging(dir.path())).out.len();
    }
    assert_eq!(asked, 2);
    let mut sender = Transfers::new(100, 250);
    let fetch = super::packet::Fetch { snapshot: 55, file: 0, offset: 0 };
    let served = |sender: &mut Transfers| {
        (0..9).filter(|_| sender.serve(fetch.clone(), Some(&snapshot)).is_some()).count()
    };
    assert_eq!(served(&mut sender), 3);
    sender.tick();
    assert_eq!(served(&mut sender), 3);
}

#[test]
fn files_of_an_earlier_snapshot_are_removed_before_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (memory(&[100, 200]), memory(&[200, 300]));
    let area = staging(dir.path());
    for (file, content) in old.manifest.files.iter().zip(&old.contents) {
        area.append(file, 0, content).unwrap();
        assert!(area.finish(file).unwrap());
    }
    area.keep_only(&new.manifest.files).unwrap();
    assert!(!area.holds(&old.manifest.files[0]));
    assert!(area.holds(&new.manifest.files[0]), "a file of both stays");
}

#[test]
fn every_truncation_and_flipped_bit_of_an_offer_is_refused_or_read_without_panic() {
    let members = Members::bootstrap(8, &[(PeerId(1), StoreId(10)), (PeerId(2), StoreId(20))]);
    let offer = Offer { id: 3, members, manifest: memory(&[10, 20]).manifest };
    let whole = offer.encode();
    assert_eq!(Offer::decode(&whole), Ok(offer));
    for end in 0..whole.len() {
        assert!(Offer::decode(&whole[..end]).is_err(), "cut at {end}");
    }
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = Offer::decode(&damaged) {
            assert!(!read.members.conf_state.voters.is_empty());
        }
    }
}

#[test]
fn a_file_name_leads_nowhere_else() {
    for name in ["../x", "a/b", "", ".hidden", "a\\b", "\u{e4}"] {
        let mut manifest = memory(&[10]).manifest;
        manifest.files[0].name = name.to_owned();
        let members = Members::bootstrap(8, &[(PeerId(1), StoreId(10))]);
        assert!(Offer::decode(&Offer { id: 3, members, manifest }.encode()).is_err(), "{name}");
    }
}
