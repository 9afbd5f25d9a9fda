//! What the arrays of an index are: some kilobytes, most of them one-bit codes of the entries; versioned and checked.
//!
//! ```text
//! magic "SGIX" | version u16 | metric u8 | profile u8 | n u64 | dim u32 | degree u32 | seed u64
//! factor_scale f32 | typical_length f32 | entry count u32 | entries u32 each
//! efforts for 10, 100 and 500 results, u32 each
//! margins for those results and the efforts of `reach`, f32 each
//! one-bit codes of the entries: their centre, `padded_dim` f32, then a record each (`quantize::signs`)      all little-endian
//! ```
//!
//! Version 1 ends after the entries, version 2 after the efforts, version 3 after the margins.

use super::effort::{Efforts, RESULTS};
use super::error::IndexError;
use super::params::{Profile, WIDTH_MAX};
use super::quantize::{rotation::padded_dim, signs};
use super::reach::{EFFORTS, Margins};
use crate::Metric;

const MAGIC: [u8; 4] = *b"SGIX";
const VERSION: u16 = 4;
const FIXED_BYTES: usize = 44 + 4 * RESULTS.len() * (1 + EFFORTS.len());

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
    /// Efforts that searches take when none is asked for.
    pub efforts: Efforts,
    /// Where walks stop.
    pub margins: Margins,
    /// One-bit codes of the entries; none before version 4.
    pub entry_signs: Option<EntrySigns>,
}

/// One-bit codes of the entries, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct EntrySigns {
    /// What they are relative to, `[padded_dim]`.
    pub center: Vec<f32>,
    /// A record an entry; see [`signs`].
    pub records: Vec<u8>,
}

impl Meta {
    /// Returns the bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_BYTES + 4 * self.entries.len());
        out.extend(MAGIC);
        // One without one-bit codes is written as it was read.
        let version = if self.entry_signs.is_some() { VERSION } else { VERSION - 1 };
        out.extend(version.to_le_bytes());
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
        self.entries.iter().chain(&self.efforts.0).for_each(|e| out.extend(e.to_le_bytes()));
        self.margins.0.iter().flatten().for_each(|margin| out.extend(margin.to_le_bytes()));
        if let Some(signs) = &self.entry_signs {
            signs.center.iter().for_each(|x| out.extend(x.to_le_bytes()));
            out.extend(&signs.records);
        }
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
        if !(1..=VERSION).contains(&version) {
            return Err(IndexError::damaged(
                "meta",
                format!("unknown version {version}, expected 1 to {VERSION}"),
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
        let efforts = if version == 1 { Efforts::GUESSED } else { reader.efforts()? };
        let margins = if version < 3 { Margins::UNBOUNDED } else { reader.margins()? };
        let entry_signs = if version < 4 { None } else { Some(reader.entry_signs(padded_dim(dim), count)?) };
        if !reader.0.is_empty() {
            return Err(bad("too long"));
        }
        let n = n as usize;
        Ok(Self {
            metric,
            profile,
            n,
            dim,
            degree,
            seed,
            factor_scale,
            typical_length,
            entries,
            efforts,
            margins,
            entry_signs,
        })
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
        if count > ENTRIES_MAX || (n > 0 && count == 0) {
            return Err(IndexError::damaged("meta", "wrong number of entries"));
        }
        let entries: Vec<u32> =
            (0..count).map(|_| self.take().map(u32::from_le_bytes)).collect::<Result<_, _>>()?;
        if entries.iter().any(|&e| u64::from(e) >= n) {
            return Err(IndexError::damaged("meta", "entry is not a node"));
        }
        Ok(entries)
    }

    fn efforts(&mut self) -> Result<Efforts, IndexError> {
        let mut efforts = Efforts::GUESSED;
        for effort in &mut efforts.0 {
            *effort = u32::from_le_bytes(self.take()?);
            if *effort == 0 || *effort as usize > WIDTH_MAX {
                return Err(IndexError::damaged("meta", "width of the beam out of range"));
            }
        }
        Ok(efforts)
    }

    fn margins(&mut self) -> Result<Margins, IndexError> {
        let mut margins = Margins::UNBOUNDED;
        for margin in margins.0.iter_mut().flatten() {
            *margin = f32::from_le_bytes(self.take()?);
            if !(0.0..=f32::MAX).contains(margin) {
                return Err(IndexError::damaged("meta", "margin out of range"));
            }
        }
        Ok(margins)
    }

    fn entry_signs(&mut self, padded_dim: usize, count: usize) -> Result<EntrySigns, IndexError> {
        let center: Vec<f32> =
            (0..padded_dim).map(|_| self.take().map(f32::from_le_bytes)).collect::<Result<_, _>>()?;
        if center.iter().any(|x| !x.is_finite()) {
            return Err(IndexError::damaged("meta", "centre is not finite"));
        }
        let (records, rest) = self
            .0
            .split_at_checked(count * signs::record_bytes(padded_dim))
            .ok_or_else(|| IndexError::damaged("meta", "too short"))?;
        self.0 = rest;
        Ok(EntrySigns { center, records: records.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by version 1: three vectors of 2 numbers.
    const VERSION_1: &str =
        "534749580100010003000000000000000200000020000000070000000000000000000040000000400100000002000000";

    fn version_1() -> Vec<u8> {
        let pairs = (0..VERSION_1.len()).step_by(2).map(|at| &VERSION_1[at..at + 2]);
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
    }

    #[test]
    fn a_meta_of_version_2_has_efforts_and_no_margins() {
        let mut bytes = version_1();
        bytes[4] = 2;
        [20u32, 130, 600].iter().for_each(|effort| bytes.extend(effort.to_le_bytes()));
        let meta = Meta::decode(&bytes).expect("an old meta opens");
        assert_eq!((meta.efforts, meta.margins), (Efforts([20, 130, 600]), Margins::UNBOUNDED));
        let mut damaged = meta.encode();
        let end = damaged.len();
        damaged[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(Meta::decode(&damaged).is_err(), "a margin is a number");
    }

    #[test]
    fn a_meta_of_version_1_still_opens_with_guessed_efforts() {
        let bytes = version_1();
        let meta = Meta::decode(&bytes).expect("an old meta opens");
        assert_eq!((meta.n, meta.dim, meta.degree, meta.seed), (3, 2, 32, 7));
        assert_eq!((meta.metric, meta.profile), (Metric::Cosine, Profile::Fast));
        assert_eq!((meta.entries.as_slice(), meta.efforts), (&[2][..], Efforts::GUESSED));
        let mut margins = Margins::UNBOUNDED;
        margins.0[1][2] = 0.25;
        let again = Meta { efforts: Efforts([20, 130, 600]), margins, ..meta };
        let version_3 = again.encode();
        assert_eq!(version_3[4], 3, "without one-bit codes it is what programs before them read");
        assert_eq!(Meta::decode(&version_3).expect("it reads what it writes"), again);
    }

    #[test]
    fn one_bit_codes_of_the_entries_are_read_back_whole_or_refused() {
        let old = Meta::decode(&version_1()).expect("an old meta opens");
        let signs = EntrySigns {
            center: (0..64).map(|at| at as f32).collect(),
            records: vec![7; old.entries.len() * signs::record_bytes(64)],
        };
        let meta = Meta { entry_signs: Some(signs), ..old };
        let bytes = meta.encode();
        assert_eq!((bytes[4], Meta::decode(&bytes).expect("it reads what it writes")), (4, meta.clone()));
        for wrong in [&bytes[..bytes.len() - 1], &[bytes.as_slice(), &[0]].concat()] {
            assert!(Meta::decode(wrong).is_err(), "{} bytes", wrong.len());
        }
        let mut damaged = bytes.clone();
        let center = bytes.len() - meta.entries.len() * signs::record_bytes(64) - 4 * 64;
        damaged[center..center + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
        assert!(Meta::decode(&damaged).is_err(), "the centre is finite");
    }
}
