//! Settings: plain data with units, ranges and trade-offs, validated once at start.

use serde::{Deserialize, Serialize};

/// Everything that can be set. Precedence: flag, then environment, then file, then default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {}
