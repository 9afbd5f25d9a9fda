//! Bytes of a token, written and read with every length checked.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Impression, ImpressionSlot, SlotExploration, TOKEN_BYTES_MAX};
use crate::error::Error;
use crate::pipeline::experiment::Assignment;
use crate::pipeline::recipe::Source;
use crate::types::{GenerationId, ShardId, Timestamp, TrackOrdinal, TrackRef};

const VERSION: u8 = 2;
/// With an experiment and an arm; what has none is written as before.
const IN_EXPERIMENT: u8 = 3;
/// The first format: neither order of draws nor number of open tracks.
const FIRST: u8 = 1;
const MAC_BYTES: usize = 16;
const EXPLORED: u8 = 0x80;
const HAS_SOURCE: u8 = 0x40;
/// The shortest slot: shard, ordinal and flags.
const SLOT_BYTES_MIN: usize = 3;

/// Why a token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than any token.
    #[error("impression token is too long. bytes=`{bytes}`, bytes_max=`{TOKEN_BYTES_MAX}`")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not base64url without padding.
    #[error("impression token is not base64url without padding")]
    NotBase64,
    /// Too short to hold its MAC.
    #[error("impression token is cut short")]
    Truncated,
    /// Changed on its way, made up, or of another cluster.
    #[error("impression token was not issued by this database")]
    Forged,
    /// Written by a newer version.
    #[error("impression token has an unknown version, upgrade this node. version=`{0}`")]
    UnknownVersion(u8),
    /// Authentic, but not readable: a part is missing or out of range.
    #[error("impression token is malformed. part=`{0}`")]
    Malformed(&'static str),
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        Self::invalid("impression", error.to_string())
    }
}

pub(super) fn encode(impression: &Impression, key: &[u8; 32]) -> String {
    let mut bytes = vec![if impression.experiment.is_some() { IN_EXPERIMENT } else { VERSION }];
    bytes.extend(impression.user_key.to_le_bytes());
    bytes.extend(impression.as_of.0.to_le_bytes());
    bytes.extend(impression.seed.to_le_bytes());
    bytes.extend(impression.candidates_hash.to_le_bytes());
    put_varint(&mut bytes, impression.generation.map_or(0, |generation| u64::from(generation.0) + 1));
    let arm = impression.experiment.iter().flat_map(|of| [&of.experiment, &of.arm]);
    for text in [&impression.request_id, &impression.recipe, &impression.surface].into_iter().chain(arm) {
        put_varint(&mut bytes, text.len() as u64);
        bytes.extend(text.as_bytes());
    }
    put_varint(&mut bytes, impression.slots.len() as u64);
    for slot in &impression.slots {
        put_slot(&mut bytes, slot);
    }
    let mac = mac(&bytes, key);
    bytes.extend(mac);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn put_slot(bytes: &mut Vec<u8>, slot: &ImpressionSlot) {
    put_varint(bytes, u64::from(slot.track.shard.0));
    put_varint(bytes, u64::from(slot.track.ordinal.0));
    let source = slot.source.map_or(0, |source| HAS_SOURCE | source.code());
    bytes.push(source | if slot.exploration.is_some() { EXPLORED } else { 0 });
    if let Some(exploration) = slot.exploration {
        put_varint(bytes, u64::from(exploration.genre_cluster));
        bytes.extend(exploration.propensity.to_le_bytes());
        put_varint(bytes, u64::from(exploration.draw));
        put_varint(bytes, u64::from(exploration.open));
    }
}

pub(super) fn decode(token: &str, key: &[u8; 32]) -> Result<Impression, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLong { bytes: token.len() });
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError::NotBase64)?;
    let (body, given) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(TokenError::Truncated)?;
    // Every byte is compared whatever the first difference, so that the time tells nothing.
    let differences = mac(body, key).iter().zip(given).fold(0, |bits, (a, b)| bits | (a ^ b));
    if differences != 0 {
        return Err(TokenError::Forged);
    }
    let mut reader = Reader(body);
    match reader.byte("version")? {
        version @ (FIRST | VERSION | IN_EXPERIMENT) => read(&mut reader, version),
        other => Err(TokenError::UnknownVersion(other)),
    }
}

fn read(reader: &mut Reader<'_>, version: u8) -> Result<Impression, TokenError> {
    let user_key = u64::from_le_bytes(reader.array("user")?);
    let as_of = Timestamp(i64::from_le_bytes(reader.array("as_of")?));
    let seed = u64::from_le_bytes(reader.array("seed")?);
    let candidates_hash = u64::from_le_bytes(reader.array("candidates")?);
    let generation = match reader.varint("generation")?.checked_sub(1) {
        None => None,
        Some(id) => Some(GenerationId(u32::try_from(id).map_err(|_| TokenError::Malformed("generation"))?)),
    };
    let request_id = reader.text("request_id")?;
    let recipe = reader.text("recipe")?;
    let surface = reader.text("surface")?;
    let experiment = if version == IN_EXPERIMENT {
        Some(Assignment { experiment: reader.text("experiment")?, arm: reader.text("arm")? })
    } else {
        None
    };
    let count = reader.varint("slots")?;
    let fits = usize::try_from(count).ok().filter(|count| *count <= reader.0.len() / SLOT_BYTES_MIN);
    let count = fits.ok_or(TokenError::Malformed("slots"))?;
    let slots = (0..count).map(|_| read_slot(reader, version)).collect::<Result<Vec<_>, _>>()?;
    if !reader.0.is_empty() {
        return Err(TokenError::Malformed("end"));
    }
    Ok(Impression {
        user_key,
        request_id,
        recipe,
        experiment,
        surface,
        generation,
        as_of,
        seed,
        candidates_hash,
        slots,
    })
}

fn read_slot(reader: &mut Reader<'_>, version: u8) -> Result<ImpressionSlot, TokenError> {
    let shard = u16::try_from(reader.varint("shard")?).map_err(|_| TokenError::Malformed("shard"))?;
    let ordinal = u32::try_from(reader.varint("ordinal")?).map_err(|_| TokenError::Malformed("ordinal"))?;
    let flags = reader.byte("source")?;
    let code = flags & !(EXPLORED | HAS_SOURCE);
    let source = match flags & HAS_SOURCE {
        0 if code == 0 => None,
        0 => return Err(TokenError::Malformed("source")),
        _ => Some(Source::from_code(code).ok_or(TokenError::Malformed("source"))?),
    };
    let exploration = if flags & EXPLORED == 0 {
        None
    } else {
        let cluster = reader.varint("genre cluster")?;
        let genre_cluster = u16::try_from(cluster).map_err(|_| TokenError::Malformed("genre cluster"))?;
        let propensity = f64::from_le_bytes(reader.array("propensity")?);
        if !(propensity > 0.0 && propensity <= 1.0) {
            return Err(TokenError::Malformed("propensity"));
        }
        let mut small = |part| {
            let value = if version == FIRST { 0 } else { reader.varint(part)? };
            u16::try_from(value).map_err(|_| TokenError::Malformed(part))
        };
        let (draw, open) = (small("draw")?, small("open tracks")?);
        Some(SlotExploration { genre_cluster, propensity, draw, open })
    };
    let track = TrackRef { shard: ShardId(shard), ordinal: TrackOrdinal(ordinal) };
    Ok(ImpressionSlot { track, source, exploration })
}

fn mac(bytes: &[u8], key: &[u8; 32]) -> [u8; MAC_BYTES] {
    let mut mac = [0; MAC_BYTES];
    mac.copy_from_slice(&blake3::keyed_hash(key, bytes).as_bytes()[..MAC_BYTES]);
    mac
}

/// Seven bits a byte, lowest first, the top bit set on all but the last.
fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value as u8 & 0x7F) | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn byte(&mut self, part: &'static str) -> Result<u8, TokenError> {
        let (&first, rest) = self.0.split_first().ok_or(TokenError::Malformed(part))?;
        self.0 = rest;
        Ok(first)
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], TokenError> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(TokenError::Malformed(part))?;
        self.0 = rest;
        Ok(*first)
    }

    fn varint(&mut self, part: &'static str) -> Result<u64, TokenError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(part)?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(TokenError::Malformed(part))
    }

    fn text(&mut self, part: &'static str) -> Result<String, TokenError> {
        let length = usize::try_from(self.varint(part)?).map_err(|_| TokenError::Malformed(part))?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(TokenError::Malformed(part))?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| TokenError::Malformed(part))
    }
}

#[cfg(test)]
pub(super) fn seal(body: &[u8], key: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode([body, &mac(body, key)].concat())
}
