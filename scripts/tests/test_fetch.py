"""What the set-up must survive: a wrong file, a killed call, a wrong libtorch, a Python without pip."""

import contextlib
import hashlib
import importlib.util
import io
import os
import stat
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

SCRIPTS = Path(__file__).resolve().parent.parent


def load(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_wheel(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in (("pack/tool", 0o755), ("pack/data.txt", 0o644), ("other/skip.txt", 0o644)):
            member = zipfile.ZipInfo(name)
            member.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(member, name)


class FetchTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        root = Path(self.folder.name)
        self.fetch = load("fetch")
        self.fetch.ROOT, self.fetch.DEPS, self.fetch.WHEELS = root, root / ".deps", root / ".deps" / "wheels"
        self.origin = root / "pack-1.0-py3-none-any.whl"
        make_wheel(self.origin)
        self.entry = {
            "version": "1.0",
            "wheel": self.origin.name,
            "sha256": hashlib.sha256(self.origin.read_bytes()).hexdigest(),
            "for": "test",
        }
        self.fetch.TABLE = {"packages": {"pack": self.entry}, "sets": {"tools": {"about": "", "take": {"pack": ["pack/*"]}}}}
        self.fetch.download = self.copy_instead_of_pip
        self.downloads = 0

    def copy_instead_of_pip(self, _package, _entry, landing):
        self.downloads += 1
        (landing / self.origin.name).write_bytes(self.origin.read_bytes())

    def provide(self):
        with contextlib.redirect_stdout(io.StringIO()):
            self.fetch.provide("tools")

    def test_unpacks_what_is_asked_for_with_its_permissions_and_only_once(self):
        self.provide()
        tools = self.fetch.DEPS / "tools"
        self.assertEqual((tools / "pack" / "tool").stat().st_mode & 0o777, 0o755)
        self.assertFalse((tools / "other").exists())
        before = (tools / "pack" / "tool").stat().st_ino
        self.provide()
        self.assertEqual((tools / "pack" / "tool").stat().st_ino, before)
        self.assertEqual(self.downloads, 1)

    def test_a_wrong_file_is_removed_and_both_checksums_are_told(self):
        self.origin.write_bytes(b"not what was expected")
        with self.assertRaises(self.fetch.SetupError) as caught:
            self.provide()
        self.assertIn(self.entry["sha256"], str(caught.exception))
        self.assertIn(hashlib.sha256(b"not what was expected").hexdigest(), str(caught.exception))
        self.assertEqual(list(self.fetch.DEPS.rglob("*.whl")), [])
        self.assertFalse((self.fetch.DEPS / "tools").exists())

    def test_a_damaged_wheel_of_an_earlier_call_is_fetched_again(self):
        self.fetch.WHEELS.mkdir(parents=True)
        (self.fetch.WHEELS / self.origin.name).write_bytes(b"half")
        self.provide()
        self.assertTrue((self.fetch.DEPS / "tools" / "pack" / "tool").is_file())

    def test_a_killed_call_is_repaired(self):
        leftover = self.fetch.DEPS / "tools.partial" / "pack"
        leftover.mkdir(parents=True)
        (leftover / "stray").write_text("from the killed call", encoding="utf-8")
        self.provide()
        self.assertFalse((self.fetch.DEPS / "tools" / "pack" / "stray").exists())
        self.assertFalse(leftover.exists())

    def test_another_version_replaces_the_set(self):
        self.provide()
        self.fetch.TABLE["sets"]["tools"]["take"]["pack"] = ["pack/*", "other/*"]
        self.provide()
        self.assertTrue((self.fetch.DEPS / "tools" / "other" / "skip.txt").is_file())
        self.assertEqual(self.downloads, 1)

    def test_python_without_pip_says_what_to_install(self):
        fetch = load("fetch")
        without = Path(self.folder.name) / "python"
        without.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        without.chmod(0o755)
        with mock.patch.object(sys, "executable", str(without)), self.assertRaises(fetch.SetupError) as caught:
            fetch.require_pip()
        self.assertIn("python3-pip", str(caught.exception))


class LibtorchTest(unittest.TestCase):
    def accept(self, version_line):
        fetch = load("fetch")
        with tempfile.TemporaryDirectory() as folder:
            for name in ("include", "lib"):
                os.mkdir(os.path.join(folder, name))
            Path(folder, "version.py").write_text(version_line, encoding="utf-8")
            with contextlib.redirect_stdout(io.StringIO()) as said:
                fetch.accept_libtorch(Path(folder))
            return said.getvalue()

    def test_the_wanted_version_is_taken(self):
        self.assertIn("2.11.0+cu130", self.accept("__version__ = '2.11.0+cu130'\n"))

    def test_another_version_is_refused_with_the_wanted_one(self):
        fetch_error = None
        try:
            self.accept("__version__ = '2.9.1'\n")
        except Exception as error:  # the class belongs to a freshly loaded module
            fetch_error = str(error)
        self.assertIn("2.9.1", fetch_error)
        self.assertIn("2.11.0", fetch_error)

    def test_an_unknown_machine_is_told_the_way_out(self):
        fetch = load("fetch")
        with mock.patch.object(fetch.platform, "machine", return_value="aarch64"), self.assertRaises(fetch.SetupError) as caught:
            fetch.require_known_machine()
        self.assertIn("aarch64", str(caught.exception))
        self.assertIn("LIBTORCH", str(caught.exception))


class DialogueTest(unittest.TestCase):
    def test_turns_alternate_and_end_with_an_answer(self):
        groups = [[{"text": "Hi"}, {"text": "there"}], [{"text": "Hello"}], [{"text": "Bye"}]]
        turns = load("chitchat_to_jsonl").dialogue(groups)
        self.assertEqual(
            turns, [{"role": "user", "content": "Hi\nthere"}, {"role": "assistant", "content": "Hello"}]
        )
        self.assertEqual(load("chitchat_to_jsonl").dialogue(groups[:1]), [])


if __name__ == "__main__":
    unittest.main()
