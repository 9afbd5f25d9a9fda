//! Entries and replies as bytes.

use super::*;

fn command() -> UserCommand {
    let mut event = ResolvedEvent::new(UserId::new("u1").unwrap(), Action::Play, Timestamp(5));
    event.track = Some(EventTrack::Unknown(TrackId::new("t9").unwrap()));
    event.event_key = Some(event_key(&EventId::new("e1").unwrap()));
    UserOp::Record(vec![event]).into()
}

#[test]
fn commands_and_replies_round_trip() {
    assert_eq!(UserCommand::decode(1, &command().encode()).unwrap(), command());
    let reply = UserReply::Recorded(vec![true, false]);
    assert_eq!(UserReply::decode(&reply.encode()).unwrap(), reply);
}

/// An entry of version 1, as all programs have written it: databases of programs without splits are read with this layout.
const FIRST: &str = "010000000000000000000000000000007531ffffffffffff0000000001000000010000007439ffffffffffff000000000000\
    0000000000000000000000000000000000000000000005000000000000000000000000000000000000000000000001000000\
    0000000000000000000000009c1372673066e42ed5a2f7e4f88898d200000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    000000000000000000000000000000000300000034ffffff010000000000000000000000000000000000000000000000";

#[test]
fn entries_of_before_splits_are_read_and_written_as_they_were() {
    let written: String = command().encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written, FIRST);
    let bytes = FIRST.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let bytes: Vec<u8> = bytes.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    assert_eq!(UserCommand::decode(1, &bytes).unwrap(), command());
}

#[test]
fn an_unknown_version_stops_with_its_number() {
    let mut entry = command().encode();
    entry[0] = 9;
    let error = UserCommand::decode(7, &entry).unwrap_err();
    assert!(matches!(error, UserShardError::Command { index: 7, .. }), "{error}");
    assert_eq!(crate::Error::from(error).kind(), crate::ErrorKind::Unavailable);
}

#[test]
fn truncated_or_flipped_entries_never_panic() {
    let entry = command().encode();
    for length in 0..entry.len() {
        let _ = UserCommand::decode(1, &entry[..length]);
    }
    for bit in 0..entry.len() * 8 {
        let mut damaged = entry.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let _ = UserCommand::decode(1, &damaged);
    }
    assert!(UserCommand::decode(1, b"").is_err());
}
