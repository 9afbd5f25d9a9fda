//! The servers of one cluster that a client knows. It asks one of them until that one does not serve, then the next.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::error::{Error, Result};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What may be under way on one stream: a large batch of a bulk load.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// At least one server, and which of them is asked now.
pub(super) struct Servers {
    channels: Vec<Channel>,
    /// How often it went on to the next.
    at: AtomicUsize,
}

/// A server that was asked, as it was numbered then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked(usize);

impl Servers {
    /// Connects to the first that answers of `http://HOST:PORT`, or of several with commas between them. The others are connected to
    /// once they are needed.
    ///
    /// # Errors
    /// `InvalidField` when one is not a URL; `Unavailable` when none answers.
    pub async fn connect(endpoints: &str) -> Result<Self> {
        let targets = endpoints.split(',').map(|it| target(it.trim())).collect::<Result<Vec<_>>>()?;
        let mut channels: Vec<Channel> = targets.iter().map(Endpoint::connect_lazy).collect();
        let mut silent = Vec::new();
        for (at, target) in targets.iter().enumerate() {
            match target.connect().await {
                Ok(channel) => {
                    channels[at] = channel;
                    return Ok(Self { channels, at: AtomicUsize::new(at) });
                }
                Err(error) => silent.push(format!("{} ({})", target.uri(), root_cause(&error))),
            }
        }
        Err(Error::Unavailable(format!(
            "no server answers at {}; is `segue serve` running there?",
            silent.join(", ")
        )))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.channels.len()
    }

    /// The server that is asked now.
    pub fn asked(&self) -> Asked {
        Asked(self.at.load(Ordering::Relaxed))
    }

    /// The connection to it.
    pub fn channel(&self) -> Channel {
        self.channels[self.asked().0 % self.channels.len()].clone()
    }

    /// From now on the next is asked, unless somebody else has left this one already.
    pub fn leave(&self, asked: Asked) {
        let next = asked.0.wrapping_add(1);
        // Whoever was faster has done the same.
        let _ = self.at.compare_exchange(asked.0, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn target(endpoint: &str) -> Result<Endpoint> {
    let target = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| {
        let example = "must be like http://127.0.0.1:7700, several with commas between them";
        Error::invalid("endpoint", format!("{example}: {error}. endpoint=`{endpoint}`"))
    })?;
    Ok(target
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(4 * STREAM_WINDOW_BYTES)
        .tcp_nodelay(true))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;
    use crate::error::ErrorKind;

    fn servers(count: usize) -> Servers {
        let channel = target("http://127.0.0.1:1").unwrap().connect_lazy();
        Servers { channels: vec![channel; count], at: AtomicUsize::new(0) }
    }

    #[tokio::test]
    async fn a_server_is_left_once_however_many_requests_failed_there() {
        let servers = servers(3);
        let first = servers.asked();
        (0..5).for_each(|_| servers.leave(first));
        assert_eq!(servers.asked(), Asked(1));
        servers.leave(Asked(1));
        servers.leave(Asked(2));
        assert_eq!((servers.asked().0 % servers.count(), servers.asked() == first), (0, false));
    }

    #[tokio::test]
    async fn what_does_not_answer_and_what_is_no_address_are_named() {
        let error = Servers::connect("http://127.0.0.1:1, http://127.0.0.1:2").await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let said = error.to_string();
        assert!(said.contains("127.0.0.1:1") && said.contains("127.0.0.1:2"), "{said}");
        let error = Servers::connect("http://127.0.0.1:1,a b").await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("endpoint=`a b`"), "{error}");
    }
}
