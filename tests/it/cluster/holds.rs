//! Servers that wait at a hold point (`src/node/stop_points.rs`), so that a test decides what happens first.

use std::fs;
use std::path::PathBuf;

use super::servers::{Node, until};

/// As long as this lives, whoever comes by a hold point at one of some nodes waits.
pub(super) struct Hold {
    point: &'static str,
    folders: Vec<PathBuf>,
}

impl Hold {
    /// Has these nodes wait there.
    pub(super) fn at<'a>(nodes: impl IntoIterator<Item = &'a Node>, point: &'static str) -> Self {
        let folders: Vec<PathBuf> = nodes.into_iter().map(Node::holds).collect();
        for folder in &folders {
            fs::create_dir_all(folder).unwrap();
            // Of an earlier wait.
            let _ = fs::remove_file(folder.join(format!("{point}.reached")));
            fs::write(folder.join(point), []).unwrap();
        }
        Self { point, folders }
    }

    /// Waits until somebody waits there at each of the nodes.
    #[track_caller]
    pub(super) fn is_reached(&self) {
        let reached = format!("{}.reached", self.point);
        let is_reached = || self.folders.iter().all(|folder| folder.join(&reached).exists());
        until(&reached, || is_reached().then_some(()));
    }

    /// From now on nobody waits there.
    pub(super) fn release(self) {
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        for folder in &self.folders {
            // The test may have ended the node, and removed its directory.
            let _ = fs::remove_file(folder.join(self.point));
        }
    }
}

/// Whether servers have hold points; says so when they have none.
pub(super) fn can_hold() -> bool {
    if !cfg!(debug_assertions) {
        eprintln!(
            "SKIPPED hold points: programs without debug assertions have none (docs/adr/0028-stop-points.md)"
        );
    }
    cfg!(debug_assertions)
}
