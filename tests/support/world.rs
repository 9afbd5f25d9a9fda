//! A small catalogue with everything in it that rules are about: regions, explicit tracks, several artists a track,
//! several versions a recording, unknown fields, listeners who block, filter and hear.

use std::collections::HashMap;

use segue::Segue;
use segue::node::VectorRow;
use segue::types::{
    AlbumId, Artist, ArtistId, AudioFeatures, DAY_MS, Date, GenerationId, GenreTag, Play, PlayAction,
    RecordingId, Region, RegionSet, SplitMix64, Timestamp, Track, TrackId, User, UserId,
};

use super::{AS_OF, STATIC, space};

/// Components of every vector in the world.
pub const DIM: usize = 16;

const GENRES: [&str; 8] = ["rock", "jazz", "techno", "folk", "metal", "soul", "ambient", "pop"];
const REGIONS: [&str; 4] = ["DE", "SE", "US", "BR"];
/// The region where next to nothing may be played.
const RARE_REGION: &str = "IS";

/// The catalogue, its listeners and what they heard.
pub struct World {
    pub tracks: Vec<Track>,
    pub users: Vec<User>,
    pub plays: Vec<Play>,
    pub track_vectors: Vec<VectorRow>,
    pub user_vectors: Vec<VectorRow>,
    pub audio_vectors: Vec<VectorRow>,
}

/// Wraps a valid id of any kind.
pub fn id<T: TryFrom<String>>(text: impl Into<String>) -> T
where
    T::Error: std::fmt::Debug,
{
    T::try_from(text.into()).unwrap()
}

/// A vector of independent normals.
pub fn random_vector(rng: &mut SplitMix64, dim: usize) -> Vec<f32> {
    (0..dim).map(|_| rng.normal() as f32).collect()
}

fn near(center: &[f32], noise: f32, rng: &mut SplitMix64) -> Vec<f32> {
    center.iter().map(|x| x + noise * rng.normal() as f32).collect()
}

/// A plausible track with everything known, the same for the same arguments.
pub fn track(number: u64, version: u64) -> Track {
    let mut rng = SplitMix64::new(number.wrapping_mul(0x9E37_79B9).wrapping_add(version));
    let artist = number % 40;
    Track {
        track_id: id(format!("t{number}")),
        recording_id: id(format!("t{number}")),
        title: format!("Title {number} take {version}"),
        artists: vec![Artist { id: id(format!("a{artist}")), name: format!("Artist {artist}") }],
        album_id: Some(id::<AlbumId>(format!("b{}", number / 8))),
        album: Some(format!("Album {}", number / 8)),
        label: Some(format!("Label {}", artist % 7)),
        genres: vec![GenreTag { genre: GENRES[(artist % 8) as usize].to_owned(), confidence: 1.0 }],
        release_date: Some(Date(AS_OF.day() - rng.below(4_000) as i32)),
        duration_ms: Some(120_000 + rng.below(180_000) as u32),
        popularity: Some(rng.below(101) as f32),
        explicit: Some(false),
        regions: RegionSet::All,
        audio: AudioFeatures {
            tempo: Some(70.0 + rng.below(100) as f32),
            key: Some(rng.below(12) as u8),
            mode: Some(rng.below(2) as u8),
            energy: Some(rng.uniform() as f32),
            danceability: Some(rng.uniform() as f32),
            valence: Some(rng.uniform() as f32),
            ..AudioFeatures::default()
        },
    }
}

/// The audio vector of a version of a track: of its own, so that nothing but the track itself is nearest to it.
pub fn audio_vector(number: u64, version: u64) -> Vec<f32> {
    random_vector(&mut SplitMix64::new(number.wrapping_mul(0xA24B_AED4).wrapping_add(version << 40)), DIM)
}

impl World {
    /// Makes a world; the same seed and sizes make the same one.
    pub fn generate(seed: u64, tracks: u64, users: u64) -> Self {
        let mut rng = SplitMix64::new(seed);
        let artists: Vec<Vec<f32>> = (0..40).map(|_| random_vector(&mut rng, DIM)).collect();
        let tracks: Vec<Track> = (0..tracks).map(|number| some_track(number, &mut rng)).collect();
        let users: Vec<User> =
            (0..users).map(|number| some_user(number, tracks.len() as u64, &mut rng)).collect();
        let plays =
            users.iter().enumerate().flat_map(|(at, user)| some_plays(at, user, &tracks, &mut rng)).collect();
        let vector_of = |track: &Track, noise, rng: &mut SplitMix64| {
            let artist: usize = track.artists[0].id.as_str()[1..].parse().unwrap();
            VectorRow { id: track.track_id.to_string(), vector: near(&artists[artist], noise, rng) }
        };
        // One track in five is new to the model, as in real catalogues.
        let known = tracks.iter().enumerate().filter(|(at, _)| at % 5 != 4).map(|(_, track)| track);
        let track_vectors = known.map(|track| vector_of(track, 0.4, &mut rng)).collect();
        let audio_vectors = tracks.iter().map(|track| vector_of(track, 0.8, &mut rng)).collect();
        // One listener in ten has no vector.
        let trained = users.iter().enumerate().filter(|(at, _)| at % 10 != 9);
        let user_vectors = trained
            .map(|(at, user)| VectorRow {
                id: user.user_id.to_string(),
                vector: near(&artists[at % 40], 0.3, &mut rng),
            })
            .collect();
        Self { tracks, users, plays, track_vectors, user_vectors, audio_vectors }
    }

    /// Writes everything through the bulk path and activates the generation.
    pub fn load(&self, engine: &Segue) -> GenerationId {
        engine.upsert_tracks(self.tracks.clone()).unwrap();
        engine.upsert_users(self.users.clone()).unwrap();
        engine.load_plays("plays", 0, self.plays.clone()).unwrap();
        engine.finish_load("plays", segue::node::LoadKind::Plays, &|_| {}).unwrap();
        engine.upsert_vectors(&space("audio"), STATIC, self.audio_vectors.clone()).unwrap();
        let generation = engine.create_generation(DIM as u32, None).unwrap().id;
        engine.upsert_vectors(&space("track_cf"), generation, self.track_vectors.clone()).unwrap();
        engine.upsert_vectors(&space("user_cf"), generation, self.user_vectors.clone()).unwrap();
        engine.activate_generation(generation).unwrap();
        generation
    }

    /// The tracks by id.
    pub fn by_id(&self) -> HashMap<TrackId, &Track> {
        self.tracks.iter().map(|track| (track.track_id.clone(), track)).collect()
    }

    /// When each recording was last heard by each listener.
    pub fn last_heard(&self) -> HashMap<(UserId, RecordingId), Timestamp> {
        let tracks = self.by_id();
        let mut last = HashMap::new();
        for play in &self.plays {
            let Some(track) = tracks.get(&play.track_id) else { continue };
            let at = last.entry((play.user_id.clone(), track.recording_id.clone())).or_insert(play.played_at);
            *at = (*at).max(play.played_at);
        }
        last
    }
}

fn some_track(number: u64, rng: &mut SplitMix64) -> Track {
    let mut track = track(number, 0);
    // One in six is another version of the track before it.
    if number % 6 == 5 {
        track.recording_id = id(format!("t{}", number - 1));
    }
    if rng.below(4) == 0 {
        let guest = rng.below(40);
        if track.artists[0].id.as_str() != format!("a{guest}") {
            track.artists.push(Artist { id: id(format!("a{guest}")), name: format!("Artist {guest}") });
        }
    }
    track.explicit = [Some(true), Some(false), Some(false), None][rng.below(4) as usize];
    track.regions = match rng.below(10) {
        0 => RegionSet::Only(vec![]),
        1..=3 => RegionSet::Only(vec![region(REGIONS[rng.below(4) as usize])]),
        4 => RegionSet::Only(vec![region("DE"), region(RARE_REGION)]),
        _ => RegionSet::All,
    };
    if rng.below(3) == 0 {
        track.popularity = None;
    }
    if rng.below(5) == 0 {
        (track.release_date, track.audio.tempo, track.audio.energy) = (None, None, None);
    }
    // Enough new releases for a radar.
    if rng.below(12) == 0 {
        track.release_date = Some(Date(AS_OF.day() - rng.below(28) as i32));
    }
    track
}

/// Parses a region code.
fn region(code: &str) -> Region {
    code.parse().unwrap()
}

fn some_user(number: u64, tracks: u64, rng: &mut SplitMix64) -> User {
    let mut user = User::unknown(id(format!("u{number}")));
    user.region = match number % 7 {
        0 => None,
        1 => Some(region(RARE_REGION)),
        other => Some(region(REGIONS[(other % 4) as usize])),
    };
    user.filter_explicit = rng.below(3) == 0;
    // Every eighth listener blocks almost everybody: the lists must be short, and right.
    let blocked = if number % 8 == 7 { 37 } else { rng.below(4) };
    user.blocked_artists = (0..blocked).map(|_| id::<ArtistId>(format!("a{}", rng.below(40)))).collect();
    user.blocked_artists.sort();
    user.blocked_artists.dedup();
    user.blocked_tracks = (0..rng.below(5)).map(|_| id(format!("t{}", rng.below(tracks)))).collect();
    user.blocked_tracks.sort();
    user.blocked_tracks.dedup();
    user.followed_artists = vec![id(format!("a{}", rng.below(40)))];
    user.registered_at = Some(AS_OF.minus_days(rng.below(400) as i64));
    user
}

fn some_plays(at: usize, user: &User, tracks: &[Track], rng: &mut SplitMix64) -> Vec<Play> {
    // New listeners, ordinary ones, and some who have heard half of all there is.
    let count = match at % 6 {
        0 => 0,
        5 => tracks.len() as u64,
        _ => rng.below(120),
    };
    let play = |rng: &mut SplitMix64| {
        let track = &tracks[rng.below(tracks.len() as u64) as usize];
        // Ages around the edges of every window as well.
        let days = [0, 1, 6, 7, 8, 27, 28, 29, 200][rng.below(9) as usize];
        Play {
            user_id: user.user_id.clone(),
            track_id: track.track_id.clone(),
            played_at: Timestamp(AS_OF.0 - days * DAY_MS - 1 - rng.below(3_600_000) as i64),
            listened_ms: rng.below(200_000) as u32,
            action: [PlayAction::Play, PlayAction::Play, PlayAction::Save, PlayAction::Skip]
                [rng.below(4) as usize],
        }
    };
    (0..count).map(|_| play(rng)).collect()
}
