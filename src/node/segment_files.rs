//! Files of new segments on their way from the node that built them: piece by piece, each file checked before it counts. What came of a
//! file stays when the node that gave it stops, and the next one goes on from there. Each node gives at most so many bytes a second.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use segue_cluster::{Call, Cluster, StoreId};
use segue_storage_format::FileReceiver;
use segue_storage_format::manifest::{FileEntry, segment_folder};
use segue_storage_format::publish::{create_folder, is_file_name};

use super::stop_points::{FETCH_PIECE, stop_point};
use crate::error::{Error, Result};
use crate::storage::codec;
use crate::storage::error::damaged;
use crate::storage::pinned::hash_file;
use crate::storage::track_shard::command::NewSegment;
use crate::storage::track_shard::{TrackShard, Workshop};

/// The call for a piece of a file of the first track shard.
pub(super) const READ_FILE: u32 = 1;
/// The same of another, whose number comes before.
pub(super) const READ_FILE_OF: u32 = 7;
/// What the answer of a node without the file begins with.
pub(super) const GONE: &str = "no such file";
/// Version of what they carry.
const VERSION: u16 = 1;
/// Bytes of a file in one call, at least and at most.
const PIECE_BYTES: (u64, u64) = (16 << 10, 1 << 20);
/// Pieces that a node gives in a second at its rate. Were one a matter of many seconds, a few who ask at a time would all wait for longer than
/// they wait for a call, and ask for the same again, for ever.
const PIECES_A_SECOND: u64 = 4;
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// How far ahead of its rate a node may give: what one call carries is never waited for alone.
const AHEAD: Duration = Duration::from_millis(100);

/// A piece of a segment's file that is asked for.
pub(super) struct WantedPiece {
    /// Number of the track shard.
    pub shard: u16,
    segment: u64,
    offset: u64,
    name: String,
}

impl WantedPiece {
    fn encode(self) -> Result<(u32, Bytes)> {
        let piece = (self.segment, self.offset, self.name);
        // Of the first shard as programs say it that know of one.
        let (topic, request) = match self.shard {
            0 => (READ_FILE, codec::encode(VERSION, &piece)?),
            number => (READ_FILE_OF, codec::encode(VERSION, &(number, piece))?),
        };
        Ok((topic, request.into()))
    }

    /// Reads a call.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are none.
    pub(super) fn decode(topic: u32, request: &[u8]) -> Result<Self> {
        let (shard, (segment, offset, name)) = match topic {
            READ_FILE => (0, codec::decode::<(u64, u64, String)>(VERSION, request)?),
            _ => codec::decode::<(u16, (u64, u64, String))>(VERSION, request)?,
        };
        Ok(Self { shard, segment, offset, name })
    }

    /// Reads the piece, for another node. Blocks for as long as others are given more than the rate allows.
    ///
    /// # Errors
    /// `Unavailable` when the file is not there; damaged files.
    pub(super) fn read(&self, shard: &TrackShard, giving: &Throttle) -> Result<Bytes> {
        let Self { segment, offset, name, .. } = self;
        if !is_file_name(name) {
            return Err(Error::invalid("name", "is no name of a segment's file"));
        }
        let path = segment_folder(shard.folder(), *segment).join(name);
        let Ok(file) = File::open(&path) else {
            return Err(Error::Unavailable(format!("{GONE}: `{name}` of segment {segment}")));
        };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let bytes = length.saturating_sub(*offset).min(giving.piece_bytes());
        let mut piece = vec![0; usize::try_from(bytes).unwrap_or(0)];
        file.read_exact_at(&mut piece, *offset)
            .map_err(|source| Error::io("read a segment's file", path, source))?;
        thread::sleep(giving.take(piece.len() as u64, Instant::now()));
        Ok(piece.into())
    }
}

/// A rate that all who give keep together: a bucket that empties at so many bytes a second.
pub(super) struct Throttle {
    bytes_per_second: u64,
    /// When what was given so far is paid for.
    paid: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), paid: Mutex::new(None) }
    }

    /// Bytes that are given at once, at most.
    fn piece_bytes(&self) -> u64 {
        (self.bytes_per_second / PIECES_A_SECOND).clamp(PIECE_BYTES.0, PIECE_BYTES.1)
    }

    /// Takes so many bytes at this moment; how long to wait before they are given.
    fn take(&self, bytes: u64, now: Instant) -> Duration {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut paid = self.paid.lock();
        let begun = paid.filter(|paid| *paid > now).unwrap_or(now);
        *paid = Some(begun + cost);
        (begun + cost).saturating_duration_since(now).saturating_sub(AHEAD)
    }
}

/// A segment whose files are fetched, from one node or from several in turn.
pub(super) struct SegmentFetch<'a> {
    shard: &'a TrackShard,
    workshop: &'a Workshop,
    new: &'a NewSegment,
    /// The file on its way, as far as it came.
    arriving: Option<FileReceiver>,
}

impl<'a> SegmentFetch<'a> {
    /// Nothing fetched yet.
    pub(super) fn new(shard: &'a TrackShard, workshop: &'a Workshop, new: &'a NewSegment) -> Self {
        Self { shard, workshop, new, arriving: None }
    }

    /// Fetches what is missing from one node; each file is checked before it counts. `before_each`: called before each piece.
    ///
    /// # Errors
    /// `NotFound` when that node does not have one; others when it cannot be asked, or the disk is full. What came stays.
    pub(super) fn from(
        &mut self,
        cluster: &Cluster,
        from: StoreId,
        before_each: &mut dyn FnMut(),
    ) -> Result<()> {
        self.by(&mut |wanted| {
            before_each();
            let (topic, request) = wanted.encode()?;
            let call = Call { to: from, topic, request, timeout: READ_TIMEOUT };
            cluster.call(call).map_err(|reason| {
                if reason.contains(GONE) {
                    Error::not_found("segment file", from)
                } else {
                    Error::Unavailable(reason)
                }
            })
        })
    }

    /// The same, by whatever reads a piece.
    fn by(&mut self, read: &mut dyn FnMut(WantedPiece) -> Result<Bytes>) -> Result<()> {
        let id = self.new.entry.id;
        let place = segment_folder(self.shard.folder(), id);
        let folder = segment_folder(self.workshop.folder(), id);
        create_folder(&folder).map_err(damaged)?;
        for file in self.new.entry.all_files() {
            let is_it = |(hash, _): ([u8; 32], u64)| hash == *file.content_id.as_bytes();
            let is_there = |folder: &Path| hash_file(&folder.join(&file.name)).is_ok_and(is_it);
            if is_there(&place) || is_there(&folder) || self.shard.link_nearby(self.workshop, id, file)? {
                continue;
            }
            self.fetch_file(&folder, file, read)?;
        }
        Ok(())
    }

    fn fetch_file(
        &mut self,
        folder: &Path,
        file: &FileEntry,
        read: &mut dyn FnMut(WantedPiece) -> Result<Bytes>,
    ) -> Result<()> {
        let mut receiver = match self.arriving.take().filter(|begun| begun.entry() == file) {
            Some(begun) => begun,
            None => FileReceiver::create(folder, file.clone()).map_err(damaged)?,
        };
        while receiver.received_bytes() < file.len {
            let wanted = WantedPiece {
                shard: self.shard.shard.0,
                segment: self.new.entry.id,
                offset: receiver.received_bytes(),
                name: file.name.clone(),
            };
            match read(wanted) {
                Ok(piece) if piece.is_empty() => return Err(Error::not_found("segment file", &file.name)),
                Ok(piece) => {
                    receiver.append(&piece).map_err(damaged)?;
                    stop_point(FETCH_PIECE);
                }
                Err(error) => {
                    // Another node may go on where this one stopped.
                    self.arriving = Some(receiver);
                    return Err(error);
                }
            }
        }
        receiver.finish().map_err(damaged)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use std::sync::Arc;

    use super::*;
    use crate::node::Segue;
    use crate::node::tests::{settings_without_reserve, track};

    #[test]
    fn what_all_take_together_keeps_to_the_rate() {
        let (throttle, start) = (Throttle::new(10_000_000), Instant::now());
        // A tenth of a second ahead is free: a million bytes.
        assert_eq!(throttle.take(1_000_000, start), Duration::ZERO);
        let waits: Vec<Duration> = (0..20).map(|_| throttle.take(1_000_000, start)).collect();
        assert_eq!(waits[0], Duration::from_millis(100));
        assert_eq!(waits[19], Duration::from_millis(2_000));
        // Whoever comes later pays for itself alone.
        assert_eq!(throttle.take(1_000_000, start + Duration::from_secs(5)), Duration::ZERO);
    }

    /// The slowest rate there is, and as many who ask at a time as two other nodes with sixteen shards each are.
    #[test]
    fn however_slowly_pieces_are_given_nobody_waits_for_longer_than_a_call_takes() {
        for rate in [65_536, 1_000_000, 100_000_000] {
            let (throttle, start) = (Throttle::new(rate), Instant::now());
            let waits = (0..32).map(|_| throttle.take(throttle.piece_bytes(), start));
            assert!(waits.max().unwrap() < READ_TIMEOUT / 2, "at {rate} bytes a second");
        }
        assert_eq!(Throttle::new(100_000_000).piece_bytes(), 1 << 20);
    }

    #[test]
    fn a_wanted_piece_comes_back_as_it_was_asked_for() {
        for shard in [0, 3] {
            let (topic, bytes) = WantedPiece { shard, segment: 7, offset: 1 << 40, name: "codes".to_owned() }
                .encode()
                .unwrap();
            assert_eq!(topic == READ_FILE, shard == 0);
            let back = WantedPiece::decode(topic, &bytes).unwrap();
            assert_eq!(
                (back.shard, back.segment, back.offset, back.name.as_str()),
                (shard, 7, 1 << 40, "codes")
            );
            assert!(WantedPiece::decode(topic, &bytes[..bytes.len() / 2]).is_err());
        }
    }

    fn one_shard(folder: &Path) -> (Segue, Arc<TrackShard>) {
        let (engine, _) = Segue::open(folder, settings_without_reserve()).unwrap();
        let shard = Arc::clone(&engine.inner().tracks.parts()[0].shard);
        (engine, shard)
    }

    #[test]
    fn another_node_goes_on_where_one_stopped_and_no_byte_is_asked_for_twice() {
        let (giver, taker) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, source) = one_shard(giver.path());
        from.upsert_tracks((0..300).map(track).collect()).unwrap();
        from.checkpoint().unwrap();
        let manifest = segue_storage_format::manifest::load(source.folder()).unwrap().unwrap().manifest;
        let new = NewSegment { entry: manifest.segments[0].clone(), set: None };
        let (_into, target) = one_shard(taker.path());
        let workshop = target.workshop().unwrap();
        let mut fetch = SegmentFetch::new(&target, &workshop, &new);
        // Pieces of 1,000 bytes at most, and each node stops after seven of them.
        let (unhurried, mut asked, mut nodes) = (Throttle::new(u64::MAX), Vec::new(), 0);
        loop {
            let (first, mut given) = (asked.len(), 0);
            let outcome = fetch.by(&mut |wanted: WantedPiece| {
                if given == 7 {
                    return Err(Error::Unavailable("the node is gone".to_owned()));
                }
                given += 1;
                let whole = wanted.read(&source, &unhurried)?;
                asked.push((wanted.name, wanted.offset));
                Ok(whole.slice(..whole.len().min(1_000)))
            });
            nodes += 1;
            match outcome {
                Ok(()) => break,
                Err(error) => assert_eq!(error.kind(), crate::error::ErrorKind::Unavailable),
            }
            assert!(asked.len() > first, "nothing came");
        }
        assert!(nodes > 3, "{nodes} nodes, {} pieces", asked.len());
        let bytes: u64 = new.entry.all_files().map(|file| file.len.div_ceil(1_000)).sum();
        assert_eq!(asked.len() as u64, bytes, "a piece for each thousand bytes, and none twice");
        let folder = segment_folder(workshop.folder(), new.entry.id);
        for file in new.entry.all_files() {
            let (hash, bytes) = hash_file(&folder.join(&file.name)).unwrap();
            assert_eq!((hash, bytes), (*file.content_id.as_bytes(), file.len), "{}", file.name);
        }
    }
}
