use super::super::error::{DatasetError, SegmentFault};
use super::super::manifest::SegmentEntry;
use super::{Document, DocumentTokens, Segment, SegmentBuilder, Verification};
use crate::ids::RowId;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

const MAX_LENGTH: u32 = 40;

/// A document as the tests write it: row, and per token its id and whether it is a target.
type Row = (u64, Vec<(u32, bool)>);

#[derive(Debug, Clone)]
struct Content {
    vocab_size: u32,
    packs: Vec<Vec<Row>>,
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![Just(300u32), Just(1 << 16), Just((1 << 16) + 1), Just(200_000)].prop_flat_map(|vocab_size| {
        let token = (0..vocab_size, any::<bool>());
        let document = (any::<u64>(), prop::collection::vec(token, 1..=10));
        let pack = prop::collection::vec(document, 1..=4);
        prop::collection::vec(pack, 0..6).prop_map(move |mut packs| {
            for (_, tokens) in packs.iter_mut().flatten() {
                tokens[0].1 = false;
            }
            Content { vocab_size, packs }
        })
    })
}

fn build(content: &Content) -> SegmentBuilder {
    let mut builder = SegmentBuilder::new(content.vocab_size, MAX_LENGTH);
    for pack in &content.packs {
        let columns: Vec<(u64, Vec<u32>, Vec<bool>)> = pack
            .iter()
            .map(|(row, tokens)| {
                (*row, tokens.iter().map(|t| t.0).collect(), tokens.iter().map(|t| t.1).collect())
            })
            .collect();
        let documents: Vec<_> = columns
            .iter()
            .map(|(row, tokens, targets)| DocumentTokens { row: RowId(*row), tokens, targets })
            .collect();
        builder.push_pack(&documents).unwrap();
    }
    builder
}

fn read_all(segment: &Segment, vocab_size: u32) -> Content {
    let packs = (0..segment.packs())
        .map(|index| {
            let pack = segment.pack(index).unwrap();
            let mut tokens = vec![-1];
            pack.copy_tokens(&mut tokens);
            assert_eq!((tokens[0], tokens.len()), (-1, pack.len() + 1));
            assert_eq!((0..pack.len()).filter(|&i| pack.is_target(i)).count(), pack.target_count());
            assert!(!pack.is_target(pack.len()));
            pack.documents()
                .map(|Document { range, row }| {
                    (row.0, range.map(|i| (tokens[i + 1] as u32, pack.is_target(i))).collect())
                })
                .collect()
        })
        .collect();
    Content { vocab_size, packs }
}

struct Written {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    entry: SegmentEntry,
    vocab_size: u32,
}

fn write(content: &Content) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("000000.seg");
    let entry = build(content).write(&path, "000000.seg").unwrap();
    Written { _folder: folder, path, entry, vocab_size: content.vocab_size }
}

impl Written {
    fn open(&self, verification: Verification) -> Result<Segment, DatasetError> {
        Segment::open_with(&self.path, &self.entry, self.vocab_size, verification)
    }
}

fn example() -> Content {
    let tokens = |ids: &[u32]| ids.iter().map(|&id| (id, id % 2 == 1)).collect();
    Content {
        vocab_size: 300,
        packs: vec![
            vec![(7, tokens(&[2, 3, 5, 4])), (1 << 40, tokens(&[256, 299]))],
            vec![(9, tokens(&[0, 1, 2, 3, 9]))],
        ],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(content in content()) {
        let written = write(&content);
        let segment = Segment::open(&written.path, &written.entry, content.vocab_size).unwrap();
        let read = read_all(&segment, content.vocab_size);
        prop_assert_eq!(read.packs, content.packs.clone());
        let longest = content.packs.iter().map(|p| p.iter().map(|d| d.1.len()).sum::<usize>()).max();
        prop_assert_eq!(written.entry.longest_pack as usize, longest.unwrap_or(0));
    }

    /// With the hash a changed byte is always an error. Without it the structure still holds: the segment is refused,
    /// or every pack can be read (a changed token or row id is then all that differs).
    #[test]
    fn a_flipped_byte_is_never_a_panic(content in content(), position in any::<prop::sample::Index>(), flip in 1u8..) {
        let written = write(&content);
        let mut bytes = fs::read(&written.path).unwrap();
        let position = position.index(bytes.len());
        bytes[position] ^= flip;
        fs::write(&written.path, &bytes).unwrap();
        prop_assert!(written.open(Verification::Content).is_err());
        if let Ok(segment) = written.open(Verification::Structure) {
            let read = read_all(&segment, content.vocab_size);
            prop_assert_eq!(read.packs.len(), content.packs.len());
        }
    }

    #[test]
    fn a_truncated_or_longer_file_is_an_error(content in content(), length in any::<prop::sample::Index>()) {
        let written = write(&content);
        let bytes = fs::read(&written.path).unwrap();
        fs::write(&written.path, &bytes[..length.index(bytes.len())]).unwrap();
        prop_assert!(written.open(Verification::Content).is_err());
        prop_assert!(written.open(Verification::Structure).is_err());
        fs::write(&written.path, [&bytes[..], &[0]].concat()).unwrap();
        prop_assert!(written.open(Verification::Structure).is_err());
    }
}

/// Every byte of a small segment, every bit: the structure check alone never lets a wrong shape through.
#[test]
fn every_single_bit_of_the_header_matters() {
    let content = example();
    let written = write(&content);
    let bytes = fs::read(&written.path).unwrap();
    let header = bytes.len() - segment_data_bytes(&content);
    for bit in 0..header * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&written.path, &damaged).unwrap();
        match written.open(Verification::Structure) {
            Err(DatasetError::Segment { .. }) => {}
            Err(other) => panic!("bit {bit}: {other}"),
            // Only max_length may grow unnoticed: it is a limit, not a shape.
            Ok(segment) => {
                assert_eq!(read_all(&segment, content.vocab_size).packs, content.packs, "bit {bit}")
            }
        }
    }
}

fn segment_data_bytes(content: &Content) -> usize {
    let documents: Vec<_> = content.packs.iter().flatten().collect();
    let tokens: usize = documents.iter().map(|document| document.1.len()).sum();
    tokens * 2 + tokens.div_ceil(8) + 8 * content.packs.len() + 4 + 16 * documents.len() + 8
}

#[test]
fn the_bytes_of_the_format_do_not_change() {
    let mut builder = SegmentBuilder::new(300, 8);
    let document = DocumentTokens { row: RowId(5), tokens: &[1, 258, 3], targets: &[false, true, true] };
    builder.push_pack(&[document]).unwrap();
    let bytes = builder.to_bytes().unwrap();
    assert_eq!(&bytes[..8], b"EVKLSEG\n");
    let record = 1 + 4 + 4 + 1 + 8 + 8 + 4 + 4 + 6 * 16;
    assert_eq!(u32::from_le_bytes(bytes[8..12].try_into().unwrap()), record);
    assert_eq!(&bytes[12..21], [1, 44, 1, 0, 0, 8, 0, 0, 0]);
    let data = &bytes[12 + record as usize..];
    let mut expected = vec![1, 0, 2, 1, 3, 0, 0b110];
    expected.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([5, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([2, 0, 0, 0]);
    assert_eq!(data, expected);
}

#[test]
fn a_segment_may_have_no_packs() {
    let written = write(&Content { vocab_size: 300, packs: Vec::new() });
    let segment = written.open(Verification::Content).unwrap();
    assert_eq!((segment.packs(), segment.documents()), (0, 0));
    assert!(matches!(
        segment.pack(0),
        Err(DatasetError::Segment { fault: SegmentFault::NoSuchPack { pack: 0, packs: 0 }, .. })
    ));
}

#[test]
fn a_row_is_found_in_its_pack() {
    let written = write(&example());
    let segment = written.open(Verification::Structure).unwrap();
    assert_eq!(segment.pack_of_row(RowId(1 << 40)), Some(0));
    assert_eq!(segment.pack_of_row(RowId(9)), Some(1));
    assert_eq!(segment.pack_of_row(RowId(8)), None);
}

#[test]
fn the_builder_refuses_what_a_reader_would_refuse() {
    let push = |tokens: &[u32], targets: &[bool]| {
        let mut builder = SegmentBuilder::new(300, 3);
        builder
            .push_pack(&[DocumentTokens { row: RowId(1), tokens, targets }])
            .map_err(|fault| fault.to_string())
    };
    let refused = |tokens: &[u32], targets: &[bool], part: &str| {
        let message = push(tokens, targets).unwrap_err();
        assert!(message.contains(part), "{message}");
    };
    push(&[1, 2, 299], &[false, true, true]).unwrap();
    refused(&[1, 2, 3, 4], &[false; 4], "more than max_length 3");
    refused(&[300], &[false], "outside the vocabulary");
    refused(&[1], &[true], "first token is a target");
    refused(&[1], &[], "not one target mark");
    refused(&[], &[], "no tokens");
    assert!(SegmentBuilder::new(300, 3).push_pack(&[]).is_err());
}

#[test]
fn errors_say_what_differs() {
    let written = write(&example());
    let message = |entry: &SegmentEntry, vocab_size: u32| {
        Segment::open(&written.path, entry, vocab_size).unwrap_err().to_string()
    };
    let other = SegmentEntry { blake3: "00".into(), ..written.entry.clone() };
    assert!(message(&other, 300).contains("the manifest says 00"), "{}", message(&other, 300));
    assert!(message(&written.entry, 301).contains("vocabulary size is 300, expected 301"));
    let other = SegmentEntry { packs: 3, ..written.entry.clone() };
    assert!(message(&other, 300).contains("pack count is 2, expected 3"));
    let error = Segment::open(Path::new("no/such.seg"), &written.entry, 300).unwrap_err().to_string();
    assert!(error.contains("cannot open no/such.seg"), "{error}");
}
