//! How the demo looks: 80 columns, colour where the terminal has it, and the same text without.

use std::time::Duration;

use console::{Alignment, StyledObject, pad_str, style};

use super::listener::Listener;
use super::place::Place;
use super::session::Said;
use crate::cli::output::{COLUMNS, count, cut};
use crate::error::Result;
use crate::generate::GenerateParams;
use crate::pipeline::request::{Recommendation, RecommendedTrack};
use crate::types::{Track, UserId};

/// Columns of a track's title and artists.
const NAME: usize = 54;
/// Columns of what stands to the right of it.
const ASIDE: usize = COLUMNS - NAME - 9;
/// Genres and artists of a taste that are named.
const NAMED: usize = 4;

/// One line of the table of loads.
pub struct Row {
    /// What was loaded.
    pub what: String,
    /// How many rows.
    pub rows: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// A track of the second list, compared with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// At the same place.
    Same,
    /// It was there before, at this place.
    Moved(usize),
    /// It was not there.
    New,
}

fn left(text: &str, width: usize) -> String {
    pad_str(&cut(text, width), width, Alignment::Left, None).into_owned()
}

fn right(text: &str, width: usize) -> String {
    pad_str(text, width, Alignment::Right, None).into_owned()
}

fn accent(text: String) -> StyledObject<String> {
    style(text).cyan().bold()
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

/// The first line.
pub fn title(params: &GenerateParams) -> String {
    let subject = format!("seed {}, as of {}", params.seed, params.as_of);
    format!("{}  {}\n\n", accent("Segue demo".to_owned()), style(subject).dim())
}

/// The heading of a step, with the command that does the same.
pub fn step(number: u32, what: &str, command: &str) -> String {
    let what = left(&format!("{number}  {what}"), 44);
    format!("{} {}\n", style(what).bold(), style(right(command, COLUMNS - 45)).dim())
}

/// What a step did.
pub fn done(what: &str, elapsed: Duration) -> String {
    let time = seconds(elapsed);
    let mut lines: Vec<String> = Vec::new();
    for word in what.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= COLUMNS - 15 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let last = lines.pop().unwrap_or_default();
    let before: String = lines.iter().map(|line| format!("   {line}\n")).collect();
    format!("{before}   {}{}\n", left(&last, COLUMNS - 13), right(&time, 10))
}

/// One load.
pub fn row(row: &Row) -> String {
    let rows = format!("{} rows", count(row.rows));
    format!("   {}{}{}\n", left(&row.what, 49), right(&rows, 18), right(&seconds(row.elapsed), 10))
}

/// Who it is and what they like.
pub fn listener(listener: &Listener) -> Result<String> {
    let user = &listener.user;
    let mut rules = Vec::new();
    rules.extend(user.region.map(|region| format!("in {region}")));
    rules.push(
        if user.filter_explicit { "no explicit tracks" } else { "explicit tracks are fine" }.to_owned(),
    );
    match user.blocked_artists.len() {
        0 => {}
        1 => rules.push("1 artist blocked".to_owned()),
        blocked => rules.push(format!("{blocked} artists blocked")),
    }
    let head = accent(format!("Listener {}", user.user_id));
    let since = listener.since()?.to_string();
    let played = format!(
        "{} times, {} tracks, since {}",
        count(listener.plays.len() as u64),
        count(listener.tracks as u64),
        since.split('T').next().unwrap_or_default()
    );
    let genre = |(genre, share): &(String, f64)| format!("{genre} {:.0} %", 100.0 * share);
    let mut text = format!("\n{}\n{head}  {}\n", style("─".repeat(COLUMNS)).dim(), rules.join(", "));
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("  {} {}\n", style(left(name, 8)).dim(), cut(&value, COLUMNS - 11)));
        }
    };
    fact("played", played);
    fact("genres", listener.genres.iter().take(NAMED).map(genre).collect::<Vec<_>>().join(", "));
    fact("artists", listener.artists.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "));
    let tempo = listener.tempo.map(|(slow, fast)| format!("{slow:.0} to {fast:.0} beats a minute"));
    let energy = listener.energy.map(|energy| format!("energy {energy:.2} of 1"));
    fact("sound", tempo.into_iter().chain(energy).collect::<Vec<_>>().join(", "));
    Ok(text)
}

/// Title and artists.
pub fn name(track: &RecommendedTrack) -> String {
    format!("{} - {}", track.title, track.artists.join(", "))
}

fn line(place: usize, mark: &str, name: &str, aside: &str) -> String {
    if aside.is_empty() {
        return format!("  {place:>2} {mark} {}\n", cut(name, NAME));
    }
    format!("  {place:>2} {mark} {}  {}\n", left(name, NAME), style(right(&cut(aside, ASIDE), ASIDE)).dim())
}

fn heading(text: &str) -> String {
    format!("\n  {}\n", style(text).bold())
}

/// A list with the reason of each track.
pub fn list(surface: &str, list: &Recommendation, genres: &[String]) -> String {
    let mut text = heading(surface);
    for (place, (track, genre)) in list.tracks.iter().zip(genres).enumerate() {
        text.push_str(&line(place + 1, " ", &name(track), genre));
        text.push_str(&format!("       {}\n", style(cut(&track.reason, COLUMNS - 7)).dim()));
    }
    text.push_str(&relaxed(list));
    text
}

fn relaxed(list: &Recommendation) -> String {
    match list.relaxed.as_slice() {
        [] => String::new(),
        parts => {
            format!("     {}\n", style(cut(&format!("relaxed: {}", parts.join("; ")), COLUMNS - 5)).yellow())
        }
    }
}

/// Tracks like a favourite.
pub fn similar(favourite: &Track, list: &Recommendation, genres: &[String]) -> String {
    let artist = favourite.artists.first().map_or("", |artist| artist.name.as_str());
    let mut text = heading(&cut(&format!("like {} by {artist}, played most", favourite.title), COLUMNS - 2));
    for (place, (track, genre)) in list.tracks.iter().zip(genres).enumerate() {
        text.push_str(&line(place + 1, " ", &name(track), genre));
    }
    text
}

/// The second list, marked.
pub fn again(user: &UserId, said: &Said, list: &Recommendation, marks: &[Mark]) -> String {
    let mut text = heading(&format!("the same request again, after {user}"));
    let mut did = |what: &str, whom: &str| {
        text.push_str(&format!("     {} {}\n", style(what).dim(), cut(whom, COLUMNS - 12)));
    };
    if let Some(artist) = &said.blocked {
        did("blocks", &artist.name);
    }
    for title in &said.skipped {
        did("skips ", title);
    }
    for (place, (track, mark)) in list.tracks.iter().zip(marks).enumerate() {
        let (sign, aside) = match mark {
            Mark::Same => (" ".to_owned(), String::new()),
            Mark::Moved(was) => (style("~").yellow().to_string(), format!("was {was}")),
            Mark::New => (style("+").green().bold().to_string(), "new".to_owned()),
        };
        text.push_str(&line(place + 1, &sign, &name(track), &aside));
    }
    text.push_str(&relaxed(list));
    text
}

/// What is no longer there.
pub fn gone(tracks: &[(String, &str)]) -> String {
    let sign = style("-").red().bold();
    let line = |(name, why): &(String, &str)| {
        format!("     {sign} {}  {}\n", style(left(name, NAME)).dim(), style(right(why, ASIDE)).dim())
    };
    tracks.iter().map(line).collect()
}

/// That the list keeps what was promised.
pub fn obeyed(list: &Recommendation) -> String {
    let tracks = match list.tracks.len() {
        1 => "1 track".to_owned(),
        number => format!("{number} tracks"),
    };
    format!(
        "  {} {tracks}, nothing blocked, nothing skipped, no rule broken\n",
        style("checked:").green().bold()
    )
}

/// How long it took, and what next.
pub fn farewell(place: &Place, listener: Option<&UserId>, elapsed: Duration) -> String {
    let rule = style("─".repeat(COLUMNS)).dim();
    let total = style(format!("Done in {}.", seconds(elapsed))).bold();
    if !place.is_kept() {
        return format!("\n{rule}\n{total} Its directory was temporary and is gone; --keep DIR leaves it.\n");
    }
    let program = program();
    let dir = quoted(&place.database().display().to_string());
    let mut text =
        format!("\n{rule}\n{total} Everything is in {dir}. Serve it:\n\n  {program} serve --data {dir}\n");
    if let Some(user) = listener {
        text.push_str(&format!(
            "\nand ask it from another terminal:\n\n  {program} recommend --user {user} --surface discover_weekly --endpoint \
             http://127.0.0.1:7700\n"
        ));
    }
    text
}

/// The program as it was called, so that the printed commands can be pasted.
fn program() -> String {
    std::env::args().next().map_or_else(|| "segue".to_owned(), |name| quoted(&name))
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("./demo-data"), "./demo-data");
        assert_eq!(quoted("my music"), "'my music'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn steps_fit_eighty_columns() {
        let text = done(&"one two three ".repeat(12), Duration::from_millis(1_234));
        assert!(text.lines().all(|line| console::measure_text_width(line) <= COLUMNS), "{text}");
        assert!(text.ends_with("1.2 s\n"), "{text}");
        let row = row(&Row { what: "tracks".into(), rows: 100_000, elapsed: Duration::from_secs(3) });
        assert_eq!(console::measure_text_width(row.trim_end()), COLUMNS, "{row}");
    }
}
