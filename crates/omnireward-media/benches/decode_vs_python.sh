#!/bin/sh
# Compares our decoding of JPEG and video with Pillow and PyAV on the same files:
#
#     crates/omnireward-media/benches/decode_vs_python.sh DATA
#
# DATA is the folder of the real test data. Pillow, PyAV and NumPy are installed from PyPI into a
# virtual environment in the target folder. Prints the median time for each file and the ratios;
# below 1 we are faster.
set -eu
data=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-../../target}
mkdir -p "$target"
venv=$(cd "$target" && pwd)/decode-peer
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet pillow av numpy
program=$(${CARGO:-cargo} bench --bench decode --no-run 2>&1 | sed -n 's/.*(\(.*\))$/\1/p' | tail -1)
case $program in /*) ;; *) program=$(cd ../.. && pwd)/$program ;; esac
exec "$venv/bin/python" benches/decode_peer.py "$program" "$data"
