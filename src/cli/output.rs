//! Printing: one JSON document, tables that fit 80 columns, errors with how to fix them.

use std::io::Write;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};

/// The width tables are made for.
pub const COLUMNS: usize = 80;

/// Prints one JSON document and a line end on standard output.
///
/// # Errors
/// `Io` when standard output is closed; `Internal` when the value is not JSON.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::Internal(format!("the answer is not JSON: {error}")))?;
    print(&format!("{text}\n"))
}

/// Prints text on standard output as it is.
///
/// # Errors
/// `Io` when standard output is closed.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let outcome = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    outcome.map_err(|source| Error::io("print the answer", "standard output", source))
}

/// One line for the person at the terminal, on standard error.
pub fn note(text: &str) {
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The error, its causes, and what to do about it.
pub fn print_error(error: &Error) {
    let mut text = format!("error: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    note(&text);
    if let Some(hint) = hint(error) {
        note(&format!("  fix: {hint}"));
    }
}

fn hint(error: &Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotFound => Some("check the id, and whether it was loaded into this database"),
        ErrorKind::Exhausted => Some("wait a little and try again, with fewer requests at a time"),
        ErrorKind::Unavailable => {
            Some("check that the server is running and ready (/readyz), then try again")
        }
        ErrorKind::Timeout => Some("try again; the same request does nothing twice"),
        ErrorKind::Corrupt => Some("run `segue verify DIR` to see what is damaged, and restore it"),
        ErrorKind::Internal => Some("this is a bug; please report it with the command and the server's log"),
        ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::Io => None,
    }
}

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Lines of columns, each as wide as its widest cell; the first row is the heading.
#[must_use]
pub fn table(align: &[Align], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| console::measure_text_width(cell)).max()
    };
    let widths: Vec<usize> = (0..align.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(align).zip(&widths).map(|((cell, align), width)| {
            let side = match align {
                Align::Left => console::Alignment::Left,
                Align::Right => console::Alignment::Right,
            };
            console::pad_str(cell, *width, side, None).into_owned()
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Text cut to a width, with an ellipsis where something is missing.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    console::truncate_str(text, width, "…").into_owned()
}

/// A count people can read: 1,234,567.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size people can read: 1.5 GiB.
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut size = number as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{size:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_display_width() {
        let rows = [["a", "1"], ["日本", "20"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&[Align::Left, Align::Right], &rows), "a      1\n日本  20\n");
        assert_eq!(cut("日本語", 5), "日本…");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!((count(7), count(1_234_567)), ("7".to_owned(), "1,234,567".to_owned()));
        assert_eq!(
            (bytes(1023), bytes(1536), bytes(5 << 40)),
            ("1023 B".into(), "1.5 KiB".into(), "5.0 TiB".into())
        );
    }
}
