#!/usr/bin/env python3
"""Prints one pack of a vectorized data set: its documents, token ids and target mask.

    python3 examples/read_segment.py DATASET SEGMENT PACK

Needs Python's standard library only; docs/data-format.md describes the bytes. The BLAKE3 of the segment is not checked:
the standard library has no BLAKE3.
"""

import json
import struct
import sys
from pathlib import Path

# Version byte, vocab_size, max_length, token_bytes, tokens, target_tokens, documents, packs, 6 x (offset, bytes).
RECORD = struct.Struct("<BIIBQQII12Q")


def read_pack(dataset, segment, index):
    """The documents of a pack as (row, token ids, target mask), one tuple each."""
    manifest = json.loads((Path(dataset) / "manifest.json").read_text("utf-8"))
    if manifest["format_version"] != 1:
        raise ValueError(f"format version {manifest['format_version']}, this reader knows 1")
    entry = manifest["segments"][segment]
    data = (Path(dataset) / entry["file"]).read_bytes()
    if data[:8] != b"EVKLSEG\n" or len(data) != entry["bytes"]:
        raise ValueError(f"{entry['file']} is not the segment that the manifest lists")
    if struct.unpack_from("<I", data, 8)[0] != RECORD.size or data[12] != 1:
        raise ValueError(f"{entry['file']} has a header of another version")
    _, vocab_size, _, width, _, _, _, packs, *table = RECORD.unpack_from(data, 12)
    if (vocab_size, packs) != (manifest["vocab_size"], entry["packs"]):
        raise ValueError(f"{entry['file']} and the manifest disagree")
    if not 0 <= index < packs:
        raise ValueError(f"{entry['file']} has {packs} packs, counted from 0")
    tokens, targets, pack_documents, document_starts, rows, _ = table[::2]

    first, last = struct.unpack_from("<2I", data, pack_documents + 4 * index)
    starts = struct.unpack_from(f"<{last - first + 1}Q", data, document_starts + 8 * first)
    numbers = struct.unpack_from(f"<{last - first}Q", data, rows + 8 * first)
    documents = []
    for row, start, end in zip(numbers, starts, starts[1:]):
        ids = struct.unpack_from(f"<{end - start}{'H' if width == 2 else 'I'}", data, tokens + width * start)
        mask = [data[targets + at // 8] >> at % 8 & 1 for at in range(start, end)]
        documents.append((row, list(ids), mask))
    return documents


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__.strip())
    for row, ids, mask in read_pack(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])):
        print(f"row {row}: {len(ids)} tokens, {sum(mask)} targets")
        print("  tokens ", *ids)
        print("  targets", *mask)


if __name__ == "__main__":
    main()
