#!/bin/sh
# Asks a running process what its OpenAPI document says, and a great deal more: scripts/schemathesis.sh [URL [OPTION...]]
#
# Without URL it starts `crosscurrent run` with clusters that are not there. Schemathesis comes from PyPI, into a folder of
# its own below target/.
set -eu
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
tool=$target/schemathesis
# The major version: options and checks differ between them.
version='>=4,<5'

if [ ! -x "$tool/bin/st" ]; then
    python3 -m venv "$tool"
    "$tool/bin/pip" install --quiet "schemathesis$version"
fi

url=${1:-}
[ $# -eq 0 ] || shift
if [ -z "$url" ]; then
    cargo build -q -p crosscurrent
    work=$(mktemp -d)
    printf '%s\n' 'clusters = a, b' 'a.bootstrap.servers = 127.0.0.1:1' 'b.bootstrap.servers = 127.0.0.1:1' \
        'a->b.enabled = true' >"$work/mm2.properties"
    "$target/debug/crosscurrent" run "$work/mm2.properties" --rest 127.0.0.1:0 2>"$work/log" &
    process=$!
    trap 'kill $process 2>/dev/null; rm -rf "$work"' EXIT
    tries=0
    until url=$(sed -n 's/.*REST and metrics url="\([^"]*\)".*/\1/p' "$work/log") && [ -n "$url" ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { cat "$work/log" >&2; exit 1; }
        sleep 0.1
    done
fi

cp scripts/schemathesis.toml "$tool/known-names.toml"
sed '/^"path\./d' scripts/schemathesis.toml >"$tool/any-names.toml"
# It leaves a cache in the folder that it runs in.
cd "$tool"
for config in known-names.toml any-names.toml; do
    bin/st --config-file "$config" run "$url/v1/openapi.json" --max-examples "${EXAMPLES:-50}" --request-timeout 100 "$@"
done

# What must not be, whatever was asked before.
bin/python - "$url" <<'PY'
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1] + "/v1/live") as answer:
    assert answer.status == 200
print("alive")
PY
