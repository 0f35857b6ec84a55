#!/usr/bin/env bash
# Proves without a GPU that a worker built with feature `cuda` really is one: it is linked to libtorch's CUDA half, it uses
# NCCL's process group, every library that it names is found, and it starts.
set -euo pipefail
binary=${1:?usage: check-cuda-links.sh WORKER}

fail() { echo "check-cuda: $binary $*" >&2; exit 1; }

# Into variables first: `grep --quiet` leaves a pipe early, which pipefail would take for a failure of the left side.
needed=$(readelf --dynamic "$binary")
symbols=$(nm --dynamic --undefined-only --demangle "$binary")
grep --quiet 'NEEDED.*libtorch_cuda\.so' <<<"$needed" || fail "is not linked to libtorch_cuda"
grep --quiet 'c10d::ProcessGroupNCCL::' <<<"$symbols" || fail "does not use ProcessGroupNCCL"
missing=$(ldd "$binary" | grep 'not found' || true)
[[ -z $missing ]] || fail "does not find these libraries: $missing"
"$binary" --version >/dev/null || fail "does not start"
echo "check-cuda: $binary is linked to CUDA and NCCL, finds its libraries and starts"
