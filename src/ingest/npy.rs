//! NumPy's `.npy` files: one- and two-dimensional arrays of numbers, checked before a byte is used.
//!
//! Accepted: little-endian `f2 f4 i4 i8 u4`, C order, format versions 1 to 3
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>). Integers come out as `i64`, floats as `f32`.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// Why a file is not an array of the wanted kind.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// The file cannot be read.
    #[error("cannot read array. path=`{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The bytes are not an array this reader takes.
    #[error("not a usable .npy array: {reason}. path=`{path}`")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        reason: String,
    },
}

impl From<NpyError> for Error {
    fn from(error: NpyError) -> Self {
        match error {
            NpyError::Io { path, source } => Self::io("read the array", path, source),
            wrong @ NpyError::Invalid { .. } => Self::invalid("file", wrong.to_string()),
        }
    }
}

/// An array of `rows` times `columns` numbers, row after row. One-dimensional arrays have one column.
#[derive(Debug, Clone, PartialEq)]
pub struct NpyArray<T> {
    /// Rows.
    pub rows: usize,
    /// Numbers in a row.
    pub columns: usize,
    /// All numbers.
    pub data: Vec<T>,
}

/// Reads an array of floats (`f2`, `f4`).
///
/// # Errors
/// [`NpyError`] names the file and the reason; integers are refused.
pub fn read_floats(path: &Path) -> Result<NpyArray<f32>, NpyError> {
    read(path, |kind, bytes| match kind {
        "<f4" => Some(convert(bytes, f32::from_le_bytes)),
        "<f2" => Some(convert(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
        _ => None,
    })
}

/// Reads an array of integers (`i4`, `i8`, `u4`).
///
/// # Errors
/// [`NpyError`] names the file and the reason; floats are refused.
pub fn read_integers(path: &Path) -> Result<NpyArray<i64>, NpyError> {
    read(path, |kind, bytes| match kind {
        "<i8" => Some(convert(bytes, i64::from_le_bytes)),
        "<i4" => Some(convert(bytes, |b| i64::from(i32::from_le_bytes(b)))),
        "<u4" => Some(convert(bytes, |b| i64::from(u32::from_le_bytes(b)))),
        _ => None,
    })
}

fn convert<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| number(*chunk)).collect()
}

fn read<T>(path: &Path, numbers: impl Fn(&str, &[u8]) -> Option<Vec<T>>) -> Result<NpyArray<T>, NpyError> {
    let bytes = std::fs::read(path).map_err(|source| NpyError::Io { path: path.to_owned(), source })?;
    parse(&bytes, numbers).map_err(|reason| NpyError::Invalid { path: path.to_owned(), reason })
}

/// Splits header and data, checks the sizes, and converts.
fn parse<T>(bytes: &[u8], numbers: impl Fn(&str, &[u8]) -> Option<Vec<T>>) -> Result<NpyArray<T>, String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("the magic bytes are missing")?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or("too short")?;
    let (length, rest) = match version[0] {
        1 => rest.split_first_chunk::<2>().map(|(l, rest)| (usize::from(u16::from_le_bytes(*l)), rest)),
        2 | 3 => rest.split_first_chunk::<4>().map(|(l, rest)| (u32::from_le_bytes(*l) as usize, rest)),
        other => return Err(format!("unknown format version {other}")),
    }
    .ok_or("too short")?;
    let (header, data) = rest.split_at_checked(length).ok_or("the header is longer than the file")?;
    let header = std::str::from_utf8(header).map_err(|_| "the header is not text")?;
    if value(header, "fortran_order")?.starts_with("True") {
        return Err("Fortran order, save with numpy.ascontiguousarray".to_owned());
    }
    let kind = value(header, "descr")?.trim_start_matches(['\'', '"']);
    let kind = &kind[..kind.find(['\'', '"']).ok_or("the type is not a string")?];
    let (rows, columns) = shape(value(header, "shape")?)?;
    let data =
        numbers(kind, data).ok_or_else(|| format!("elements of type `{kind}` are not accepted here"))?;
    if rows.checked_mul(columns) != Some(data.len()) {
        return Err(format!("{rows} x {columns} numbers promised, {} found", data.len()));
    }
    Ok(NpyArray { rows, columns, data })
}

/// Finds what follows `'key':` in the header.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let start = header.find(&format!("'{key}'")).ok_or_else(|| format!("the header lacks `{key}`"))?;
    let rest = &header[start + key.len() + 2..];
    rest.trim_start().strip_prefix(':').map(str::trim_start).ok_or_else(|| format!("`{key}` has no value"))
}

/// Reads a shape of one or two numbers.
fn shape(text: &str) -> Result<(usize, usize), String> {
    let inside =
        text.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or("the shape is not a tuple")?.0;
    let sizes: Result<Vec<usize>, _> =
        inside.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect();
    match sizes.map_err(|_| "the shape holds something that is not a size")?[..] {
        [rows] => Ok((rows, 1)),
        [rows, columns] => Ok((rows, columns)),
        _ => Err("only one or two dimensions are accepted".to_owned()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn file(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(data);
        out
    }

    fn floats(bytes: &[u8]) -> Result<NpyArray<f32>, NpyError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        std::fs::write(&path, bytes).unwrap();
        read_floats(&path)
    }

    #[test]
    fn floats_of_both_widths_are_read() {
        let wide: Vec<u8> = [1.5f32, -2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let array = floats(&file("<f4", "(3, 2)", &wide)).unwrap();
        assert_eq!((array.rows, array.columns, array.data[1]), (3, 2, -2.0));
        let narrow: Vec<u8> =
            [1.5f32, -2.0].iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect();
        assert_eq!(floats(&file("<f2", "(2,)", &narrow)).unwrap().data, [1.5, -2.0]);
    }

    #[test]
    fn integers_of_every_width_come_out_as_i64() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        for (kind, data) in [("<i8", (-7i64).to_le_bytes().to_vec()), ("<i4", (-7i32).to_le_bytes().to_vec())]
        {
            std::fs::write(&path, file(kind, "(1,)", &data)).unwrap();
            assert_eq!(read_integers(&path).unwrap().data, [-7]);
        }
        std::fs::write(&path, file("<u4", "(1,)", &u32::MAX.to_le_bytes())).unwrap();
        assert_eq!(read_integers(&path).unwrap().data, [i64::from(u32::MAX)]);
    }

    #[test]
    fn every_truncation_and_foreign_type_is_refused_with_a_reason() {
        let good = file("<f4", "(2, 2)", &[0; 16]);
        for length in 0..good.len() {
            assert!(floats(&good[..length]).is_err(), "{length}");
        }
        for (kind, shape) in [
            (">f4", "(2, 2)"),
            ("<i8", "(2,)"),
            ("<f4", "(2, 2, 1)"),
            ("<f4", "(99999999999999999999, 2)"),
            ("<f4", "2"),
        ] {
            let error = floats(&file(kind, shape, &[0; 16])).unwrap_err().to_string();
            assert!(error.contains("a.npy") && error.len() > 40, "{error}");
        }
        let huge = format!("({}, {})", usize::MAX, usize::MAX);
        assert!(floats(&file("<f4", &huge, &[0; 16])).is_err());
    }
}
