//! How two vectors are compared.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

/// How two vectors are compared. Scores are always larger-is-better.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Inner product; the score is the dot product.
    Ip,
    /// The score is the cosine of the angle, in −1..=1.
    Cosine,
    /// Euclidean; the score is the negative squared distance.
    L2,
}

impl Metric {
    /// The name used in files, flags and replies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Cosine => "cosine",
            Self::L2 => "l2",
        }
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Metric {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "ip" => Ok(Self::Ip),
            "cosine" => Ok(Self::Cosine),
            "l2" => Ok(Self::L2),
            other => Err(format!("unknown metric, expected ip, cosine or l2. metric=`{other}`")),
        }
    }
}
