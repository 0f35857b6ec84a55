#!/usr/bin/env bash
# The peers' Python environment: .deps/bench-env, or a check of the interpreter that BENCH_PYTHON names.
# Prints the interpreter's path as its last line.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}

if [[ -n "${BENCH_PYTHON:-}" ]]; then
  "$BENCH_PYTHON" - "$here/requirements.txt" <<'PY'
import importlib.metadata as metadata, sys
bad = []
for line in open(sys.argv[1], encoding="utf-8"):
    name, _, wanted = line.partition("#")[0].strip().partition("==")
    if name in ("torch", "transformers"):
        try:
            found = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            found = "nothing"
        if found != wanted:
            bad.append(f"{name} {wanted} wanted, {found} found")
if bad:
    sys.exit(f"bench-setup: BENCH_PYTHON is {sys.executable}, which will not do: {'; '.join(bad)}. "
             "Unset it to have .deps/bench-env made.")
PY
  echo "$BENCH_PYTHON"
  exit 0
fi

environment=$root/.deps/bench-env
done_mark=$environment/evenkeel-requirements.txt
if ! cmp --silent "$here/requirements.txt" "$done_mark"; then
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "bench-setup: the peers need Python 3.11 or newer, and $python is $("$python" --version). Name another one: make bench PYTHON=..." >&2
    exit 1
  fi
  rm -rf "$environment"
  "$python" -m venv "$environment"
  # uv resolves in seconds what pip takes minutes for.
  "$environment/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
  "$environment/bin/uv" pip install --python "$environment/bin/python" --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$done_mark"
fi
echo "$environment/bin/python"
