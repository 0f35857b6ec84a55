# The road's doors. Everything they fetch or install stays in .deps/, everything they build in target/.
# `make` alone lists them.

PYTHON ?= python3
FETCH := $(PYTHON) scripts/fetch.py

.DEFAULT_GOAL := help
.PHONY: help quickstart test lint libtorch libtorch-cuda check-cuda bench bench-setup

help: ## This list
	@echo "make TARGET   (PYTHON=... names another Python 3 than python3)"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

quickstart: ## The whole way on real input: fetch, build, import, vectorize, fine-tune SmolLM2-135M, compare its answers
	PYTHON=$(PYTHON) scripts/quickstart.sh

test: libtorch ## Build everything and run every test
	cargo build --locked --workspace
	scripts/test-model.sh target/debug/evenkeel
	cargo test --locked --workspace
	$(PYTHON) -m unittest discover --quiet --start-directory scripts/tests

lint: libtorch ## rustfmt, clippy, licences and bans, dependency gates, deploy files, shell scripts
	scripts/lint.sh

libtorch: ## libtorch for CPU work into .deps/libtorch, or a check of the one that LIBTORCH names
	@$(FETCH) libtorch

libtorch-cuda: ## libtorch with the CUDA libraries into .deps/libtorch-cuda (2.5 GB to fetch)
	@$(FETCH) libtorch-cuda

check-cuda: libtorch-cuda ## Compile and link the worker with feature `cuda` (no GPU needed)
	LIBTORCH=$(CURDIR)/.deps/libtorch-cuda/torch \
		cargo build --locked --release --package evenkeel-worker --features cuda --target-dir target/cuda
	scripts/check-cuda-links.sh target/cuda/release/evenkeel-worker

bench-setup: ## The peers' Python environment into .deps/bench-env (about 5 GB), or a check of BENCH_PYTHON
	PYTHON=$(PYTHON) benches/peers/setup.sh

bench: bench-setup ## evenkeel and torchrun + DDP + transformers in turn on this machine; result in benches/results/
	PYTHON=$(PYTHON) scripts/bench.sh
