//! The one place that uses bincode: small binary records with a version byte in front.
//!
//! bincode 2 with fixed-width little-endian integers, so that a record can be read in any language from the order
//! and the width of its fields. The version byte belongs to the record's format, not to bincode: a reader refuses
//! a version that it does not know instead of guessing.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::{Decode, Encode};

/// Largest record, in bytes: a length that a damaged file claims cannot make the reader allocate more.
const RECORD_LIMIT: usize = 1 << 20;

const fn config() -> Configuration<LittleEndian, Fixint, Limit<RECORD_LIMIT>> {
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<RECORD_LIMIT>()
}

/// A record that cannot be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The record is longer than [`RECORD_LIMIT`] or holds something bincode cannot write.
    #[error("cannot encode the record: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    /// The bytes are not such a record.
    #[error("cannot decode the record: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    /// No bytes at all.
    #[error("the record is empty, expected at least its version byte")]
    Empty,
    /// Written by another version of the program.
    #[error("the record has format version {found}, this program reads version {expected}")]
    Version {
        /// The version that this program reads.
        expected: u8,
        /// The version byte found.
        found: u8,
    },
    /// Bytes behind the record.
    #[error("{0} bytes are left over behind the record")]
    Trailing(usize),
}

/// The version byte, then the record.
///
/// # Errors
/// When the record is longer than 1 MiB.
pub fn encode<T: Encode>(version: u8, record: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![version];
    bytes.extend(bincode::encode_to_vec(record, config())?);
    Ok(bytes)
}

/// Reads what [`encode`] wrote; `bytes` must be the record and nothing else.
///
/// # Errors
/// Another version, broken bytes, bytes left over.
pub fn decode<T: Decode<()>>(version: u8, bytes: &[u8]) -> Result<T, CodecError> {
    let (&found, record) = bytes.split_first().ok_or(CodecError::Empty)?;
    if found != version {
        return Err(CodecError::Version { expected: version, found });
    }
    let (value, used) = bincode::decode_from_slice(record, config())?;
    match record.len() - used {
        0 => Ok(value),
        left => Err(CodecError::Trailing(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_width_of_its_fields() {
        let bytes = encode(3, &(1u32, 2u64, 7u8)).unwrap();
        assert_eq!(bytes, [3, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(decode::<(u32, u64, u8)>(3, &bytes).unwrap(), (1, 2, 7));
    }

    #[test]
    fn another_version_and_left_over_bytes_are_refused() {
        let mut bytes = encode(3, &1u32).unwrap();
        assert!(matches!(decode::<u32>(4, &bytes), Err(CodecError::Version { expected: 4, found: 3 })));
        bytes.push(0);
        assert!(matches!(decode::<u32>(3, &bytes), Err(CodecError::Trailing(1))));
        assert!(matches!(decode::<u32>(3, &[]), Err(CodecError::Empty)));
        assert!(matches!(
            decode::<String>(3, &[3, 255, 255, 255, 255, 255, 255, 255, 255]),
            Err(CodecError::Decode(_))
        ));
    }
}
