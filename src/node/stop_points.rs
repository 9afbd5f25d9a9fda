//! Steps at which a test ends this process, as a crash there would: from each of them a bulk load goes on, or is cleaned up. And
//! steps at which a test has it wait, so that something else happens between a check and what it was made for.
//!
//! Only programs with debug assertions have them, as tests build them; in a release they are nothing. `STOP_POINT=load::built segue
//! serve ...` ends the server when it first comes by. `HOLD_POINTS=FOLDER` has whoever comes by a hold point wait while there is a
//! file of its name in the folder. Why not the `fail` crate: docs/adr/0028-stop-points.md.

#[cfg(debug_assertions)]
use std::path::PathBuf;
#[cfg(debug_assertions)]
use std::sync::LazyLock;
#[cfg(debug_assertions)]
use std::time::Duration;

/// Where this process is to end.
#[cfg(debug_assertions)]
static WANTED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("STOP_POINT").ok());

/// Where files say who is to wait.
#[cfg(debug_assertions)]
static HELD_IN: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("HOLD_POINTS").map(PathBuf::from));
/// Pause between two looks there.
#[cfg(debug_assertions)]
const HOLD_PAUSE: Duration = Duration::from_millis(5);

/// A change of places was checked, and is not in the map.
pub(super) const PLACES_CHECKED: &str = "places::checked";
/// A split was checked, and is not in the meta group's log.
pub(super) const SPLIT_CHECKED: &str = "split::checked";
/// A split is in the log, and the node that leads the old shard is about to look what is to be done next.
pub(super) const SPLIT_COPYING: &str = "split::copying";
/// An entry of the meta group is about to be applied.
pub(super) const META_APPLY: &str = "meta::apply";
/// The node is about to take its shards a step towards where the map wants them.
pub(super) const SHARDS_TEND: &str = "shards::tend";

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

/// Waits as long as a test wants somebody to wait here, and says in the folder that it does: `NAME.reached`.
#[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "nothing in a release"))]
pub(super) fn hold_point(name: &str) {
    #[cfg(debug_assertions)]
    if let Some(folder) = &*HELD_IN {
        let held = folder.join(name);
        while held.exists() {
            // Where that cannot be said the test says that nobody came.
            let _ = std::fs::write(folder.join(format!("{name}.reached")), []);
            std::thread::sleep(HOLD_PAUSE);
        }
    }
}
