//! Opens a file of postings.

use std::{fmt, path::Path};

use crate::{
    container::{Block, FileKind, SegmentFile, Verify},
    error::FormatError,
    postings::{Field, Sorted, SortedValue, field::FieldBlocks},
};

pub(super) const META: &str = "meta";

/// Most fields and sorted parts a file can have.
pub(super) const PARTS_MAX: usize = 512;

/// Tag of one block of part `index`.
pub(super) fn tag(index: usize, what: &str) -> String {
    format!("p{index:04x}{what}")
}

/// What a part of a file of postings is, stored as a number that is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PartType {
    /// Keys with bitmaps of rows.
    Field = 1,
    /// `(f32, row)` in order.
    SortedF32 = 2,
    /// `(i32, row)` in order.
    SortedI32 = 3,
}

impl PartType {
    /// The stored number.
    pub const fn raw(self) -> u8 {
        self as u8
    }

    /// Finds the type of a number.
    pub fn from_raw(raw: u8) -> Option<Self> {
        [Self::Field, Self::SortedF32, Self::SortedI32].into_iter().find(|kind| kind.raw() == raw)
    }
}

impl fmt::Display for PartType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Field => "field",
            Self::SortedF32 => "sorted f32",
            Self::SortedI32 => "sorted i32",
        })
    }
}

/// One part of a file of postings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartInfo {
    /// Name, unique in the file.
    pub name: String,
    /// Type.
    pub kind: PartType,
    blocks: PartBlocks,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PartBlocks {
    Field(FieldBlocks),
    Sorted { values: Block, rows: Block },
}

/// A mapped file of postings.
#[derive(Debug, Clone)]
pub struct PostingsFile {
    file: SegmentFile,
    universe: u64,
    parts: Vec<PartInfo>,
}

impl PostingsFile {
    /// Opens and checks a file of postings. Reads keys, counts, offsets and sorted parts once, bitmaps not at all:
    /// those are checked as they are decoded.
    ///
    /// # Errors
    /// As [`SegmentFile::open`].
    pub fn open(path: &Path, verify: Verify) -> Result<Self, FormatError> {
        Self::from_file(SegmentFile::open(path, FileKind::Postings, verify)?)
    }

    /// Checks what is particular to postings.
    ///
    /// # Errors
    /// Errors about bytes.
    pub fn from_file(file: SegmentFile) -> Result<Self, FormatError> {
        file.require(FileKind::Postings)?;
        let (universe, named) = file.decode(META, |input| {
            let (universe, count) = (input.u64()?, input.u32()? as usize);
            if universe > 1 << u32::BITS || count > PARTS_MAX {
                return Err(input.bad_value("impossible universe or number of fields"));
            }
            let mut named: Vec<(String, PartType)> = Vec::new();
            for _ in 0..count {
                let kind = PartType::from_raw(input.u8()?)
                    .ok_or_else(|| input.bad_value("unknown type of field"))?;
                let name = input.text()?;
                if named.iter().any(|(other, _)| other == name) {
                    return Err(input.bad_value("two fields have the same name"));
                }
                named.push((name.to_owned(), kind));
            }
            Ok((universe, named))
        })?;
        let parts = named.into_iter().enumerate();
        let parts = parts.map(|(index, (name, kind))| open_part(&file, universe, index, name, kind));
        Ok(Self { parts: parts.collect::<Result<_, _>>()?, universe, file })
    }

    /// Every row is below this.
    pub fn universe(&self) -> u64 {
        self.universe
    }

    /// Every part, in the order they were written.
    pub fn parts(&self) -> &[PartInfo] {
        &self.parts
    }

    /// Returns a field.
    ///
    /// # Errors
    /// [`FormatError::Missing`]; [`FormatError::WrongType`] for a sorted part.
    pub fn field(&self, name: &str) -> Result<Field<'_>, FormatError> {
        match &self.part(name, PartType::Field)?.blocks {
            PartBlocks::Field(blocks) => Field::view(&self.file, blocks, self.universe),
            PartBlocks::Sorted { .. } => Err(self.missing(name)),
        }
    }

    /// Returns a sorted part.
    ///
    /// # Errors
    /// [`FormatError::Missing`]; [`FormatError::WrongType`] for a field or another type of value.
    pub fn sorted<V: SortedValue>(&self, name: &str) -> Result<Sorted<'_, V>, FormatError> {
        match &self.part(name, V::PART)?.blocks {
            PartBlocks::Sorted { values, rows } => Sorted::view(&self.file, values, rows),
            PartBlocks::Field(_) => Err(self.missing(name)),
        }
    }

    /// Decodes every bitmap once.
    ///
    /// # Errors
    /// The first error of [`Field::rows`].
    pub fn check_bitmaps(&self) -> Result<(), FormatError> {
        let fields = self.parts.iter().filter(|part| part.kind == PartType::Field);
        for part in fields {
            self.field(&part.name)?.iter().try_for_each(|decoded| decoded.map(|_| ()))?;
        }
        Ok(())
    }

    /// The file below, to advise, pin or check.
    pub fn file(&self) -> &SegmentFile {
        &self.file
    }

    fn missing(&self, name: &str) -> FormatError {
        FormatError::Missing { file: self.file.path().to_path_buf(), name: name.to_owned() }
    }

    fn part(&self, name: &str, kind: PartType) -> Result<&PartInfo, FormatError> {
        let found = self.parts.iter().find(|part| part.name == name).ok_or_else(|| self.missing(name))?;
        if found.kind == kind {
            return Ok(found);
        }
        Err(FormatError::WrongType {
            file: self.file.path().to_path_buf(),
            name: name.to_owned(),
            expected: kind.to_string(),
            found: found.kind.to_string(),
        })
    }
}

fn open_part(
    file: &SegmentFile,
    universe: u64,
    index: usize,
    name: String,
    kind: PartType,
) -> Result<PartInfo, FormatError> {
    let block = |what| file.required(&tag(index, what));
    let blocks = match kind {
        PartType::Field => {
            let blocks = FieldBlocks {
                keys: block("key")?,
                counts: block("cnt")?,
                offsets: block("off")?,
                bitmaps: block("map")?,
            };
            Field::view(file, &blocks, universe)?.check()?;
            PartBlocks::Field(blocks)
        }
        PartType::SortedF32 | PartType::SortedI32 => {
            let (values, rows) = (block("val")?, block("row")?);
            if kind == PartType::SortedF32 {
                Sorted::<f32>::view(file, &values, &rows)?.check(file, &values, universe)?;
            } else {
                Sorted::<i32>::view(file, &values, &rows)?.check(file, &values, universe)?;
            }
            PartBlocks::Sorted { values, rows }
        }
    };
    Ok(PartInfo { name, kind, blocks })
}
