//! The gRPC services. They carry messages between streams and the owner of the state, and decide nothing.

mod admin;
mod control;
mod status;

pub(crate) use admin::AdminService;
pub(crate) use control::ControlService;
pub(crate) use status::StatusService;
