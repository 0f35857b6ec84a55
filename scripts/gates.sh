#!/usr/bin/env bash
# The directions of the dependency graph that ARCHITECTURE.md promises.
#   proto <- shared <- {prepare, coordinator, worker} <- cli <- tests;  torch-ext <- worker only
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0

# All that PACKAGE reaches through normal and build dependencies, one name a line.
reach() {
  cargo tree --locked --quiet --package "$1" --edges normal,build --prefix none --format '{p}' | cut -d ' ' -f 1 | sort -u
}

# forbid PACKAGE WHY DEPENDENCY...
forbid() {
  local package=$1 why=$2 reached dependency
  shift 2
  reached=$(reach "$package")
  for dependency in "$@"; do
    if grep --quiet --line-regexp --fixed-strings -- "$dependency" <<<"$reached"; then
      echo "gate: $package must not depend on $dependency ($why); see cargo tree -p $package -e normal,build -i $dependency" >&2
      failed=1
    fi
  done
}

without_torch=(torch-sys tch evenkeel-torch-ext)
forbid evenkeel-proto "the wire is the bottom" "${without_torch[@]}" evenkeel-{shared,prepare,coordinator,worker,cli}
forbid evenkeel-shared "it runs on machines without libtorch" "${without_torch[@]}" evenkeel-{prepare,coordinator,worker,cli}
forbid evenkeel-prepare "a data machine has neither libtorch nor a network" "${without_torch[@]}" \
  tokio tonic hyper reqwest evenkeel-{proto,coordinator,worker,cli}
forbid evenkeel-coordinator "a head node needs no libtorch" "${without_torch[@]}" evenkeel-{prepare,worker,cli}
forbid evenkeel-cli "a laptop needs no libtorch, and the worker is a program" "${without_torch[@]}" evenkeel-worker
forbid evenkeel-worker "the control plane is reached over the wire" evenkeel-{prepare,coordinator,cli}

# A gate that cannot see what it forbids would pass for ever: prove that it finds what is there.
if ! grep --quiet --line-regexp torch-sys <<<"$(reach evenkeel-worker)"; then
  echo "gate: evenkeel-worker should reach torch-sys and does not, so the gates above prove nothing" >&2
  failed=1
fi

[[ $failed == 0 ]] && echo "all directions hold"
exit "$failed"
