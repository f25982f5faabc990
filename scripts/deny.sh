#!/usr/bin/env bash
# Checks licences and advisories (deny.toml) where cargo-deny is installed, and says so where it is not:
# building it takes longer than all other checks together.
set -euo pipefail
if command -v cargo-deny >/dev/null 2>&1; then
    exec cargo deny --workspace check
fi
echo "check: SKIPPED licences and advisories; for them type: cargo install --locked cargo-deny"
