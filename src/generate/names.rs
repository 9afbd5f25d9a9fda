//! Names put together from tables: pronounceable, believable, and nobody's.

use super::draw::chance;
use super::genres::Style;
use crate::types::SplitMix64;

const ONSETS: [&str; 26] = [
    "b", "br", "c", "d", "dr", "el", "f", "g", "h", "j", "k", "kal", "l", "m", "mar", "n", "or", "p", "r",
    "s", "sol", "t", "tr", "v", "w", "z",
];
const VOWELS: [&str; 12] = ["a", "e", "i", "o", "u", "ai", "ea", "io", "ou", "a", "e", "o"];
const MIDDLES: [&str; 16] =
    ["l", "n", "r", "v", "nd", "st", "m", "s", "th", "lm", "rr", "nt", "d", "z", "k", "vr"];
const ENDS: [&str; 14] = ["", "", "n", "s", "r", "l", "ne", "ra", "ck", "m", "x", "th", "sen", "ty"];

const NOUNS: [&str; 72] = [
    "Harbor",
    "River",
    "Lantern",
    "Winter",
    "Signal",
    "Garden",
    "Mirror",
    "Thunder",
    "Paper",
    "Meadow",
    "Engine",
    "Shadow",
    "Island",
    "Morning",
    "Horizon",
    "Ember",
    "Compass",
    "Window",
    "Orchard",
    "Satellite",
    "Canyon",
    "Velvet",
    "Arrow",
    "Tide",
    "Fever",
    "Coast",
    "Letter",
    "Sparrow",
    "Temple",
    "Motel",
    "Avenue",
    "Cinema",
    "Ocean",
    "Carousel",
    "Ghost",
    "Feather",
    "Sugar",
    "Static",
    "Summer",
    "Bridge",
    "Wolf",
    "Diamond",
    "Forest",
    "Radio",
    "Honey",
    "Marble",
    "Fountain",
    "Rain",
    "Planet",
    "Echo",
    "Midnight",
    "Desert",
    "Fire",
    "Glass",
    "Highway",
    "Anchor",
    "Copper",
    "Moon",
    "Cathedral",
    "Wildflower",
    "Iron",
    "Dust",
    "Hotel",
    "Cloud",
    "Stranger",
    "Kingdom",
    "Balcony",
    "Train",
    "Blossom",
    "Gravity",
    "Neon",
    "Salt",
];
const ADJECTIVES: [&str; 40] = [
    "Quiet", "Golden", "Broken", "Distant", "Silver", "Electric", "Hollow", "Slow", "Northern", "Endless",
    "Burning", "Little", "Faded", "Sacred", "Paper", "Crimson", "Lonely", "Wild", "Frozen", "Secret", "Late",
    "Blue", "Heavy", "Soft", "Restless", "Second", "Hidden", "Bright", "Tender", "Violet", "Empty", "Gentle",
    "Black", "Lucky", "Pale", "Sudden", "Young", "Perfect", "Bitter", "Open",
];
const PHRASES: [&str; 40] = [
    "Run to the {}",
    "All the {} We Lost",
    "Don't Wake the {}",
    "Under the {}",
    "Back to the {}",
    "No More {}",
    "Take Me to the {}",
    "When the {} Falls",
    "Half a {}",
    "Hold the {}",
    "Like a {}",
    "Letters from the {}",
    "Another {}",
    "Beneath the {}",
    "Where the {} Ends",
    "Dancing with the {}",
    "My {}",
    "Give Me {}",
    "Into the {}",
    "Waiting for the {}",
    "The {} Song",
    "Without a {}",
    "Every {}",
    "Born in the {}",
    "Leave the {} On",
    "One Last {}",
    "After the {}",
    "The Day of the {}",
    "Find the {}",
    "Who Needs a {}",
    "Ride the {}",
    "Across the {}",
    "Still {}",
    "Bring Back the {}",
    "Nobody's {}",
    "Dear {}",
    "Behind the {}",
    "Closer to the {}",
    "{} for Two",
    "Two Kinds of {}",
];
const FORMS: [&str; 12] = [
    "Sonata",
    "Nocturne",
    "Prelude",
    "Suite",
    "Étude",
    "Quartet",
    "Fantasia",
    "Variations",
    "Rhapsody",
    "Serenade",
    "Concerto",
    "Impromptu",
];
const KEYS: [&str; 10] = [
    "C Major",
    "D Minor",
    "E-flat Major",
    "F Major",
    "G Minor",
    "A Minor",
    "B-flat Major",
    "E Minor",
    "C Minor",
    "A Major",
];
const MOVEMENTS: [&str; 8] =
    ["Allegro", "Andante", "Adagio", "Presto", "Largo", "Menuetto", "Vivace", "Lento"];
const GROUPS: [&str; 8] =
    ["Trio", "Quartet", "Ensemble", "Quintet", "Orchestra", "Players", "Collective", "Sextet"];
const HOUSES: [&str; 10] =
    ["Records", "Recordings", "Music", "Sound", "Discs", "Tapes", "Audio", "Works", "Label", "Phonographic"];

/// One of a table.
fn pick(rng: &mut SplitMix64, table: &[&'static str]) -> &'static str {
    table[rng.below(table.len() as u64) as usize]
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A word of two or three syllables, like `Maroven`.
fn word(rng: &mut SplitMix64) -> String {
    let mut word = String::from(pick(rng, &ONSETS));
    for _ in 0..1 + usize::from(chance(rng, 0.35)) {
        word.push_str(pick(rng, &VOWELS));
        word.push_str(pick(rng, &MIDDLES));
    }
    word.push_str(pick(rng, &VOWELS));
    word.push_str(pick(rng, &ENDS));
    capital(&word)
}

/// An artist's name.
pub(super) fn artist(rng: &mut SplitMix64, style: Style) -> String {
    match (style, rng.below(6)) {
        (Style::Band, 0 | 1) => format!("The {} {}s", pick(rng, &ADJECTIVES), word(rng)),
        (Style::Band, 2) => format!("{} {}", word(rng), pick(rng, &NOUNS)),
        (Style::Band, 3) => format!("{} & the {}s", word(rng), word(rng)),
        (Style::Band, _) => word(rng),
        (Style::Producer, 0) => format!("DJ {}", word(rng)),
        (Style::Producer, 1) => format!("{} {}", pick(rng, &ADJECTIVES), word(rng)),
        (Style::Producer, 2) => word(rng).to_uppercase(),
        (Style::Producer, _) => word(rng),
        (Style::Ensemble, 0 | 1) => format!("{} {} {}", word(rng), word(rng), pick(rng, &GROUPS)),
        (Style::Ensemble, _) | (Style::Solo, 0..=3) => format!("{} {}", word(rng), word(rng)),
        (Style::Solo, _) => word(rng),
    }
}

/// A title or an album's name.
pub(super) fn title(rng: &mut SplitMix64, style: Style) -> String {
    if style == Style::Ensemble && chance(rng, 0.6) {
        let (form, number, key) = (pick(rng, &FORMS), 1 + rng.below(24), pick(rng, &KEYS));
        return format!("{form} No. {number} in {key}: {}", pick(rng, &MOVEMENTS));
    }
    match rng.below(10) {
        0 | 1 => pick(rng, &NOUNS).to_owned(),
        2..=4 => format!("{} {}", pick(rng, &ADJECTIVES), pick(rng, &NOUNS)),
        5 => format!("{} of {}", pick(rng, &NOUNS), word(rng)),
        6 => word(rng),
        _ => pick(rng, &PHRASES).replace("{}", pick(rng, &NOUNS)),
    }
}

/// A label's name.
pub(super) fn label(rng: &mut SplitMix64) -> String {
    let first = if chance(rng, 0.5) { word(rng) } else { pick(rng, &NOUNS).to_owned() };
    format!("{first} {}", pick(rng, &HOUSES))
}
