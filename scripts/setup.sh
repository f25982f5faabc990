#!/usr/bin/env bash
# Installs what building and testing crosscurrent need and this machine lacks; `setup.sh build`: what building alone
# needs, which is no Java. Does nothing, quickly, when everything is there. Where it may not install (no root, no
# passwordless sudo, no apt-get) it prints the command to type and ends with 1.
set -euo pipefail

case "${1:-test}" in
    build) for_tests=no ;;
    test) for_tests=yes ;;
    *) echo "usage: setup.sh [build|test]" >&2; exit 2 ;;
esac

# Kafka 4 needs it.
JAVA_AT_LEAST=17

have() { command -v "$1" >/dev/null 2>&1; }

java_major() {
    local java=java
    if [ -n "${JAVA_HOME:-}" ]; then java=$JAVA_HOME/bin/java; fi
    { "$java" -version 2>&1 || true; } | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1
}

java_is_missing() {
    [ "$for_tests" = yes ] || return 1
    local major
    major=$(java_major)
    [ "${major:-0}" -lt "$JAVA_AT_LEAST" ]
}

# The first of these that apt can install: the distribution's default may be too old.
java_package() {
    local version
    for version in 21 17 25; do
        if apt-cache policy "openjdk-$version-jre-headless" 2>/dev/null | grep 'Candidate: [0-9]' >/dev/null; then
            echo "openjdk-$version-jre-headless"
            return
        fi
    done
    echo "openjdk-$JAVA_AT_LEAST-jre-headless"
}

if ! have cargo && [ -f "$HOME/.cargo/env" ]; then
    echo "setup: cargo is installed but not on the PATH; type:  . \"\$HOME/.cargo/env\"" >&2
    exit 1
fi
if ! have cargo; then
    echo "setup: Rust is missing; install rustup as https://rustup.rs says" >&2
    exit 1
fi
# The toolchain of rust-toolchain.toml; newer rustups do not install it by themselves.
if have rustup && ! (cd "$(dirname "$0")/.." && rustup show active-toolchain && cargo --version) >/dev/null 2>&1; then
    (cd "$(dirname "$0")/.." && rustup toolchain install)
fi

missing=()
have cc || missing+=(gcc libc6-dev)
have c++ || missing+=(g++)  # librdkafka is built from source
have make || missing+=(make)
java_missing=no
if java_is_missing; then java_missing=yes; fi
# Maven fetches Kafka for the tests; an unpacked Kafka does as well.
if [ "$for_tests" = yes ] && [ -z "${KAFKA_HOME:-}" ]; then
    have mvn || missing+=(maven)
fi
if [ ${#missing[@]} -eq 0 ] && [ "$java_missing" = no ]; then
    exit 0
fi

if ! have apt-get; then
    if [ "$java_missing" = yes ]; then missing+=("a Java runtime, $JAVA_AT_LEAST or newer"); fi
    echo "setup: please install: ${missing[*]}" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
    if ! have sudo || ! sudo -n true 2>/dev/null; then
        if [ "$java_missing" = yes ]; then missing+=("$(java_package)"); fi
        echo "setup: something is missing and this user may not install it; type:" >&2
        echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
fi
"${as_root[@]}" apt-get update -qq
if [ "$java_missing" = yes ]; then missing+=("$(java_package)"); fi
echo "setup: installing ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
if java_is_missing; then
    echo "setup: the java in use is still older than $JAVA_AT_LEAST; set JAVA_HOME to a newer one" >&2
    exit 1
fi
