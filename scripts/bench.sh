#!/usr/bin/env bash
# evenkeel against torchrun + DDP + transformers on SmolLM2-135M, in turn, on this machine. About 15 minutes on 2 cores.
# Options go to the benchmark: `scripts/bench.sh --repeats 1 --precision bf16`. BENCH_PYTHON names a ready environment.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
peer_python=$(benches/peers/setup.sh | tail -n 1)
"$python" scripts/fetch.py libtorch
cargo build --locked --release --package evenkeel-cli --package evenkeel-coordinator --package evenkeel-worker --package evenkeel-benches
model=$(scripts/test-model.sh target/release/evenkeel)
exec target/release/evenkeel-benches --model "$model" --python "$peer_python" "$@"
