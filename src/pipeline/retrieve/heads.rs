//! Opened indexes of sealed segments, kept between requests.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use segue_index::{Guard, IndexHead, IndexSlices, IndexView, Rows};
use segue_storage_format::container::Block;

use crate::error::{Error, Result};
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::vectors::{IndexFiles, SealedVectors, VectorBody};
use crate::types::{Metric, ShardId};

/// Heads kept before those of vanished segments are dropped.
const HEADS_MAX: usize = 256;

/// The small in-memory part of each sealed index, made when it is first searched and its links checked then, once; those of files
/// that are checked as they are used later, by [`IndexHeads::check_links`].
#[derive(Default)]
pub struct IndexHeads {
    heads: RwLock<HashMap<(ShardId, u64, Metric), Arc<IndexHead>>>,
}

impl IndexHeads {
    /// The head of a segment's index for `metric`; `None` when the segment has no index.
    ///
    /// # Errors
    /// `Corrupt` when the index's arrays do not fit together.
    pub fn head(
        &self,
        view: &TrackView,
        sealed: &SealedVectors,
        metric: Metric,
    ) -> Result<Option<Arc<IndexHead>>> {
        let Some(files) = sealed.indexes.iter().find(|files| files.metric == metric) else { return Ok(None) };
        let key = (view.shard, sealed.entry.id, metric);
        if let Some(head) = self.heads.read().get(&key) {
            return Ok(Some(Arc::clone(head)));
        }
        let head = open_head(sealed, files)?;
        if files.is_sound() {
            open_view(&head, sealed, files)?.check().map_err(|error| damaged(sealed, &error))?;
        }
        let head = Arc::new(head);
        let mut heads = self.heads.write();
        if heads.len() >= HEADS_MAX {
            heads.retain(|(shard, segment, _), _| *shard != view.shard || is_live(view, *segment));
        }
        heads.insert(key, Arc::clone(&head));
        Ok(Some(head))
    }

    /// Checks the links of an index whose graph is whole by now, on the rayon pool of the caller; from then on searches use it
    /// unguarded.
    ///
    /// # Errors
    /// `Corrupt` when a link leads to no node.
    pub fn check_links(&self, view: &TrackView, sealed: &SealedVectors, files: &IndexFiles) -> Result<()> {
        let Some(head) = self.head(view, sealed, files.metric)? else { return Ok(()) };
        if let Err(error) = open_view(&head, sealed, files)?.check() {
            let error = damaged(sealed, &error);
            files.graph.file().note(error.to_string());
            return Err(error);
        }
        files.set_sound();
        Ok(())
    }

    /// Opens and checks every index of a version, so that no request has to.
    ///
    /// # Errors
    /// As [`IndexHeads::head`].
    pub fn open_all(&self, view: &TrackView) -> Result<()> {
        for set in view.sets.values() {
            for segment in &set.segments {
                if let VectorBody::Sealed(sealed) = &segment.body {
                    for files in &sealed.indexes {
                        self.head(view, sealed, files.metric)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_live(view: &TrackView, segment: u64) -> bool {
    view.sets.values().flat_map(|set| &set.segments).any(|known| u64::from(known.id) == segment)
}

/// Makes the in-memory part of a segment's index, with what makes searches under filters fast.
///
/// # Errors
/// `Corrupt` when the index's arrays do not fit together.
pub fn open_head(sealed: &SealedVectors, files: &IndexFiles) -> Result<IndexHead> {
    let head = IndexHead::open(files.codes.meta()).map_err(|error| damaged(sealed, &error))?;
    head.with_sieve(&slices_of(files)?).map_err(|error| damaged(sealed, &error))
}

/// The arrays of an index.
fn slices_of(files: &IndexFiles) -> Result<IndexSlices<'_>> {
    Ok(IndexSlices {
        codes: files.codes.bytes("codes").map_err(crate::storage::error::damaged)?,
        factors: files.codes.bytes("factors").map_err(crate::storage::error::damaged)?,
        rows: files.graph.bytes("rows").map_err(crate::storage::error::damaged)?,
    })
}

/// Puts a segment's mapped arrays behind its head.
///
/// # Errors
/// `Corrupt` when they do not fit.
pub fn open_view<'a>(
    head: &'a IndexHead,
    sealed: &'a SealedVectors,
    files: &'a IndexFiles,
) -> Result<IndexView<'a>> {
    let view = head.view(slices_of(files)?, rows_of(sealed)?).map_err(|error| damaged(sealed, &error))?;
    Ok(view)
}

/// The rows of a segment that was opened to be checked as it is used: each is checked before a search uses it.
pub struct UncheckedRows<'a> {
    sealed: &'a SealedVectors,
    files: &'a IndexFiles,
    rows: Block,
}

impl<'a> UncheckedRows<'a> {
    /// The guard of a segment's index; `None` once nothing is left to be checked.
    ///
    /// # Errors
    /// `Corrupt` when the graph has no rows.
    pub fn of(sealed: &'a SealedVectors, files: &'a IndexFiles) -> Result<Option<Self>> {
        if files.is_sound() && sealed.vectors.file().is_whole() {
            return Ok(None);
        }
        let rows = files.graph.block("rows").map_err(crate::storage::error::damaged)?;
        Ok(Some(Self { sealed, files, rows }))
    }
}

impl Guard for UncheckedRows<'_> {
    fn row(&self, node: u32) -> bool {
        let (at, stride) = (u64::from(node), self.rows.stride);
        self.files.graph.file().ensure(&self.rows, at * stride..(at + 1) * stride).is_ok()
    }

    fn vector(&self, node: u32) -> bool {
        self.sealed.vectors.ensure(node as usize).is_ok()
    }

    fn stray_link(&self, node: u32) {
        let file = self.files.graph.file();
        file.note(format!(
            "a row of a graph links to no node. file=`{}`, row=`{node}`",
            file.path().display()
        ));
    }
}

/// As [`open_view`], with a guard where one is needed.
///
/// # Errors
/// As [`open_view`].
pub fn open_guarded<'a>(
    head: &'a IndexHead,
    sealed: &'a SealedVectors,
    files: &'a IndexFiles,
    guard: Option<&'a UncheckedRows<'a>>,
) -> Result<IndexView<'a>> {
    let Some(guard) = guard else { return open_view(head, sealed, files) };
    let view = head.guarded_view(slices_of(files)?, rows_of(sealed)?, guard);
    view.map_err(|error| damaged(sealed, &error))
}

/// Checks all vectors of a segment, unless they were, and returns them: for scans.
///
/// # Errors
/// `Corrupt` when they are damaged or do not fit.
pub fn checked_rows_of(sealed: &SealedVectors) -> Result<Rows<'_>> {
    sealed.vectors.file().ensure_all().map_err(crate::storage::error::damaged)?;
    rows_of(sealed)
}

/// A segment's full-precision vectors.
///
/// # Errors
/// `Corrupt` when they do not fit.
pub fn rows_of(sealed: &SealedVectors) -> Result<Rows<'_>> {
    let (data, stride) = sealed.vectors.raw();
    Rows::new(data, sealed.vectors.rows(), sealed.vectors.dim(), stride)
        .map_err(|error| damaged(sealed, &error))
}

fn damaged(sealed: &SealedVectors, error: &segue_index::IndexError) -> Error {
    Error::Corrupt(format!("the index of a segment cannot be used. segment=`{}`: {error}", sealed.entry.id))
}
