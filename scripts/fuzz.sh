#!/bin/sh
# Runs the fuzz targets for $1 seconds each, one after the other, on the stable toolchain: the coverage that leads them is compiled in
# by LLVM's own pass. What is found lies in target/fuzz/found, the corpus in target/fuzz/corpus.
set -eu

seconds=${1:-300}
cd "$(dirname "$0")/.."
fuzz=$PWD/${CARGO_TARGET_DIR:-target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# With --target the flags do not reach build scripts, which could not be linked with them.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    RUSTFLAGS="$RUSTFLAGS -Cllvm-args=-sanitizer-coverage-$option"
done
export RUSTFLAGS
cargo build --release --locked --manifest-path scenarios/embedded/fuzz/Cargo.toml --target "$host" --target-dir "$fuzz"

# Deep recursion must show; the engine itself runs in far less. Unit: KiB.
ulimit -s 2048
mkdir -p "$fuzz/found"
export FUZZ_SEEDS="$fuzz/seeds"
for target in requests batches; do
    corpus="$fuzz/corpus/$target"
    mkdir -p "$corpus" "$FUZZ_SEEDS/$target"
    "$fuzz/$host/release/$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=4096 -len_control=0 \
        -use_value_profile=1 -print_final_stats=1 -artifact_prefix="$fuzz/found/$target-" "$corpus" "$FUZZ_SEEDS/$target"
done
