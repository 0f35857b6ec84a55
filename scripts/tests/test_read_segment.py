"""The example reader against the bytes that docs/data-format.md shows."""

import importlib.util
import json
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# The segment of the Rust test `the_bytes_of_the_format_do_not_change` (shared/src/dataset/segment/tests.rs): one pack of one
# document of row 5 with the tokens 1, 258, 3.
SEGMENT = bytes.fromhex(
    "45564b4c5345470a 82000000 01 2c010000 08000000 02 0300000000000000 0200000000000000 01000000 01000000"
    "8e00000000000000 0600000000000000 9400000000000000 0100000000000000 9500000000000000 0800000000000000"
    "9d00000000000000 1000000000000000 ad00000000000000 0800000000000000 b500000000000000 0400000000000000"
    "0100 0201 0300 06 00000000 01000000 0000000000000000 0300000000000000 0500000000000000 02000000"
)


def load_example():
    spec = importlib.util.spec_from_file_location("read_segment", ROOT / "examples" / "read_segment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documented_bytes():
    """The hex dump of docs/data-format.md."""
    text = (ROOT / "docs" / "data-format.md").read_text("utf-8")
    dump = text.split("### A whole segment in hex")[1].split("```")[1]
    found = bytearray()
    for line in dump.strip().splitlines():
        offset, columns = int(line[:4], 16), line[6:54]
        if offset != len(found):
            raise AssertionError(f"the line at {offset:#x} should be at {len(found):#x}")
        found += bytes.fromhex(columns)
    return bytes(found)


class ReadSegmentTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dataset = Path(folder.name)
        self.reader = load_example()
        self.write(SEGMENT)

    def write(self, segment, **changes):
        entry = {"file": "000000.seg", "bytes": len(SEGMENT), "packs": 1}
        manifest = {"format_version": 1, "vocab_size": 300, "segments": [entry], **changes}
        (self.dataset / "manifest.json").write_text(json.dumps(manifest), "utf-8")
        (self.dataset / "000000.seg").write_bytes(segment)

    def test_a_pack_is_read_as_it_was_written(self):
        self.assertEqual(self.reader.read_pack(self.dataset, 0, 0), [(5, [1, 258, 3], [0, 1, 1])])

    def test_the_documentation_shows_these_bytes(self):
        self.assertEqual(documented_bytes(), SEGMENT)

    def test_what_is_not_the_listed_segment_is_refused(self):
        with self.assertRaisesRegex(ValueError, "1 packs"):
            self.reader.read_pack(self.dataset, 0, 1)
        for segment, changes in (
            (b"x" + SEGMENT[1:], {}),
            (SEGMENT[:-1], {}),
            (SEGMENT[:12] + b"\x02" + SEGMENT[13:], {}),
            (SEGMENT, {"vocab_size": 301}),
            (SEGMENT, {"format_version": 2}),
        ):
            self.write(segment, **changes)
            with self.assertRaises(ValueError):
                self.reader.read_pack(self.dataset, 0, 0)


if __name__ == "__main__":
    unittest.main()
