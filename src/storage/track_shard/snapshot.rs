//! A shard's checkpoint as a snapshot for another replica, and a shard that becomes such a snapshot.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use segue_storage_format::manifest::{load as load_manifest, publish};
use segue_storage_format::publish::{create_folder, sync_folder};
use segue_storage_format::{ContentId, FileEntry, Manifest, Verify};

use super::checkpoint::shard_name;
use super::shard::{Opening, TrackShard, TrackStateMachine};
use crate::error::{Error, Result};
use crate::storage::codec;
use crate::storage::error::damaged;
use crate::storage::pinned::{PinnedFile, PinnedFiles, hash_file};

/// Version of a snapshot's words: the manifest.
const VERSION: u16 = 1;
/// Times the manifest is read anew because its files went meanwhile.
const PIN_TRIES: u32 = 100;

impl TrackShard {
    /// Pins the files of the newest checkpoint below `root`; `None` when there has been none.
    ///
    /// # Errors
    /// I/O, damage.
    pub fn snapshot(&self, root: &Path) -> Result<Option<PinnedFiles>> {
        let error = |source| Error::io("pin the shard's files", root, source);
        for _ in 0..PIN_TRIES {
            let Some(loaded) = load_manifest(self.folder()).map_err(damaged)? else { return Ok(None) };
            match pin(self.folder(), root, &loaded.manifest) {
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(error(source)),
                Ok(mut pinned) => {
                    pinned.data = codec::encode(VERSION, &loaded.manifest)?;
                    return Ok(Some(pinned));
                }
            }
        }
        Err(error(io::ErrorKind::ResourceBusy.into()))
    }

    /// Where a file of this content lies among those of the kept checkpoint; of a shard that came from another one, among those of
    /// that, too.
    #[must_use]
    pub fn find_file(&self, hash: &[u8; 32]) -> Option<PathBuf> {
        let siblings = if self.has_relatives() { self.siblings() } else { Vec::new() };
        [self.folder().to_owned()].into_iter().chain(siblings).find_map(|folder| {
            let loaded = load_manifest(&folder).ok()??;
            let mut files = loaded.manifest.all_files();
            let found = files.find(|(_, file)| file.content_id.as_bytes() == hash);
            found.map(|(path, _)| folder.join(path)).filter(|path| path.exists())
        })
    }

    /// Refuses to put other bytes where the checkpoint in force has a file.
    fn check_clashes(&self, manifest: &Manifest) -> Result<()> {
        let Some(own) = load_manifest(self.folder()).map_err(damaged)? else { return Ok(()) };
        let own: std::collections::HashMap<PathBuf, ContentId> =
            own.manifest.all_files().map(|(path, file)| (path, file.content_id)).collect();
        let clash =
            manifest.all_files().find(|(path, file)| own.get(path).is_some_and(|id| *id != file.content_id));
        match clash {
            None => Ok(()),
            Some((path, _)) => Err(Error::Conflict(format!(
                "a snapshot has another file of the same name: remove this node, and join with an empty directory. path=`{}`",
                path.display()
            ))),
        }
    }
}

fn pin(folder: &Path, root: &Path, manifest: &Manifest) -> io::Result<PinnedFiles> {
    let mut pinned = PinnedFiles::create(root)?;
    (pinned.index, pinned.term) = (manifest.applied_index, manifest.applied_term);
    for (path, file) in manifest.all_files() {
        let name = path.to_string_lossy().replace('/', ".");
        pinned.link(
            &folder.join(&path),
            PinnedFile { name, bytes: file.len, hash: *file.content_id.as_bytes() },
        )?;
    }
    Ok(pinned)
}

impl TrackStateMachine {
    /// Becomes a snapshot: `data` are its words, `find` says where a file of some content lies. The manifest's rename is
    /// the moment of change: after a crash the state is the old one or the new one.
    ///
    /// # Errors
    /// Words that cannot be read, files that cannot be found or opened, I/O.
    pub fn install(&mut self, data: &[u8], find: &dyn Fn(&[u8; 32]) -> Option<PathBuf>) -> Result<()> {
        let manifest: Manifest = codec::decode(VERSION, data)?;
        let shard = &self.shard;
        if manifest.shard != shard_name(shard.shard) {
            return Err(Error::Corrupt(format!("a snapshot of another shard. shard=`{}`", manifest.shard)));
        }
        let _publishing = shard.publishing.lock();
        shard.check_clashes(&manifest)?;
        // As an entry does: nobody who builds or fetches these segments may put files in their place from here on.
        shard.recent().extend(manifest.segments.iter().map(|segment| (segment.id, manifest.applied_index)));
        for (path, file) in manifest.all_files() {
            place(&shard.folder().join(path), file, find)?;
        }
        publish(shard.folder(), &manifest).map_err(damaged)?;
        // Once more, so that no kept manifest is older than the log.
        publish(shard.folder(), &manifest).map_err(damaged)?;
        let opening =
            Opening { verify: Verify::Structure, index: shard.index, shards: shard.shards, health: None };
        let (view, _) = super::recover::load(shard.folder(), shard.shard, &opening)?;
        self.state = view.clone();
        shard.replaced(view);
        Ok(())
    }
}

/// Puts a file in its place, unless it is there.
fn place(path: &Path, file: &FileEntry, find: &dyn Fn(&[u8; 32]) -> Option<PathBuf>) -> Result<()> {
    let error = |source| Error::io("put a file of a snapshot in its place", path, source);
    if is_whole(path, file) {
        return Ok(());
    }
    let Some(source) = find(file.content_id.as_bytes()) else {
        return Err(Error::Corrupt(format!("a file of a snapshot is missing. file=`{}`", file.name)));
    };
    let Some(folder) = path.parent() else {
        return Err(Error::Internal("a file of a snapshot has no folder".to_owned()));
    };
    create_folder(folder).map_err(damaged)?;
    let temporary = path.with_extension("tmp");
    if temporary.exists() {
        fs::remove_file(&temporary).map_err(error)?;
    }
    fs::hard_link(&source, &temporary).map_err(error)?;
    fs::rename(&temporary, path).map_err(error)?;
    sync_folder(folder).map_err(damaged)
}

/// Whether the very file is there. Reads all of it.
fn is_whole(path: &Path, file: &FileEntry) -> bool {
    let length = path.metadata().map(|metadata| metadata.len());
    length.is_ok_and(|length| length == file.len)
        && hash_file(path).is_ok_and(|(hash, _)| hash == *file.content_id.as_bytes())
}
