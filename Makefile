# Every command that CI runs. `make` lists them. Each does its own set-up; see scripts/setup.sh.

TARGET := $(or $(CARGO_TARGET_DIR),target)
SECONDS_TO_RUN ?= 20

.DEFAULT_GOAL := help
.PHONY: help setup build test check bench fuzz schemathesis kafkaits kafka demo

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup:
	@scripts/setup.sh

build: ## the product, optimised: target/release/crosscurrent
	@scripts/setup.sh build
	cargo build --release -p crosscurrent

test: setup ## all tests; those with real Kafka fetch it on their first run
	cargo test --workspace

check: setup ## format, lints, documentation, licences; warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	@scripts/deny.sh

bench: setup ## measurements, against promises and the baseline
	cargo build --release -p crosscurrent
	cargo bench -p crosscurrent-benches

fuzz: setup ## bad bytes, led by coverage: each target for SECONDS_TO_RUN seconds
	@scripts/fuzz.sh $(SECONDS_TO_RUN)

schemathesis: setup ## random requests by the OpenAPI document, of a tool from PyPI
	@scripts/schemathesis.sh

kafkaits: setup ## Apache Kafka's own integration tests of MirrorMaker 2, against our binary
	@scripts/kafka-its.sh

kafka: setup ## fetch Apache Kafka for the tests and make it start quickly
	cargo run -q -p crosscurrent-scenarios --bin kafka

demo: build ## two Kafka clusters in one process, active/active, live, with a proof at the end
	$(TARGET)/release/crosscurrent demo --seconds $(SECONDS_TO_RUN)
