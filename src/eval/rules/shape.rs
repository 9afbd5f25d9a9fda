//! What a list must look like whatever is in it: caps, distances between tracks of one artist, safe first places. Counted from the
//! listed tracks' records alone.

use std::collections::HashMap;

use super::checks::Finding;
use crate::pipeline::explore::SAFE_SLOTS;
use crate::pipeline::recipe::Recipe;
use crate::types::Track;

/// What is wrong with the shape of a list.
///
/// * `listed`: its tracks in their order, and whether each explores.
/// * `relaxed`: what it says it could not keep; that is allowed.
pub(super) fn findings(
    recipe: &Recipe,
    listed: &[(&Track, bool)],
    relaxed: &[String],
) -> Vec<(Finding, String)> {
    let said = |words: &str| relaxed.iter().any(|text| text.contains(words));
    let mut found = Vec::new();
    let tracks = || listed.iter().map(|(track, _)| track);
    let artists: Vec<Option<&str>> =
        tracks().map(|track| track.artists.first().map(|artist| artist.id.as_str())).collect();
    let albums: Vec<Option<&str>> =
        tracks().map(|track| track.album_id.as_ref().map(|album| album.as_str())).collect();
    // Pins have their places whatever the caps say.
    let has_caps = recipe.editorial.is_empty();
    if has_caps && !said("artist cap") {
        found.extend(over(&artists, recipe.artist_cap).map(|detail| (Finding::ArtistCap, detail)));
    }
    if has_caps && !said("album cap") {
        found.extend(over(&albums, recipe.album_cap).map(|detail| (Finding::AlbumCap, detail)));
    }
    let wanted = (recipe.artist_gap as usize).min(feasible_gap(&artists));
    if recipe.sequence && !said("of one artist are at least") {
        let closer = closest(&artists).filter(|(gap, _)| *gap < wanted);
        found.extend(closer.map(|(gap, artist)| {
            (Finding::ArtistGap, format!("artist={artist}, apart={gap}, wanted={wanted}"))
        }));
    }
    let early = listed.iter().take(SAFE_SLOTS).filter(|(_, explored)| *explored);
    found.extend(early.map(|(track, _)| (Finding::ExploredFirst, track.track_id.to_string())));
    found
}

fn counts<'t>(of: &[Option<&'t str>]) -> HashMap<&'t str, usize> {
    let mut counts = HashMap::new();
    of.iter().flatten().for_each(|name| *counts.entry(*name).or_insert(0) += 1);
    counts
}

/// What stands in a list more often than a cap allows; 0 allows anything.
fn over(of: &[Option<&str>], cap: u32) -> impl Iterator<Item = String> {
    let many = counts(of).into_iter().filter(move |(_, count)| cap > 0 && *count > cap as usize);
    many.map(move |(name, count)| format!("{name}: {count} of at most {cap}"))
}

/// The largest distance that equal ones may be at everywhere: `(c_max − 1)·gap + m ≤ n` (PIPELINE.md §9).
fn feasible_gap(of: &[Option<&str>]) -> usize {
    let counts = counts(of);
    let most = counts.values().copied().max().unwrap_or(0);
    if most < 2 {
        return of.len();
    }
    let with_most = counts.values().filter(|count| **count == most).count();
    of.len().saturating_sub(with_most) / (most - 1)
}

/// The smallest distance between two equal ones, and of whom.
fn closest<'t>(of: &[Option<&'t str>]) -> Option<(usize, &'t str)> {
    let mut last: HashMap<&str, usize> = HashMap::new();
    let mut closest: Option<(usize, &str)> = None;
    for (at, name) in of.iter().enumerate().filter_map(|(at, name)| Some((at, (*name)?))) {
        if let Some(before) = last.insert(name, at) {
            closest = closest.into_iter().chain([(at - before, name)]).min();
        }
    }
    closest
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;
    use crate::node::tests::track;
    use crate::pipeline::recipe::built_in;
    use crate::types::{AlbumId, Artist, ArtistId};

    /// Tracks by these artists, one letter each, each on an album of its own.
    fn by(artists: &str) -> Vec<Track> {
        let of = |(number, letter): (u64, char)| Track {
            artists: vec![Artist { id: ArtistId::new(letter).unwrap(), name: letter.to_string() }],
            album_id: Some(AlbumId::new(format!("album{number}")).unwrap()),
            ..track(number)
        };
        (0..).zip(artists.chars()).map(of).collect()
    }

    /// What is found in a radio of these tracks, one of which may explore.
    fn names(tracks: &[Track], explored: Option<usize>, relaxed: &[&str]) -> Vec<&'static str> {
        let radio = built_in().into_iter().find(|recipe| recipe.name == "radio").unwrap();
        let listed: Vec<(&Track, bool)> =
            tracks.iter().enumerate().map(|(at, track)| (track, explored == Some(at))).collect();
        let relaxed: Vec<String> = relaxed.iter().map(ToString::to_string).collect();
        findings(&radio, &listed, &relaxed).iter().map(|(finding, _)| finding.name()).collect()
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn caps_and_distances_are_looked_at_and_what_was_said_is_allowed() {
        assert_eq!(names(&by("abcabd"), None, &[]), NOTHING);
        assert_eq!(names(&by("abcabcad"), None, &[]), ["artist_cap"]);
        assert_eq!(names(&by("aabcdefg"), None, &[]), ["artist_gap"]);
        // With so few others they cannot be farther apart.
        assert_eq!(names(&by("aba"), None, &[]), NOTHING);
        let mut same = by("abcdefg");
        same.iter_mut().take(3).for_each(|track| track.album_id = AlbumId::new("one").ok());
        assert_eq!(names(&same, None, &[]), ["album_cap"]);
        assert_eq!(names(&by("abcabcad"), None, &["artist cap raised from 2 to 3: ..."]), NOTHING);
        let closer = "tracks of one artist are at least 1 apart instead of 3: ...";
        assert_eq!(names(&by("aabcdefg"), None, &[closer]), NOTHING);
    }

    #[test]
    fn an_explored_track_in_the_first_three_places_is_wrong() {
        assert_eq!(names(&by("abcd"), Some(3), &[]), NOTHING);
        assert_eq!(names(&by("abcd"), Some(2), &[]), ["explored_first"]);
    }
}
