#!/bin/sh
# Asks running processes what their OpenAPI document says, and a great deal more: scripts/schemathesis.sh [URL [OPTION...]]
#
# Without URL it starts `crosscurrent run` with clusters that are not there, then `crosscurrent connect` on an embedded cluster,
# with a connector. Schemathesis comes from PyPI, into a folder of its own below target/.
set -eu
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
tool=$target/schemathesis
product=$target/debug/crosscurrent
# The major version: options and checks differ between them.
version='>=4,<5'

if [ ! -x "$tool/bin/st" ]; then
    python3 -m venv "$tool"
    "$tool/bin/pip" install --quiet "schemathesis$version"
fi
scripts=$(pwd)/scripts

# FILE PATTERN: the text that PATTERN finds in FILE, once it is there.
await() {
    tries=0
    until found=$(sed -n "s|.*$2.*|\\1|p" "$1" | head -n 1) && [ -n "$found" ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { cat "$1" >&2; exit 1; }
        sleep 0.1
    done
    echo "$found"
}

# URL CONFIG [OPTION...]: one run.
ask() {
    at=$1 config=$2
    shift 2
    "$tool/bin/st" --config-file "$config" run "$at/v1/openapi.json" --max-examples "${EXAMPLES:-50}" --request-timeout 100 "$@"
}

# URL: what must not be, whatever was asked before.
check_alive() {
    "$tool/bin/python" - "$1" <<'PY'
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1] + "/v1/live") as answer:
    assert answer.status == 200
print("alive")
PY
}

# PROCESS LOG: it ends in order, and there was no panic.
end() {
    kill "$1"
    wait "$1" || { tail -n 20 "$2" >&2; exit 1; }
    ! grep 'a panic' "$2"
}

# It leaves a cache in the folder that it runs in.
cd "$tool"
cp "$scripts/schemathesis.toml" known-names.toml
sed '/^"path\./d' "$scripts/schemathesis.toml" >any-names.toml

url=${1:-}
if [ -n "$url" ]; then
    shift
    ask "$url" known-names.toml "$@"
    ask "$url" any-names.toml "$@"
    check_alive "$url"
    exit
fi

(cd "$scripts/.." && cargo build -q -p crosscurrent)
work=$(mktemp -d)
processes=
trap 'kill $processes 2>/dev/null || true; rm -rf "$work"' EXIT

echo '== crosscurrent run'
printf '%s\n' 'clusters = a, b' 'a.bootstrap.servers = 127.0.0.1:1' 'b.bootstrap.servers = 127.0.0.1:1' \
    'a->b.enabled = true' >"$work/mm2.properties"
"$product" run "$work/mm2.properties" --rest 127.0.0.1:0 2>"$work/run.log" &
process=$!
processes=$process
url=$(await "$work/run.log" 'REST and metrics url="\([^"]*\)"')
ask "$url" known-names.toml
ask "$url" any-names.toml
check_alive "$url"
end $process "$work/run.log"

echo '== crosscurrent connect'
"$product" embedded --cluster here:0 --topics copied:3 --json >"$work/cluster" 2>"$work/cluster.log" &
processes=$!
cluster=$(await "$work/cluster" '\(127\.0\.0\.1:[0-9]*\)')
{
    for topic in offset config status; do
        printf '%s\n' "$topic.storage.topic = $topic" "$topic.storage.replication.factor = 1"
    done
    printf '%s\n' "bootstrap.servers = $cluster" 'group.id = worker'
} >"$work/worker.properties"
"$product" connect "$work/worker.properties" --rest 127.0.0.1:0 2>"$work/connect.log" &
process=$!
processes="$processes $process"
url=$(await "$work/connect.log" 'REST and metrics url="\([^"]*\)"')
curl -fsS -o /dev/null -X PUT -H 'content-type: application/json' "$url/connectors/MirrorSourceConnector/config" -d "{
    \"connector.class\": \"MirrorSourceConnector\", \"source.cluster.alias\": \"there\", \"target.cluster.alias\": \"here\",
    \"source.cluster.bootstrap.servers\": \"$cluster\", \"target.cluster.bootstrap.servers\": \"$cluster\", \"topics\": \"copied\",
    \"replication.factor\": \"1\", \"offset-syncs.topic.replication.factor\": \"1\"}"
# Deleted, its routes would all be 404: the second run deletes.
{ cat known-names.toml; printf '%s\n' '[[operations]]' 'include-name = "DELETE /connectors/{connector}"' \
    'enabled = false'; } >known-connector.toml
ask "$url" known-connector.toml
ask "$url" any-names.toml
check_alive "$url"
end $process "$work/connect.log"
