#!/usr/bin/env bash
# Runs Apache Kafka's own integration tests of MirrorMaker 2 with our binary in place of its workers:
# [ALL=1] scripts/kafka-its.sh [CLASS[#METHOD][,...]]. Ends with 1 if a test fails. Those that are listed in
# tests/kafka-its/not-expected-to-pass.txt are left out; with ALL=1 they are run, and it is a failure if one passes.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
work=$target/kafka-its
only=()
if [ $# -gt 0 ]; then only=(-Dtest="$1"); fi
listed=$PWD/tests/kafka-its/not-expected-to-pass.txt
leave_out=$listed
if [ -n "${ALL:-}" ]; then leave_out=; fi

if ! command -v javac >/dev/null; then
    echo "kafka-its: javac is missing; install a JDK, 17 or newer" >&2
    exit 1
fi
# Of JUnit's reports, which are kept between runs, only those of this run are read.
rm -rf "$work/surefire-reports" "$work/runs"
cargo build -q -p crosscurrent
# Failing tests do not fail Maven: whether they may is decided below.
mvn -B -q -f tests/kafka-its/pom.xml test "${only[@]}" \
    -Dwork="$work" -Dcrosscurrent.work="$work/runs" -Dcrosscurrent.binary="$target/debug/crosscurrent" \
    -Dcrosscurrent.leave.out="$leave_out" || {
    echo "kafka-its: Maven could not run the tests" >&2
    exit 1
}
python3 scripts/kafka-its-table.py "$work/surefire-reports" "$listed"
echo "logs of each test: $work/runs"
