# `make help` lists the targets. Everything is installed, built and run from here; nothing needs to be prepared by hand.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
CARGO ?= cargo
# Extra words for `make bake`: make bake ARGS='--report bake.html'
ARGS ?=
# nextest runs the tests of all files at once, as .config/nextest.toml says; without it, cargo's own runner does, file by file.
NEXTEST := $(shell command -v cargo-nextest)
# Most of them wait for processes more than they compute: two for each processor.
TESTS := $(if $(NEXTEST),nextest run --no-fail-fast --test-threads $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN)))),test --no-fail-fast)
# The tests of virtual machines are ignored otherwise.
LONG_TESTS := $(if $(NEXTEST),nextest run --profile long --cargo-profile long --no-fail-fast --run-ignored all,test --profile long --no-fail-fast --tests)

.PHONY: help bake build test test-long lint deny packages-bake packages-test unit vm bless clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

bake: packages-bake build ## bake the image of this repository on this machine, without a cloud account
	dev/bake-here target/release/mkimg $(ARGS)

build: ## the mkimg program: target/release/mkimg
	$(CARGO) build --release --locked

test: packages-test lint deny unit vm ## everything that CI runs (at most 20 minutes), one VM bake among it

test-long: packages-test lint deny build ## also every virtual machine, every sweep and the long differential runs (some 70 minutes on two cores, half of them virtual machines)
	MKIMG_VM_BAKED=$(CURDIR)/target/vm-baked MKIMG_SWEEP=all MKIMG_CONTENTS=5000 MKIMG_BOUNDS=$(CURDIR)/target/release/mkimg \
	MKIMG_YAML_TEXTS=20000 MKIMG_DIFFERENTIAL=20000 MKIMG_MUTATIONS=200000 $(if $(NEXTEST),,RUST_TEST_THREADS=1) $(CARGO) $(LONG_TESTS) --locked --workspace$(if $(NEXTEST),, -- --include-ignored)
	rm -rf target/vm-baked

lint: ## formatting and lints
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --no-default-features -- -D warnings
	shellcheck --severity=style dev/* .ci/run scripts/*.sh fuzz/seeds tests/differential/fetch-cloud-init

deny: ## licences, sources and banned crates of the dependencies
	dev/cargo-deny --locked check bans licenses sources

unit: ## the tests that need no virtual machine
	$(CARGO) $(TESTS) --locked --workspace

vm: ## the tests that boot virtual machines: a bake and its verification
	$(CARGO) test --locked --test vm -- --ignored --nocapture bake::

bless: ## rewrite the expected outputs of tests and the generated pages; read the difference before you commit it
	SNAPSHOTS=overwrite MKIMG_BLESS=1 $(CARGO) test --locked

packages-bake:
	dev/install-packages bake

packages-test:
	dev/install-packages test

clean: ## remove what was built here (not the base images in the cache folder)
	$(CARGO) clean
