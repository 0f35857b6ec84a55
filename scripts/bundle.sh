#!/usr/bin/env bash
# Puts the three programs and the libraries of libtorch that they load into one folder that can be copied to another
# Linux machine (x86_64, glibc 2.28 or newer) and run there: FOLDER/bin and FOLDER/lib. CPU only.
# Usage: scripts/bundle.sh FOLDER     (after `cargo build --release --workspace --bins`)
set -euo pipefail
target=$(realpath -m "${1:?usage: bundle.sh FOLDER}")
cd "$(dirname "$0")/.."
build=${BUILD_DIR:-target/release}

if [[ -e $target ]]; then
  echo "bundle: $target exists already; name a folder that does not" >&2
  exit 1
fi
partial=$target.partial
rm -rf "$partial"
mkdir -p "$partial/bin" "$partial/lib"
install -m 755 "$build/evenkeel" "$build/evenkeel-coordinator" "$build/evenkeel-worker" "$partial/bin/"

# What the worker loads, less the system's own libraries: those come from libtorch's folders.
libtorch=$(realpath "${LIBTORCH:-.deps/libtorch/torch}")
ldd "$build/evenkeel-worker" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | while read -r library; do
  case $(realpath "$library") in
    "$libtorch"/* | "$(dirname "$libtorch")"/nvidia/*) install -m 755 "$library" "$partial/lib/" ;;
  esac
done
cp LICENSE "$partial/"
mv "$partial" "$target"

if env -u LD_LIBRARY_PATH ldd "$target/bin/evenkeel-worker" | grep "not found"; then
  echo "bundle: the worker in $target misses the libraries above" >&2
  exit 1
fi
echo "bundle: $target ($(du -sh "$target" | cut -f 1))"
