//! The wire: messages and services of `evenkeel.v1`, generated from `proto/evenkeel/v1/evenkeel.proto`.
//!
//! The generated code is committed, so that no build needs a protobuf compiler. After a change of the .proto file run
//! `EVENKEEL_REGENERATE=1 cargo test -p evenkeel-proto`.
