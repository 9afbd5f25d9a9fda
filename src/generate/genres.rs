//! Genres: families of neighbours, and how each sounds.

/// The number of genres in the table.
pub const GENRES_MAX: usize = FAMILIES.len() * FAMILY_SIZE;

/// Genres of one family.
pub(super) const FAMILY_SIZE: usize = 5;

/// How the tracks of a family sound on average.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sound {
    pub(super) energy: f64,
    pub(super) danceability: f64,
    pub(super) valence: f64,
    pub(super) acousticness: f64,
    pub(super) instrumentalness: f64,
    pub(super) speechiness: f64,
    pub(super) loudness: f64,
    /// Share of explicit tracks.
    pub(super) explicit: f64,
    /// Minutes a track lasts.
    pub(super) minutes: f64,
    /// How names are made.
    pub(super) style: Style,
}

/// How artists and titles of a family are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Band,
    Solo,
    Producer,
    Ensemble,
}

/// A family: its sound, and its genres with their tempo and a shift of energy.
struct Family {
    sound: Sound,
    genres: [(&'static str, f64, f64); FAMILY_SIZE],
}

/// A genre of the catalogue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Genre {
    pub(super) name: &'static str,
    pub(super) tempo: f64,
    pub(super) sound: Sound,
}

/// The genre of a number in `0..GENRES_MAX`. Numbers go round the families, so that any first few genres differ much, and the
/// families stand in order of popularity.
pub(super) fn genre(number: usize) -> Genre {
    let family = &FAMILIES[number % FAMILIES.len()];
    let (name, tempo, energy) = family.genres[number / FAMILIES.len()];
    let mut sound = family.sound;
    sound.energy = (sound.energy + energy).clamp(0.03, 0.97);
    sound.loudness += 12.0 * energy;
    Genre { name, tempo, sound }
}

/// The family of a genre's number.
pub(super) fn family(number: usize) -> usize {
    number % FAMILIES.len()
}

/// The genres among the first `count` that share a family with `number`, without itself.
pub(super) fn neighbours(number: usize, count: usize) -> impl Iterator<Item = usize> + Clone {
    (family(number)..count).step_by(FAMILIES.len()).filter(move |&other| other != number)
}

#[expect(clippy::too_many_arguments, reason = "a row of the table below")]
const fn sound(
    energy: f64,
    danceability: f64,
    valence: f64,
    acousticness: f64,
    instrumentalness: f64,
    speechiness: f64,
    loudness: f64,
    explicit: f64,
    minutes: f64,
    style: Style,
) -> Sound {
    Sound {
        energy,
        danceability,
        valence,
        acousticness,
        instrumentalness,
        speechiness,
        loudness,
        explicit,
        minutes,
        style,
    }
}

const FAMILIES: [Family; 12] = [
    Family {
        sound: sound(0.66, 0.66, 0.56, 0.20, 0.02, 0.06, -5.8, 0.12, 3.3, Style::Solo),
        genres: [
            ("pop", 116.0, 0.0),
            ("dance pop", 122.0, 0.08),
            ("indie pop", 118.0, -0.08),
            ("synthpop", 121.0, 0.02),
            ("chamber pop", 106.0, -0.22),
        ],
    },
    Family {
        sound: sound(0.74, 0.51, 0.50, 0.12, 0.08, 0.05, -6.4, 0.05, 3.9, Style::Band),
        genres: [
            ("indie rock", 124.0, 0.0),
            ("classic rock", 122.0, -0.04),
            ("post-punk", 134.0, 0.05),
            ("psychedelic rock", 116.0, -0.1),
            ("punk rock", 166.0, 0.16),
        ],
    },
    Family {
        sound: sound(0.64, 0.74, 0.49, 0.17, 0.03, 0.24, -6.6, 0.62, 3.2, Style::Producer),
        genres: [
            ("hip hop", 96.0, 0.0),
            ("trap", 141.0, 0.03),
            ("boom bap", 90.0, -0.05),
            ("drill", 143.0, 0.08),
            ("lo-fi beats", 82.0, -0.3),
        ],
    },
    Family {
        sound: sound(0.78, 0.72, 0.46, 0.05, 0.42, 0.06, -7.2, 0.04, 5.2, Style::Producer),
        genres: [
            ("house", 124.0, 0.0),
            ("techno", 131.0, 0.08),
            ("deep house", 121.0, -0.15),
            ("trance", 137.0, 0.08),
            ("melodic techno", 123.0, -0.08),
        ],
    },
    Family {
        sound: sound(0.71, 0.73, 0.66, 0.21, 0.02, 0.10, -5.6, 0.16, 3.3, Style::Solo),
        genres: [
            ("reggaeton", 93.0, 0.02),
            ("latin pop", 104.0, -0.03),
            ("salsa", 180.0, 0.04),
            ("cumbia", 98.0, 0.0),
            ("bossa nova", 128.0, -0.35),
        ],
    },
    Family {
        sound: sound(0.52, 0.65, 0.53, 0.30, 0.03, 0.08, -7.4, 0.22, 3.7, Style::Solo),
        genres: [
            ("r&b", 103.0, 0.0),
            ("neo soul", 94.0, -0.05),
            ("soul", 104.0, 0.03),
            ("funk", 110.0, 0.18),
            ("quiet storm", 84.0, -0.18),
        ],
    },
    Family {
        sound: sound(0.89, 0.43, 0.32, 0.02, 0.22, 0.08, -5.0, 0.14, 4.5, Style::Band),
        genres: [
            ("heavy metal", 132.0, 0.0),
            ("metalcore", 142.0, 0.05),
            ("doom metal", 82.0, -0.12),
            ("black metal", 158.0, 0.04),
            ("progressive metal", 126.0, -0.05),
        ],
    },
    Family {
        sound: sound(0.42, 0.52, 0.45, 0.66, 0.05, 0.04, -9.6, 0.02, 3.6, Style::Solo),
        genres: [
            ("folk", 112.0, -0.05),
            ("country", 122.0, 0.2),
            ("americana", 116.0, 0.08),
            ("singer-songwriter", 108.0, -0.08),
            ("bluegrass", 134.0, 0.12),
        ],
    },
    Family {
        sound: sound(0.38, 0.53, 0.50, 0.68, 0.42, 0.05, -12.2, 0.01, 5.3, Style::Ensemble),
        genres: [
            ("jazz", 116.0, 0.0),
            ("swing", 138.0, 0.08),
            ("jazz fusion", 112.0, 0.25),
            ("vocal jazz", 104.0, -0.08),
            ("bebop", 172.0, 0.12),
        ],
    },
    Family {
        sound: sound(0.16, 0.27, 0.20, 0.92, 0.84, 0.04, -20.5, 0.0, 4.8, Style::Ensemble),
        genres: [
            ("classical", 98.0, 0.0),
            ("piano", 92.0, -0.05),
            ("baroque", 104.0, 0.08),
            ("string quartet", 102.0, 0.04),
            ("minimalism", 108.0, 0.02),
        ],
    },
    Family {
        sound: sound(0.24, 0.36, 0.20, 0.70, 0.86, 0.05, -17.0, 0.0, 5.4, Style::Producer),
        genres: [
            ("ambient", 88.0, -0.06),
            ("downtempo", 96.0, 0.2),
            ("drone", 76.0, -0.1),
            ("new age", 90.0, -0.04),
            ("chillout", 100.0, 0.15),
        ],
    },
    Family {
        sound: sound(0.62, 0.75, 0.72, 0.22, 0.06, 0.12, -7.2, 0.06, 3.9, Style::Band),
        genres: [
            ("reggae", 78.0, 0.0),
            ("afrobeats", 106.0, 0.05),
            ("dancehall", 98.0, 0.12),
            ("dub", 74.0, -0.12),
            ("highlife", 118.0, 0.06),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genres_have_different_names_and_four_neighbours() {
        let mut names: Vec<&str> = (0..GENRES_MAX).map(|number| genre(number).name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 60);
        assert!((0..GENRES_MAX).all(|number| neighbours(number, GENRES_MAX).count() == 4));
        assert_eq!(neighbours(0, 13).collect::<Vec<_>>(), [12]);
        assert_eq!((genre(1).name, genre(13).name), ("indie rock", "classic rock"));
    }
}
