//! One file: is it there, is it whole, is it the one the manifest names.

use std::{fs::File, io::Read, path::Path};

use crate::{
    checksum::ContentHasher,
    container::{CHUNK_BYTES, SegmentFile, Verify},
    error::FormatError,
    inspect::fault,
    verify::{Expected, VerifyReport, content::check_content},
};

/// Is told the length of every piece that was read.
pub(super) type OnRead<'a> = dyn FnMut(usize, &mut VerifyReport) + 'a;

pub(super) fn verify_file(
    path: &Path,
    expected: &Expected<'_>,
    report: &mut VerifyReport,
    on_read: &mut OnRead<'_>,
) {
    let found = match path.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return report.add(path, None, "file is missing");
        }
        Err(error) => return report.add_error(path, &FormatError::io(path, "look at", error)),
    };
    let needed = expected.entry.len;
    if found != needed {
        let what =
            format!("file has another length than its manifest says. found=`{found}`, expected=`{needed}`");
        report.add(path, Some(found.min(needed)), what);
    }
    match SegmentFile::open_any(path, Verify::Structure) {
        Ok(file) => verify_pieces(path, &file, expected, report, on_read),
        // Upper layers may keep files of their own making beside these.
        Err(error @ (FormatError::Magic { .. } | FormatError::Truncated { .. })) if found == needed => {
            verify_plain(path, expected, &error, report, on_read)
        }
        Err(error) => report.add_error(path, &error),
    }
}

fn verify_pieces(
    path: &Path,
    file: &SegmentFile,
    expected: &Expected<'_>,
    report: &mut VerifyReport,
    on_read: &mut OnRead<'_>,
) {
    let damage_before = report.damage.len();
    let mut buffer = Vec::new();
    let mut hasher = ContentHasher::new();
    for piece in file.pieces() {
        let mut length = 0;
        let damaged = file.check_piece(&piece, &mut buffer, &mut |bytes| {
            hasher.update(bytes);
            length = bytes.len();
        });
        if let Some(chunk) = damaged {
            let block = chunk.tag.map_or_else(|| "none".to_owned(), |tag| tag.to_string());
            report.add(path, Some(chunk.range.start), format!("{}, block=`{block}`", fault(&chunk.fault)));
        }
        on_read(length, report);
    }
    if report.damage.len() != damage_before {
        return;
    }
    if hasher.finish() != expected.entry.content_id {
        report.add_error(path, &FormatError::WrongContent { file: path.to_path_buf() });
    }
    if let Err(error) = check_content(file, expected) {
        report.add_error(path, &error);
    }
}

/// Verifies a file that is not made of blocks: only its content id says what it must be. `error` is why it could not
/// be opened as one that is.
fn verify_plain(
    path: &Path,
    expected: &Expected<'_>,
    error: &FormatError,
    report: &mut VerifyReport,
    on_read: &mut OnRead<'_>,
) {
    let mut hasher = ContentHasher::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut read = || -> std::io::Result<()> {
        let mut file = File::open(path)?;
        loop {
            let length = file.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            hasher.update(&buffer[..length]);
            on_read(length, report);
        }
    };
    match read() {
        Err(error) => report.add_error(path, &FormatError::io(path, "read", error)),
        Ok(()) if hasher.finish() == expected.entry.content_id => {}
        Ok(()) if matches!(error, FormatError::Magic { .. }) => {
            report.add_error(path, &FormatError::WrongContent { file: path.to_path_buf() });
        }
        Ok(()) => report.add_error(path, error),
    }
}
