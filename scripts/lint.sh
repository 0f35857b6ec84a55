#!/usr/bin/env bash
# What must hold before a change goes in, besides the tests. Needs libtorch (`make libtorch`) because clippy compiles the worker.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_DENY_VERSION=0.20.2

step() { printf '\n== %s\n' "$*"; }

step "rustfmt"
cargo fmt --all --check

step "clippy, all targets, warnings are errors"
cargo clippy --locked --workspace --all-targets -- --deny warnings

step "dependency directions"
scripts/gates.sh

step "licences, bans, sources (cargo-deny ${CARGO_DENY_VERSION})"
deny=.deps/tools/bin/cargo-deny
if [[ "$("$deny" --version 2>/dev/null || true)" != "cargo-deny ${CARGO_DENY_VERSION}" ]]; then
  cargo install --locked --quiet --version "$CARGO_DENY_VERSION" --root .deps/tools cargo-deny
fi
# Advisories are left out here: their database is a git repository, and this check must run where only registries are reachable.
"$deny" --workspace --locked check licenses bans sources

step "deploy files"
deploy/check.sh

step "shell scripts"
for script in scripts/*.sh deploy/*.sh deploy/slurm/*.sbatch benches/peers/*.sh .ci/run; do
  bash -n "$script"
done
if command -v shellcheck >/dev/null; then
  shellcheck scripts/*.sh deploy/*.sh deploy/slurm/*.sbatch benches/peers/*.sh .ci/run
else
  echo "shellcheck is not installed here: syntax checked only"
fi
