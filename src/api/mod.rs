//! The network border.
mod convert;
pub(crate) mod proto;
mod status;
