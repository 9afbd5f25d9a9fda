//! Who this data directory is, and which groups it runs: the file `identity`.
//!
//! ```text
//! segue-node 1
//! cluster=5d1c...            32 hexadecimal digits
//! store=9a0e...              16 hexadecimal digits, drawn when the directory was created
//! created_with=0.1.0
//! group=7                    a line for each group, ascending; "group=7 leaving" while it is removed
//! checksum=...               blake3 of everything above
//! ```
//!
//! The file is replaced whole (temporary file, fsync, rename, fsync of the directory). The log holds a copy of
//! the first lines, so that a lost or damaged file can be rebuilt and an exchanged log directory is
//! noticed. The list of groups tells a group whose log is lost from one that never was here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::error::OpenError;
use crate::files;
use crate::ids::{ClusterId, GroupId, StoreId};

/// First line of the file, up to the format number.
const KIND: &str = "segue-node";
const FORMAT: &str = "1";

/// Who a data directory is. Never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The directory itself.
    pub store: StoreId,
    /// Version of the program that created it.
    pub created_with: String,
}

/// Whether a group of this node stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupMark {
    Present,
    /// Its removal has begun and must be finished.
    Leaving,
}

/// The identity file.
#[derive(Debug)]
pub(crate) struct IdentityFile {
    path: PathBuf,
    pub identity: Identity,
    pub groups: BTreeMap<GroupId, GroupMark>,
}

impl Identity {
    /// Draws the identity of a new directory.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(crate) fn draw(cluster: Option<ClusterId>, env: &Env, path: &Path) -> Result<Self, OpenError> {
        let random = || {
            env.entropy.next_u64().map_err(|source| OpenError::Io {
                action: "draw a random identity",
                path: path.to_owned(),
                source,
            })
        };
        let cluster = match cluster {
            Some(cluster) => cluster,
            None => ClusterId(u128::from(random()?) << 64 | u128::from(random()?)),
        };
        Ok(Self { cluster, store: StoreId(random()?), created_with: env!("CARGO_PKG_VERSION").to_owned() })
    }

    /// Writes the identity as lines; the copy in the log is these with a checksum.
    pub(crate) fn to_text(&self) -> String {
        let Self { cluster, store, created_with } = self;
        format!("{KIND} {FORMAT}\ncluster={cluster}\nstore={store}\ncreated_with={created_with}\n")
    }

    /// Reads the checksummed copy out of the log.
    ///
    /// # Errors
    /// As [`IdentityFile::read`].
    pub(crate) fn from_copy(bytes: &[u8], path: &Path) -> Result<Self, OpenError> {
        parse(bytes, path).map(|(identity, _)| identity)
    }
}

impl IdentityFile {
    /// Reads the file, `None` when there is none.
    ///
    /// # Errors
    /// `IdentityDamaged` or `IdentityFormat`, which say what to do.
    pub fn read(path: &Path) -> Result<Option<Self>, OpenError> {
        let Some(bytes) = files::read(path)? else {
            return Ok(None);
        };
        let (identity, groups) = parse(&bytes, path)?;
        Ok(Some(Self { path: path.to_owned(), identity, groups }))
    }

    /// Writes a new file.
    ///
    /// # Errors
    /// The operating system's.
    pub fn create(
        path: &Path,
        identity: Identity,
        groups: impl IntoIterator<Item = GroupId>,
    ) -> Result<Self, OpenError> {
        let groups = groups.into_iter().map(|group| (group, GroupMark::Present)).collect();
        let file = Self { path: path.to_owned(), identity, groups };
        file.save()?;
        Ok(file)
    }

    /// Marks a group, or forgets it, durably.
    ///
    /// # Errors
    /// The operating system's; the mark is unchanged then.
    pub fn mark(&mut self, group: GroupId, mark: Option<GroupMark>) -> Result<(), OpenError> {
        if self.groups.get(&group).copied() == mark {
            return Ok(());
        }
        let before = self.groups.clone();
        match mark {
            Some(mark) => self.groups.insert(group, mark),
            None => self.groups.remove(&group),
        };
        self.save().inspect_err(|_| self.groups = before)
    }

    fn save(&self) -> Result<(), OpenError> {
        let mut text = self.identity.to_text();
        for (group, mark) in &self.groups {
            let suffix = if *mark == GroupMark::Leaving { " leaving" } else { "" };
            text.push_str(&format!("group={group}{suffix}\n"));
        }
        files::publish(&self.path, files::with_checksum(text).as_bytes())
    }
}

type Parsed = (Identity, BTreeMap<GroupId, GroupMark>);

fn parse(bytes: &[u8], path: &Path) -> Result<Parsed, OpenError> {
    let damaged =
        |detail: &str| OpenError::IdentityDamaged { path: path.to_owned(), detail: detail.to_owned() };
    let text = files::checked(bytes).ok_or_else(|| damaged("its checksum does not fit"))?;
    let mut lines = text.lines();
    match lines.next().and_then(|line| line.split_once(' ')) {
        Some((KIND, FORMAT)) => {}
        Some((KIND, other)) => {
            return Err(OpenError::IdentityFormat { path: path.to_owned(), format: other.to_owned() });
        }
        _ => return Err(damaged("it is not an identity file")),
    }
    let mut field = |name: &str| {
        lines.next().and_then(|line| line.strip_prefix(name)).and_then(|rest| rest.strip_prefix('='))
    };
    let identity = Identity {
        cluster: field("cluster").and_then(|id| id.parse().ok()).ok_or_else(|| damaged("no cluster id"))?,
        store: field("store").and_then(|id| id.parse().ok()).ok_or_else(|| damaged("no store id"))?,
        created_with: field("created_with").ok_or_else(|| damaged("no version"))?.to_owned(),
    };
    let groups =
        lines.map(group_line).collect::<Option<_>>().ok_or_else(|| damaged("a group line cannot be read"))?;
    Ok((identity, groups))
}

fn group_line(line: &str) -> Option<(GroupId, GroupMark)> {
    let rest = line.strip_prefix("group=")?;
    let (number, mark) = match rest.strip_suffix(" leaving") {
        Some(number) => (number, GroupMark::Leaving),
        None => (rest, GroupMark::Present),
    };
    Some((GroupId(number.parse().ok()?), mark))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn example() -> Identity {
        Identity { cluster: ClusterId(0xabc), store: StoreId(7), created_with: "0.1.0".to_owned() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        let mut file = IdentityFile::create(&path, example(), [GroupId(3)]).unwrap();
        file.mark(GroupId(9), Some(GroupMark::Present)).unwrap();
        file.mark(GroupId(3), Some(GroupMark::Leaving)).unwrap();
        let read = IdentityFile::read(&path).unwrap().unwrap();
        assert_eq!(read.identity, example());
        let expected = BTreeMap::from([(GroupId(3), GroupMark::Leaving), (GroupId(9), GroupMark::Present)]);
        assert_eq!(read.groups, expected);
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let whole = files::with_checksum(format!("{}group=3\n", example().to_text())).into_bytes();
        let path = Path::new("identity");
        assert!(parse(&whole, path).is_ok());
        for end in 0..whole.len() {
            assert!(parse(&whole[..end], path).is_err(), "cut at {end}");
        }
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[position] ^= 1 << bit;
                assert!(parse(&damaged, path).is_err(), "bit {bit} of byte {position}");
            }
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let text = example().to_text().replace("segue-node 1", "segue-node 2");
        let error = parse(files::with_checksum(text).as_bytes(), Path::new("identity")).unwrap_err();
        assert!(matches!(error, OpenError::IdentityFormat { format, .. } if format == "2"));
    }
}
