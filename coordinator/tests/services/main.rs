//! The services as processes see them: real gRPC on a loopback port, with fake workers.

mod admin;
mod harness;
mod life;
mod loss;
mod refusals;
mod standard;
mod watching;
