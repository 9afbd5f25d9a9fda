//! What the meta group's log says, and what is answered.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::{
    generation::{GenerationContents, GenerationInfo, GramData},
    split::SplitPhase,
};
use crate::{
    error::{Error, Result},
    storage::codec,
    types::{GenerationId, SpaceSpec},
};

const VERSION: u16 = 5;
/// Entries that earlier versions know are written as these wrote them.
const FIRST_VERSION: u16 = 1;
const SECOND_VERSION: u16 = 2;
const THIRD_VERSION: u16 = 3;
const FOURTH_VERSION: u16 = 4;

/// One log entry of the meta group.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum MetaCommand {
    /// Adds a space. Saying the same again is fine; another definition of a known name is refused.
    DefineSpace(SpaceSpec),
    /// Opens the next generation; answered by [`MetaReply::Generation`].
    CreateGeneration {
        /// Dimension of its vectors, 1 to 4,096.
        dim: u32,
        /// What fold-in needs, when the trainer gave it.
        gram: Option<GramData>,
    },
    /// Makes a complete generation the one requests use; answered by [`MetaReply::Generation`].
    ActivateGeneration {
        /// Which.
        id: GenerationId,
        /// What the shards hold of it.
        contents: GenerationContents,
    },
    /// Back to the generation that was active before; answered by [`MetaReply::Generation`].
    RollbackGeneration,
    /// Forgets a generation that is not active; its number is never used again.
    DropGeneration {
        /// Which.
        id: GenerationId,
    },
    /// Stores a recipe as the next version of its name; answered by [`MetaReply::Recipe`].
    PutRecipe {
        /// The name.
        name: String,
        /// The validated document, opaque here.
        document: String,
        /// The highest built-in version of that name, 0 if none: stored versions come after it.
        built_in: u32,
    },
    /// Makes a version of a recipe the active one; answered by [`MetaReply::Recipe`].
    ActivateRecipe {
        /// The name.
        name: String,
        /// The version.
        version: u32,
        /// The highest built-in version of that name, 0 if none.
        built_in: u32,
    },
    /// Stores key bytes under a name; answered by [`MetaReply::Key`] with the bytes in force.
    SetKey {
        /// The name.
        name: String,
        /// 1 to 1,024 bytes.
        key: Vec<u8>,
        /// Whether to replace a key that is there. Otherwise the first one stays, so that all who start at once
        /// agree.
        replace: bool,
    },
    /// Decides how many user shards the database has, once and for all. Saying the same again is fine; another number is
    /// refused. Since version 2.
    SetUserShards {
        /// 1 to 64.
        count: u16,
    },
    /// Stores an experiment as the next version of its surface's and begins it, in place of the one that runs there.
    /// The newest version once more is begun again and stays that version. Answered by [`MetaReply::Experiment`]. Since
    /// version 3.
    PutExperiment {
        /// The surface.
        surface: String,
        /// The validated document, opaque here.
        document: String,
        /// Names and versions of the stored recipes that it needs (built-in ones are always there).
        needs: Vec<(String, u32)>,
    },
    /// Ends the experiment that runs on a surface; fine when none does. Answered by [`MetaReply::Experiment`] with the
    /// newest version. Since version 3.
    StopExperiment {
        /// The surface.
        surface: String,
    },
    /// The same for track shards, before that for user shards; a database with one track shard has no such entry. Since
    /// version 3.
    SetTrackShards {
        /// 2 to 64.
        count: u16,
    },
    /// Begins the split of a user shard: a new one gets its slots from one on, and the next number. Saying the same again is
    /// fine; another split is refused while one runs. Since version 4.
    BeginSplit {
        /// The shard that is split.
        parent: u16,
        /// The first slot of the new one.
        at: u16,
        /// The store that founds the new one's group; 0 = a database that is alone.
        founder: u64,
        /// The new shard that was to be founded by somebody who is gone for good: another one is made instead.
        instead_of: Option<u16>,
    },
    /// Says that a split has come so far; fine when it has come further. With `Switched` the ranges change. Since version 4.
    AdvanceSplit {
        /// The new shard.
        child: u16,
        /// How far.
        phase: SplitPhase,
    },
    /// Ends a split that has switched. Since version 4.
    EndSplit {
        /// The new shard.
        child: u16,
    },
    /// As `BeginSplit`, of a track shard. Since version 5.
    BeginTrackSplit {
        /// The shard that is split.
        parent: u16,
        /// The first slot of the new one.
        at: u16,
        /// The store that founds the new one's group; 0 = a database that is alone.
        founder: u64,
        /// The new shard that was to be founded by somebody who is gone for good: another one is made instead.
        instead_of: Option<u16>,
    },
    /// As `AdvanceSplit`, of a track shard. Since version 5.
    AdvanceTrackSplit {
        /// The new shard.
        child: u16,
        /// How far.
        phase: SplitPhase,
    },
    /// As `EndSplit`, of a track shard. Since version 5.
    EndTrackSplit {
        /// The new shard.
        child: u16,
    },
}

/// The answer to a meta command.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum MetaReply {
    /// Done.
    Done,
    /// Done; this is the generation now.
    Generation(GenerationInfo),
    /// Done; this is the version stored or activated.
    Recipe {
        /// The name.
        name: String,
        /// The version.
        version: u32,
    },
    /// The key in force.
    Key(Vec<u8>),
    /// The caller named something that does not exist.
    NotFound {
        /// What it was taken for.
        what: Named,
        /// Its id.
        id: String,
    },
    /// A field of the caller is wrong.
    Invalid {
        /// Which field.
        field: Field,
        /// What is wrong with it.
        reason: String,
    },
    /// The state forbids it.
    Conflict(String),
    /// Done; this version is begun or ended.
    Experiment {
        /// The version, counted by surface.
        version: u32,
    },
}

/// What a caller may name that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum Named {
    /// A generation.
    Generation,
    /// A recipe.
    Recipe,
    /// An experiment, by its surface.
    Experiment,
}

/// A field of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum Field {
    /// A generation's dimension.
    Dim,
    /// A generation's fold-in data.
    Gram,
    /// A recipe's name.
    Name,
    /// Key bytes.
    Key,
    /// A space's metrics.
    Metrics,
    /// The number of user shards.
    UserShards,
    /// A surface's name.
    Surface,
    /// An experiment.
    Experiment,
    /// The number of track shards.
    TrackShards,
}

impl Field {
    fn as_str(self) -> &'static str {
        match self {
            Self::Dim => "dim",
            Self::Gram => "gram",
            Self::Name => "name",
            Self::Key => "key",
            Self::Metrics => "metrics",
            Self::UserShards => "user_shards",
            Self::Surface => "surface",
            Self::Experiment => "experiment",
            Self::TrackShards => "track_shards",
        }
    }
}

impl MetaCommand {
    /// The bytes of a log entry.
    ///
    /// # Errors
    /// As [`codec::encode`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        let version = match self {
            Self::BeginTrackSplit { .. } | Self::AdvanceTrackSplit { .. } | Self::EndTrackSplit { .. } => {
                VERSION
            }
            Self::BeginSplit { .. } | Self::AdvanceSplit { .. } | Self::EndSplit { .. } => FOURTH_VERSION,
            Self::PutExperiment { .. } | Self::StopExperiment { .. } | Self::SetTrackShards { .. } => {
                THIRD_VERSION
            }
            Self::SetUserShards { .. } => SECOND_VERSION,
            _ => FIRST_VERSION,
        };
        codec::encode(version, self)
    }

    /// Reads a log entry.
    ///
    /// # Errors
    /// As [`codec::decode`]; stops the replica.
    pub fn decode(entry: &[u8]) -> Result<Self> {
        codec::decode(VERSION, entry)
    }
}

impl MetaReply {
    /// The bytes of a reply.
    ///
    /// # Errors
    /// As [`codec::encode`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        codec::encode(SECOND_VERSION, self)
    }

    /// Reads a reply.
    ///
    /// # Errors
    /// As [`codec::decode`].
    pub fn decode(reply: &[u8]) -> Result<Self> {
        codec::decode(VERSION, reply)
    }

    /// The reply, or the error it stands for.
    ///
    /// # Errors
    /// `NotFound`, `InvalidField`, `Conflict`.
    pub fn into_result(self) -> Result<Self> {
        match self {
            Self::NotFound { what: Named::Generation, id } => Err(Error::not_found("generation", id)),
            Self::NotFound { what: Named::Recipe, id } => Err(Error::not_found("recipe", id)),
            Self::NotFound { what: Named::Experiment, id } => Err(Error::not_found("experiment", id)),
            Self::Invalid { field, reason } => Err(Error::invalid(field.as_str(), reason)),
            Self::Conflict(reason) => Err(Error::Conflict(reason)),
            done => Ok(done),
        }
    }
}
