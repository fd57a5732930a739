# `make help` lists the targets. They install what they need.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
CARGO ?= cargo
# More arguments for `make bake`: make bake ARGS='--report bake.html'
ARGS ?=
# nextest runs all tests side by side, as .config/nextest.toml says. Without it, cargo runs one test binary after the other.
NEXTEST := $(shell command -v cargo-nextest)
# Four slots for each processor: tests that mostly wait take one, the others two (.config/nextest.toml).
TESTS := $(if $(NEXTEST),nextest run --no-fail-fast --test-threads $(shell echo $$((4 * $$(getconf _NPROCESSORS_ONLN)))),test --no-fail-fast)
# The tests of virtual machines are ignored otherwise.
LONG_TESTS := $(if $(NEXTEST),nextest run --profile long --cargo-profile long --no-fail-fast --run-ignored all,test --profile long --no-fail-fast --tests)

.PHONY: help bake build test test-long lint deny doc msrv bench fuzz packages-bake packages-test unit vm bless clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

bake: packages-bake build ## bake this repository's image on this machine, without a cloud account
	dev/bake-here target/release/mkimg $(ARGS)

build: ## build target/release/mkimg
	$(CARGO) build --release --locked

test: packages-test lint msrv deny doc ## run all checks of CI (at most 20 minutes), one bake in virtual machines included
	@# The machine boots on one processor, and the other tests take what it leaves.
	$(MAKE) --jobs=2 NICE=nice unit vm

test-long: packages-test lint msrv deny doc build ## run all virtual machines, sweeps, long differential tests and fuzz targets, too (over an hour on two cores)
	MKIMG_VM_BAKED=$(CURDIR)/target/vm-baked MKIMG_SWEEP=all MKIMG_CONTENTS=5000 MKIMG_BOUNDS=$(CURDIR)/target/release/mkimg \
	MKIMG_YAML_TEXTS=20000 MKIMG_DIFFERENTIAL=20000 MKIMG_MUTATIONS=200000 $(if $(NEXTEST),,RUST_TEST_THREADS=1) $(CARGO) $(LONG_TESTS) --locked --workspace$(if $(NEXTEST),, -- --include-ignored)
	rm -rf target/vm-baked
	dev/fuzz

lint: ## check formatting, run clippy and shellcheck
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --no-default-features -- -D warnings
	shellcheck --severity=style dev/* .ci/run scripts/*.sh fuzz/seeds tests/differential/fetch-packages

# The oldest Rust that Cargo.toml names.
MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

msrv: ## check with the oldest supported Rust, if that toolchain is installed
	@if rustup toolchain list 2>/dev/null | grep -q '^$(MSRV)'; then \
		$(CARGO) +$(MSRV) check --locked --workspace --target-dir target/msrv; \
	else \
		echo 'SKIPPED: Rust $(MSRV) is not installed (rustup toolchain install $(MSRV))'; \
	fi

doc: ## build the documentation of all crates and their examples, run doctests
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps
	$(CARGO) test --locked --workspace --doc
	$(CARGO) build --locked --workspace --examples

bench: ## measure the linter's throughput; benches/ also has scripts for the whole program
	$(CARGO) bench --locked --bench lint

fuzz: ## build the fuzz targets, and run each for a minute
	dev/fuzz

# Where known vulnerabilities of crates are published; cargo-deny downloads it.
ADVISORIES := https://github.com/RustSec/advisory-db

deny: ## check licences, sources, banned crates and known vulnerabilities of the dependencies
	dev/cargo-deny --locked check bans licenses sources
	@if GIT_TERMINAL_PROMPT=0 timeout 10 git ls-remote --quiet $(ADVISORIES) HEAD >/dev/null 2>&1; then \
		dev/cargo-deny --locked check advisories; \
	else \
		echo 'SKIPPED: known vulnerabilities were not checked: $(ADVISORIES) cannot be reached'; \
	fi

unit: ## run the tests that need no virtual machine
	$(NICE) $(CARGO) $(TESTS) --locked --workspace

vm: ## run one bake and its verification in virtual machines
	$(CARGO) test --locked --workspace --test vm -- --ignored --nocapture bake::

bless: ## rewrite expected outputs and generated pages; review the diff before you commit it
	MKIMG_BLESS=1 $(CARGO) test --locked --workspace --no-fail-fast

packages-bake:
	dev/install-packages bake

packages-test:
	dev/install-packages test

clean: ## remove all build output (not the base images in the cache folder)
	$(CARGO) clean
