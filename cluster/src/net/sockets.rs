//! The Raft thread's own sockets: it reads frames from them and writes what did not fit before, so that no other thread is
//! woken for a message.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream as StdStream;

use mio::net::TcpStream;
use mio::{Registry, Token};
use raft::eraftpb::Message;
use tokio::sync::oneshot;

use super::frame::read_raft;
use super::links::Links;
use super::proto as pb;
use super::wire::{Found, READ_BYTES, Reading, Writing};
use crate::driver::alarm::{INCOMING, OUTGOING};
use crate::edge::Refused;
use crate::ids::{GroupId, StoreId};

/// Connections one store may have to this one; the oldest ends when there are more. Each is one that broke and was
/// replaced before this node noticed.
const INCOMING_MAX: usize = 4;

/// What came over a connection.
pub(crate) enum Came {
    Messages {
        from: StoreId,
        messages: Vec<(GroupId, Message)>,
    },
    Proposal {
        from: StoreId,
        id: u64,
        group: GroupId,
        data: bytes::Bytes,
    },
    /// A connection to a store ended, or the last one from it.
    Ended(StoreId),
    /// A connection from a store ended, and there is another.
    Replaced(StoreId),
}

struct Incoming {
    from: StoreId,
    reading: Reading,
}

/// All of them, by their token.
#[derive(Default)]
pub(crate) struct Sockets {
    last: usize,
    incoming: BTreeMap<Token, Incoming>,
    outgoing: BTreeMap<Token, StoreId>,
    /// More may have come than was taken.
    unread: BTreeSet<Token>,
    scratch: Vec<u8>,
}

impl Sockets {
    /// Takes over a connection to a store.
    pub fn add_outgoing(
        &mut self,
        registry: &Registry,
        links: &Links,
        (store, stream): (StoreId, StdStream),
        alive: oneshot::Sender<()>,
    ) {
        let (token, mut stream) = (self.next_token(), TcpStream::from_std(stream));
        if let Err(error) = registry.register(&mut stream, token, OUTGOING) {
            tracing::warn!(%store, %error, "a connection cannot be watched");
            return;
        }
        self.outgoing.retain(|_, known| *known != store);
        self.outgoing.insert(token, store);
        links.put_out(store, Writing::new(stream), alive);
    }

    /// Takes over a connection from a store.
    pub fn add_incoming(&mut self, registry: &Registry, links: &Links, from: StoreId, stream: StdStream) {
        let (token, mut stream) = (self.next_token(), TcpStream::from_std(stream));
        if let Err(error) = registry.register(&mut stream, token, INCOMING) {
            tracing::warn!(store = %from, %error, "a connection cannot be watched");
            return;
        }
        let of_store = self.incoming.iter().filter(|(_, other)| other.from == from);
        let tokens: Vec<Token> = of_store.map(|(token, _)| *token).collect();
        if let Some(oldest) = tokens.first().filter(|_| tokens.len() >= INCOMING_MAX) {
            self.incoming.remove(oldest);
            links.give_up(from);
        }
        self.incoming.insert(token, Incoming { from, reading: Reading::new(stream) });
        // It was not watched when its first bytes came.
        self.unread.insert(token);
        links.set_hears(from, true);
    }

    fn next_token(&mut self) -> Token {
        self.last += 1;
        Token(self.last)
    }

    /// Whether there may be more to take at once.
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Takes what the sockets of `news` hold, and what was left in the last turn.
    pub fn take(&mut self, links: &Links, news: Vec<Token>) -> Vec<Came> {
        let mut came = Vec::new();
        for token in news {
            match self.outgoing.get(&token) {
                Some(store) if !links.go_on(*store) => {
                    came.push(Came::Ended(*store));
                    self.outgoing.remove(&token);
                }
                Some(_) => {}
                None => drop(self.unread.insert(token)),
            }
        }
        self.scratch.resize(READ_BYTES, 0);
        for token in std::mem::take(&mut self.unread) {
            let Some(incoming) = self.incoming.get_mut(&token) else { continue };
            let found = incoming.reading.take(&mut self.scratch);
            let frames = take_frames(links, incoming, &mut came);
            if let Err(reason) = &frames {
                tracing::warn!(%reason, from = %incoming.from, "something from another node was refused");
            }
            match found {
                Found::Some if frames.is_ok() => drop(self.unread.insert(token)),
                Found::All if frames.is_ok() => {}
                _ => came.extend(self.end_incoming(links, token)),
            }
        }
        came
    }

    fn end_incoming(&mut self, links: &Links, token: Token) -> Option<Came> {
        let from = self.incoming.remove(&token)?.from;
        let has_others = self.incoming.values().any(|other| other.from == from);
        links.set_hears(from, has_others);
        Some(if has_others { Came::Replaced(from) } else { Came::Ended(from) })
    }
}

fn take_frames(links: &Links, incoming: &mut Incoming, came: &mut Vec<Came>) -> Result<(), Refused> {
    while let Some(frame) = incoming.reading.next_frame()? {
        let from = links.check_wired(frame.header.as_ref())?;
        if from != incoming.from {
            return Err(Refused::Malformed("it says it is from another store than before"));
        }
        let pb::RaftFrame { messages, forwarded, answered, .. } = frame;
        if !messages.is_empty() {
            came.push(Came::Messages { from, messages: read_raft(&messages)? });
        }
        for pb::Forwarded { id, group, data } in forwarded {
            came.push(Came::Proposal { from, id, group: GroupId(group), data });
        }
        answered.into_iter().for_each(|answer| links.answered(from, answer));
    }
    Ok(())
}
