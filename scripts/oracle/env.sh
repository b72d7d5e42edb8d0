#!/usr/bin/env bash
# Makes the reference's Python environment where it is missing, and prints its interpreter:
#
#     python=$(scripts/oracle/env.sh)
#
# About 6 GB, in the user's cache folder, from whichever package index pip is set up to use.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
venv=${XDG_CACHE_HOME:-$HOME/.cache}/omnireward/oracle
wanted=$(sha256sum "$here/requirements.txt" | cut -d' ' -f1)

if [ "$(cat "$venv/requirements.sha256" 2>/dev/null)" != "$wanted" ]; then
    [ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv" >&2
    "$venv/bin/python" -m pip install --quiet --requirement "$here/requirements.txt" >&2
    echo "$wanted" >"$venv/requirements.sha256"
fi
echo "$venv/bin/python"
