//! Where replicas are, and how they get elsewhere.
//!
//! * [`assign`]: which stores should hold each group that has its places.
//! * [`plan`]: which replicas should be elsewhere: repair, drain, balance.
//! * [`reconcile`]: what a group's leader does next so that its members become what the map says.
//! * [`replace`]: the steps that put one replica in another's place, as a pure function of what the
//!   leader sees.

pub(crate) mod assign;
pub(crate) mod plan;
pub(crate) mod reconcile;
pub(crate) mod replace;
