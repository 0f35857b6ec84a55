//! The wire: messages and services of `evenkeel.v1`, generated from `proto/evenkeel/v1/evenkeel.proto`.
//!
//! The generated code is committed, so that no build needs a protobuf compiler. After a change of the .proto file run
//! `EVENKEEL_REGENERATE=1 cargo test -p evenkeel-proto`.

/// Version 1 of the wire.
#[allow(missing_docs, unsafe_code, clippy::all, clippy::pedantic, clippy::unwrap_used)]
#[rustfmt::skip]
pub mod v1 {
    include!("gen/evenkeel.v1.rs");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the package, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptor.bin");

/// Version of the conversation between processes. Both ends name it in their first message; it grows when one of them
/// could misunderstand the other.
pub const PROTOCOL_VERSION: u32 = 1;
