//! Tracks: releases, versions, popularity, and everything a catalogue says about a track.

use super::artists::{self, ArtistRow, track_genres};
use super::draw::{Purpose, chance, pick, stream};
use super::genres::{Genre, genre};
use super::names;
use super::params::GenerateParams;
use crate::types::{
    AlbumId, Artist, AudioFeatures, DAY_MS, Date, GenreTag, RecordingId, Region, RegionSet, SplitMix64,
    Track, TrackId,
};

/// The regions of the made-up service, with the share of listeners in each.
pub(super) const REGIONS: [(&str, f64); 20] = [
    ("US", 0.23),
    ("GB", 0.15),
    ("DE", 0.12),
    ("FR", 0.09),
    ("SE", 0.05),
    ("BR", 0.07),
    ("MX", 0.05),
    ("ES", 0.04),
    ("IT", 0.03),
    ("PL", 0.03),
    ("NL", 0.03),
    ("JP", 0.02),
    ("AU", 0.02),
    ("CA", 0.02),
    ("PH", 0.01),
    ("IN", 0.01),
    ("AR", 0.01),
    ("TR", 0.01),
    ("FI", 0.005),
    ("NO", 0.005),
];

/// Share of tracks that are another version of a recording, and of releases in the last 28 days.
const VERSION_SHARE: f64 = 0.045;
const NEW_SHARE: f64 = 0.05;
const LABELS: u64 = 400;

/// The table row of a track.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrackRow {
    pub(super) artist: u32,
    /// First track of the release; its number names the album.
    pub(super) album: u32,
    /// The track whose recording this is a version of; itself for an original.
    pub(super) original: u32,
    /// Days since 1970.
    pub(super) released: i32,
    /// 0 = most played.
    pub(super) rank: u32,
    /// Explicit in truth, whether or not the catalogue says so.
    pub(super) explicit: bool,
    /// Bit r: available in region r; all bits: everywhere.
    pub(super) regions: u32,
}

/// Every region.
pub(super) const EVERYWHERE: u32 = (1 << REGIONS.len()) - 1;

/// The weight of a rank: Zipf–Mandelbrot with exponent 0.9.
pub(super) fn rank_weight(rank: u32) -> f64 {
    (f64::from(rank) + 12.0).powf(-0.9)
}

/// Makes up the releases of all artists.
pub(super) fn all(params: &GenerateParams, artists: &[ArtistRow]) -> Vec<TrackRow> {
    let count = params.tracks as usize;
    let mut rows = Vec::with_capacity(count);
    let mut appeal: Vec<(f32, u32)> = Vec::with_capacity(count);
    for (number, artist) in artists.iter().enumerate() {
        let end = artists.get(number + 1).map_or(params.tracks, |next| next.first_track).min(params.tracks);
        let mut rng = stream(params.seed, Purpose::Discography, number as u64);
        discography(params, number as u32, artist, end, &mut rng, &mut rows);
        for track in artist.first_track..end {
            appeal.push((1.1 * artist.fame + rng.normal() as f32, track));
        }
    }
    appeal.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for (rank, (_, track)) in (0..).zip(appeal) {
        rows[track as usize].rank = rank;
    }
    rows
}

/// Albums, EPs and singles of one artist.
fn discography(
    params: &GenerateParams,
    number: u32,
    artist: &ArtistRow,
    end: u32,
    rng: &mut SplitMix64,
    rows: &mut Vec<TrackRow>,
) {
    let today = params.as_of.day();
    let explicit = genre(usize::from(artist.genre)).sound.explicit;
    let mut track = artist.first_track;
    while track < end {
        let size = match rng.below(20) {
            0..=8 => 1,
            9..=13 => 4 + rng.below(3) as u32,
            _ => 8 + rng.below(7) as u32,
        };
        let released = if chance(rng, NEW_SHARE) {
            today - rng.below(28) as i32
        } else {
            today - 28 - (365.25 * 9.0 * -(1.0 - rng.uniform()).ln()).min(20_000.0) as i32
        };
        let regions = if chance(rng, 0.85) { EVERYWHERE } else { some_regions(rng) };
        for at in track..end.min(track + size) {
            let original = if at > artist.first_track && chance(rng, VERSION_SHARE) {
                let earlier = artist.first_track + rng.below(u64::from(at - artist.first_track)) as u32;
                rows[earlier as usize].original
            } else {
                at
            };
            rows.push(TrackRow {
                artist: number,
                album: track,
                original,
                released,
                rank: 0,
                explicit: chance(rng, explicit),
                regions,
            });
        }
        track = track.saturating_add(size);
    }
}

/// Four to fifteen regions.
fn some_regions(rng: &mut SplitMix64) -> u32 {
    let wanted = 4 + rng.below(12) as u32;
    let mut regions = 0_u32;
    while regions.count_ones() < wanted {
        regions |= 1 << rng.below(REGIONS.len() as u64);
    }
    regions
}

/// How a track sounds, in truth.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrueSound {
    pub(super) tempo: f64,
    /// energy, danceability, valence, acousticness, instrumentalness, speechiness, liveness; 0 to 1.
    pub(super) shares: [f64; 7],
    pub(super) loudness: f64,
}

/// A track's sound: its genre's, shifted by its artist and by chance.
pub(super) fn true_sound(
    params: &GenerateParams,
    number: usize,
    row: &TrackRow,
    artist: &ArtistRow,
) -> TrueSound {
    // Versions of one recording sound alike: most of the chance is the original's.
    let mut of_artist = stream(params.seed, Purpose::Artist, (2 << 40) + u64::from(row.artist));
    let mut of_song = stream(params.seed, Purpose::Track, (1 << 40) + u64::from(row.original));
    let mut of_version = stream(params.seed, Purpose::Track, (2 << 40) + number as u64);
    let Genre { tempo, sound, .. } = genre(usize::from(artist.genre));
    let means = [
        sound.energy,
        sound.danceability,
        sound.valence,
        sound.acousticness,
        sound.instrumentalness,
        sound.speechiness,
        0.18,
    ];
    let mut shift = |scale: f64| {
        scale * (0.6 * of_artist.normal() + 0.75 * of_song.normal() + 0.25 * of_version.normal())
    };
    // In log-odds, so that nothing leaves 0..1 and means near the ends stay there.
    let shares = means.map(|mean: f64| {
        let odds = (mean.clamp(0.01, 0.99) / (1.0 - mean.clamp(0.01, 0.99))).ln() + shift(0.6);
        1.0 / (1.0 + (-odds).exp())
    });
    let tempo = (tempo * shift(0.09).exp()).clamp(45.0, 220.0);
    TrueSound { tempo, shares, loudness: (sound.loudness + shift(2.0)).clamp(-50.0, 0.0) }
}

/// Everything the catalogue says about a track.
pub(super) fn track(
    params: &GenerateParams,
    number: usize,
    rows: &[TrackRow],
    artists: &[ArtistRow],
    primary: &Artist,
) -> Track {
    let row = &rows[number];
    let artist = &artists[row.artist as usize];
    let mut rng = stream(params.seed, Purpose::Track, number as u64);
    let sounds = genre(usize::from(artist.genre)).sound;
    let genres = track_genres(artist, params.genres as usize, &mut rng);
    let album =
        (row.album as usize..).take_while(|&at| rows.get(at).is_some_and(|other| other.album == row.album));
    let single = album.take(2).count() == 1;
    let title = title_of(params, number, row, sounds.style, &mut rng);
    let known = |rng: &mut SplitMix64, share: f64| chance(rng, share);
    Track {
        track_id: track_id(number),
        recording_id: RecordingId::new(format!("r{:08}", row.original)).expect("digits make an id"),
        artists: credits(params, row, artists, primary, &mut rng),
        album_id: Some(AlbumId::new(format!("al{:08}", row.album)).expect("digits make an id")),
        album: Some(if single { title.clone() } else { album_name(params, row, sounds.style) }),
        label: known(&mut rng, 0.7).then(|| label_of(params, row.artist)),
        genres: if known(&mut rng, 0.92) { tags(&genres) } else { Vec::new() },
        release_date: known(&mut rng, 0.97).then_some(Date(row.released)),
        duration_ms: known(&mut rng, 0.995).then(|| duration_ms(params, number, artist)),
        popularity: known(&mut rng, 0.9).then(|| popularity(row.rank, rows.len())),
        explicit: known(&mut rng, 0.9).then_some(row.explicit),
        regions: region_set(row.regions),
        audio: audio(true_sound(params, number, row, artist), &mut rng),
        title,
    }
}

pub(super) fn track_id(number: usize) -> TrackId {
    TrackId::new(format!("t{number:08}")).expect("digits make an id")
}

/// How long a track is, whether or not the catalogue says so.
pub(super) fn duration_ms(params: &GenerateParams, number: usize, artist: &ArtistRow) -> u32 {
    let minutes = genre(usize::from(artist.genre)).sound.minutes;
    let spread = 0.25 * stream(params.seed, Purpose::Track, (4 << 40) + number as u64).normal();
    ((minutes * spread.exp()).clamp(0.6, 40.0) * 60_000.0) as u32
}

/// 100 for the most played, about 22 for the middle.
fn popularity(rank: u32, tracks: usize) -> f32 {
    let share = f64::from(rank) / tracks as f64;
    (100.0 * (1.0 - share.powf(0.35))).round() as f32
}

fn title_of(
    params: &GenerateParams,
    number: usize,
    row: &TrackRow,
    style: super::genres::Style,
    rng: &mut SplitMix64,
) -> String {
    const VERSIONS: [&str; 7] =
        ["Live", "Acoustic", "Radio Edit", "Remastered", "Extended Mix", "Demo", "Single Version"];
    let mut of_song = stream(params.seed, Purpose::Track, (3 << 40) + u64::from(row.original));
    let title = names::title(&mut of_song, style);
    if row.original as usize == number {
        return title;
    }
    format!("{title} - {}", pick(rng, &VERSIONS))
}

fn album_name(params: &GenerateParams, row: &TrackRow, style: super::genres::Style) -> String {
    names::title(&mut stream(params.seed, Purpose::Discography, (1 << 40) + u64::from(row.album)), style)
}

fn label_of(params: &GenerateParams, artist: u32) -> String {
    let label = stream(params.seed, Purpose::Artist, (3 << 40) + u64::from(artist)).below(LABELS);
    names::label(&mut stream(params.seed, Purpose::Artist, (4 << 40) + label))
}

/// The artist, and for one track in eight a guest of the same or a near genre.
fn credits(
    params: &GenerateParams,
    row: &TrackRow,
    artists: &[ArtistRow],
    primary: &Artist,
    rng: &mut SplitMix64,
) -> Vec<Artist> {
    let mut credits = vec![primary.clone()];
    if chance(rng, 0.125) {
        for _ in 0..40 {
            let guest = rng.below(artists.len() as u64) as usize;
            let near = super::genres::family(usize::from(artists[guest].genre))
                == super::genres::family(usize::from(artists[row.artist as usize].genre));
            if near && guest != row.artist as usize {
                credits.push(artists::artist(params, guest, &artists[guest]));
                break;
            }
        }
    }
    credits
}

fn tags(genres: &[u8]) -> Vec<GenreTag> {
    let tag = |&number: &u8| GenreTag { genre: genre(usize::from(number)).name.to_owned(), confidence: 1.0 };
    genres.iter().map(tag).collect()
}

/// The region of a bit.
pub(super) fn region(number: usize) -> Region {
    REGIONS[number].0.parse().expect("the table holds region codes")
}

fn region_set(bits: u32) -> RegionSet {
    if bits == EVERYWHERE {
        return RegionSet::All;
    }
    let mut regions: Vec<Region> = (0..REGIONS.len()).filter(|at| bits >> at & 1 == 1).map(region).collect();
    regions.sort_unstable();
    RegionSet::Only(regions)
}

fn audio(sound: TrueSound, rng: &mut SplitMix64) -> AudioFeatures {
    if chance(rng, 0.02) {
        return AudioFeatures::default();
    }
    let share = |at: usize| Some((sound.shares[at] * 1_000.0).round() as f32 / 1_000.0);
    AudioFeatures {
        tempo: (!chance(rng, 0.001)).then_some((sound.tempo * 100.0).round() as f32 / 100.0),
        key: Some(rng.below(12) as u8),
        mode: Some(u8::from(chance(rng, 0.63))),
        energy: share(0),
        danceability: share(1),
        valence: share(2),
        acousticness: share(3),
        instrumentalness: share(4),
        speechiness: share(5),
        liveness: share(6),
        loudness: (!chance(rng, 0.02)).then_some((sound.loudness * 100.0).round() as f32 / 100.0),
    }
}

/// The first moment a track can be played.
pub(super) fn released_ms(row: &TrackRow) -> i64 {
    i64::from(row.released) * DAY_MS
}
