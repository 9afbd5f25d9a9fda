//! What the arrays of an index are: a few hundred bytes, versioned and checked.
//!
//! ```text
//! magic "SGIX" | version u16 | metric u8 | profile u8 | n u64 | dim u32 | degree u32 | seed u64
//! factor_scale f32 | typical_length f32 | entry count u32 | entries u32 each          all little-endian
//! ```

use super::error::IndexError;
use super::params::Profile;
use crate::types::Metric;

const MAGIC: [u8; 4] = *b"SGIX";
const VERSION: u16 = 1;
const FIXED_BYTES: usize = 44;

/// Most nodes a walk may start from.
pub const ENTRIES_MAX: usize = 1024;

/// Everything about an index that is not an array.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// Comparison the index serves.
    pub metric: Metric,
    /// Layout of the graph rows.
    pub profile: Profile,
    /// Vectors, below 2^31.
    pub n: usize,
    /// Dimension of the vectors, 1 to 4,096.
    pub dim: usize,
    /// Links of a node, a multiple of 32.
    pub degree: usize,
    /// Decides the rotation.
    pub seed: u64,
    /// Scale of the half-precision factors beside the links.
    pub factor_scale: f32,
    /// Root mean square length of the indexed vectors.
    pub typical_length: f32,
    /// Nodes a walk may start from, each below `n`.
    pub entries: Vec<u32>,
}

impl Meta {
    /// Returns the bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_BYTES + 4 * self.entries.len());
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.push(match self.metric {
            Metric::Ip => 0,
            Metric::Cosine => 1,
            Metric::L2 => 2,
        });
        out.push(match self.profile {
            Profile::Fast => 0,
            Profile::Compact => 1,
        });
        out.extend((self.n as u64).to_le_bytes());
        out.extend((self.dim as u32).to_le_bytes());
        out.extend((self.degree as u32).to_le_bytes());
        out.extend(self.seed.to_le_bytes());
        out.extend(self.factor_scale.to_le_bytes());
        out.extend(self.typical_length.to_le_bytes());
        out.extend((self.entries.len() as u32).to_le_bytes());
        self.entries.iter().for_each(|e| out.extend(e.to_le_bytes()));
        out
    }

    /// Reads the bytes back.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let bad = |message: &str| IndexError::damaged("meta", message);
        let mut reader = Reader(bytes);
        if reader.take::<4>()? != MAGIC {
            return Err(bad("not the meta of an index"));
        }
        let version = u16::from_le_bytes(reader.take()?);
        if version != VERSION {
            return Err(IndexError::damaged(
                "meta",
                format!("unknown version {version}, expected {VERSION}"),
            ));
        }
        let metric = match reader.take::<1>()? {
            [0] => Metric::Ip,
            [1] => Metric::Cosine,
            [2] => Metric::L2,
            _ => return Err(bad("unknown metric")),
        };
        let profile = match reader.take::<1>()? {
            [0] => Profile::Fast,
            [1] => Profile::Compact,
            _ => return Err(bad("unknown profile")),
        };
        let n = u64::from_le_bytes(reader.take()?);
        let dim = u32::from_le_bytes(reader.take()?) as usize;
        let degree = u32::from_le_bytes(reader.take()?) as usize;
        let seed = u64::from_le_bytes(reader.take()?);
        let factor_scale = f32::from_le_bytes(reader.take()?);
        let typical_length = f32::from_le_bytes(reader.take()?);
        let count = u32::from_le_bytes(reader.take()?) as usize;
        if n >= 1 << 31 || !(1..=4096).contains(&dim) || !matches!(degree, 32 | 64 | 96 | 128) {
            return Err(bad("size, dimension or degree out of range"));
        }
        if !factor_scale.is_finite() || !typical_length.is_finite() {
            return Err(bad("scale is not finite"));
        }
        let entries = reader.entries(count, n)?;
        Ok(Self { metric, profile, n: n as usize, dim, degree, seed, factor_scale, typical_length, entries })
    }
}

/// The bytes not read yet.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let (head, rest) =
            self.0.split_first_chunk::<N>().ok_or_else(|| IndexError::damaged("meta", "too short"))?;
        self.0 = rest;
        Ok(*head)
    }

    fn entries(&mut self, count: usize, n: u64) -> Result<Vec<u32>, IndexError> {
        if count > ENTRIES_MAX || self.0.len() != 4 * count || (n > 0 && count == 0) {
            return Err(IndexError::damaged("meta", "wrong number of entries"));
        }
        let entries: Vec<u32> =
            (0..count).map(|_| self.take().map(u32::from_le_bytes)).collect::<Result<_, _>>()?;
        if entries.iter().any(|&e| u64::from(e) >= n) {
            return Err(IndexError::damaged("meta", "entry is not a node"));
        }
        Ok(entries)
    }
}
