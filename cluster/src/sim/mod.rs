//! Simulated clusters: the code of replicas, log views, transfers and membership that a node runs, with clock,
//! network and disks made of a seed.
//!
//! * [`world`]: nodes and network in one loop of steps. [`node`]: one node, as its Raft thread runs it.
//! * [`network`]: ordered streams and a bulk channel that delay, lose, repeat and are cut.
//! * [`disk`], [`power`], [`machine`]: what survives a crash.
//! * [`faults`], [`clients`], [`operator`]: who does what to it.
//! * [`invariants`]: what must hold after every step; one file each.
//! * [`wgl`]: whether a history of one key is linearizable.
//! * [`seeds`]: the runs. `SEED=17` runs one seed, `SEGUE_SIM_SEEDS=100000` many, `SEGUE_SIM_STEPS` sets their length.
//! * [`answers`], [`lost_leader`]: what a leader hears, and what happens when it is not heard.
//! * [`traps`], [`hostile`]: each trap of `raft` 0.7 that is known, by name.

mod answers;
mod clients;
mod disk;
mod faults;
mod hostile;
mod invariants;
mod lost_leader;
mod machine;
mod network;
mod node;
mod operator;
mod power;
pub(crate) mod random;
mod seeds;
mod traps;
mod wgl;
mod wgl_tests;
mod world;
