#!/usr/bin/env bash
# Runs Apache Kafka's own integration tests of MirrorMaker 2 with our binary in place of its workers:
# scripts/kafka-its.sh [CLASS[#METHOD][,...]]. Ends with 1 if a test fails that is not listed in
# tests/kafka-its/not-expected-to-pass.txt, or if one passes that is.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
work=$target/kafka-its
only=()
if [ $# -gt 0 ]; then only=(-Dtest="$1"); fi

# Of JUnit's reports, which are kept between runs, only those of this run are read.
rm -rf "$work/surefire-reports" "$work/runs"
cargo build -q -p crosscurrent
# Failing tests do not fail Maven: whether they may is decided below.
mvn -B -q -f tests/kafka-its/pom.xml test "${only[@]}" \
    -Dwork="$work" -Dcrosscurrent.binary="$target/debug/crosscurrent" || {
    echo "kafka-its: Maven could not run the tests" >&2
    exit 1
}
python3 scripts/kafka-its-table.py "$work/surefire-reports" tests/kafka-its/not-expected-to-pass.txt
echo "logs of each test: $work/runs"
