//! Steps at which a test ends this process, as a crash there would: from each of them a bulk load goes on, or is cleaned up.
//!
//! Only programs with debug assertions have them, as tests build them; in a release they are nothing. `STOP_POINT=load::built segue
//! serve ...` ends the server when it first comes by. Why not the `fail` crate: docs/adr/0028-stop-points.md.

#[cfg(debug_assertions)]
use std::sync::LazyLock;

/// Where this process is to end.
#[cfg(debug_assertions)]
static WANTED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("STOP_POINT").ok());

/// On the node that is asked: a batch of vectors is staged and fsynced, and not acknowledged.
pub(super) const LOAD_STAGED: &str = "load::staged";
/// A segment has its number, and no file.
pub(super) const LOAD_NUMBERED: &str = "load::numbered";
/// Its files are there, and nobody else has them.
pub(super) const LOAD_BUILT: &str = "load::built";
/// A majority has them, and no entry names them.
pub(super) const LOAD_SPREAD: &str = "load::spread";
/// The segment is live, and the staged rows are there still.
pub(super) const LOAD_LIVE: &str = "load::live";
/// On another node: a piece of a file has come.
pub(super) const FETCH_PIECE: &str = "fetch::piece";
/// All files of a segment have come, and are not in their place.
pub(super) const FETCH_WHOLE: &str = "fetch::whole";
/// They are in their place, and the node that built them has not been told.
pub(super) const FETCH_PLACED: &str = "fetch::placed";

/// Ends the process as a crash does, if the environment asked for it here.
#[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "nothing in a release"))]
pub(super) fn stop_point(name: &str) {
    #[cfg(debug_assertions)]
    if WANTED.as_deref() == Some(name) {
        std::process::abort();
    }
}
