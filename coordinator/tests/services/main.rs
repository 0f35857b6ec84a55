//! The services as processes see them: real gRPC on a loopback port, with fake workers.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod admin;
mod harness;
mod life;
mod loss;
mod refusals;
mod standard;
mod watching;
