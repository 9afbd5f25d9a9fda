//! What the stages read of one track, in 128 bytes side by side.
//!
//! A request asks this of hundreds of tracks that lie anywhere in the catalogue. In a catalogue larger than the processor's
//! caches each place that is touched costs about a microsecond, so one place a track instead of eight in as many columns.
//!
//! Bytes: number of artists, number of genres, two unused, eleven words of features, up to three artists, up to four
//! genres, as many confidences as genres; the rest is zero. A track with more than that is marked and read from the columns.

use smallvec::SmallVec;

use super::columns::RowFacts;
use super::segment::{pack_features, unpack_features};
use crate::types::{ArtistKey, AudioFeatures, GenreKey};

/// Bytes of a record.
pub const RECORD_BYTES: usize = 128;
/// One track's record.
pub type Record = [u8; RECORD_BYTES];

/// Artists of a track that fit.
pub const ARTISTS_MAX: usize = 3;
/// Genres of a track that fit.
pub const GENRES_MAX: usize = 4;
/// Stands for the number of artists of a track that does not fit.
const TOO_LONG: u8 = u8::MAX;
const FEATURES: usize = 4;
const ARTISTS: usize = FEATURES + 4 * 11;
const GENRES: usize = ARTISTS + 8 * ARTISTS_MAX;
const CONFIDENCES: usize = GENRES + 8 * GENRES_MAX;
const _: () = assert!(CONFIDENCES + 4 * GENRES_MAX <= RECORD_BYTES);

/// Packs what fits.
pub fn encode(artists: &[ArtistKey], genres: &[(GenreKey, f32)], audio: &AudioFeatures) -> Record {
    let mut record = [0; RECORD_BYTES];
    if artists.len() > ARTISTS_MAX || genres.len() > GENRES_MAX {
        record[0] = TOO_LONG;
        return record;
    }
    (record[0], record[1]) = (artists.len() as u8, genres.len() as u8);
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    for (i, word) in pack_features(audio).iter().enumerate() {
        put(FEATURES + 4 * i, &word.to_le_bytes());
    }
    for (i, artist) in artists.iter().enumerate() {
        put(ARTISTS + 8 * i, &artist.0.to_le_bytes());
    }
    for (i, (genre, confidence)) in genres.iter().enumerate() {
        put(GENRES + 8 * i, &genre.0.to_le_bytes());
        put(CONFIDENCES + 4 * i, &confidence.to_le_bytes());
    }
    record
}

/// What a record says; `None` for a track that did not fit, and for numbers that cannot be.
pub fn decode(record: &Record) -> Option<RowFacts> {
    let (artists, genres) = (usize::from(record[0]), usize::from(record[1]));
    if artists > ARTISTS_MAX || genres > GENRES_MAX {
        return None;
    }
    let key = |at: usize, i: usize| u64::from_le_bytes(bytes(record, at + 8 * i));
    let word = |at: usize, i: usize| u32::from_le_bytes(bytes(record, at + 4 * i));
    let features: [u32; 11] = std::array::from_fn(|i| word(FEATURES, i));
    // All places are read, whether they are used or not: they are of one or two lines, and nothing has to be decided.
    let all_artists: [ArtistKey; ARTISTS_MAX] = std::array::from_fn(|i| ArtistKey(key(ARTISTS, i)));
    let all_genres: [(GenreKey, f32); GENRES_MAX] =
        std::array::from_fn(|i| (GenreKey(key(GENRES, i)), f32::from_bits(word(CONFIDENCES, i))));
    Some(RowFacts {
        artists: SmallVec::from_buf_and_len(all_artists, artists),
        genres: SmallVec::from_buf_and_len(all_genres, genres),
        audio: unpack_features(&features)?,
    })
}

/// The bytes of a number.
fn bytes<const N: usize>(record: &Record, at: usize) -> [u8; N] {
    std::array::from_fn(|i| record[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_was_packed_and_long_rows_are_left_to_the_columns() {
        let audio = AudioFeatures {
            tempo: Some(121.5),
            key: Some(0),
            loudness: Some(-7.25),
            ..AudioFeatures::default()
        };
        for artists in 0..=ARTISTS_MAX + 1 {
            for genres in 0..=GENRES_MAX + 1 {
                let facts = RowFacts {
                    artists: (0..artists as u64).map(|i| ArtistKey(u64::MAX - i)).collect(),
                    genres: (0..genres as u64).map(|i| (GenreKey(7 << i), 1.0 / (i + 1) as f32)).collect(),
                    audio,
                };
                let read = decode(&encode(&facts.artists, &facts.genres, &facts.audio));
                let fits = artists <= ARTISTS_MAX && genres <= GENRES_MAX;
                assert_eq!(read, fits.then_some(facts), "{artists} artists, {genres} genres");
            }
        }
        assert_eq!(decode(&[77; RECORD_BYTES]), None);
    }
}
