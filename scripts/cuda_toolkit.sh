#!/usr/bin/env bash
# Puts the parts of the CUDA 13.0 toolkit that the `cuda` feature needs into one folder, from Python wheels, and prints
# the variables that make cargo use them:
#
#   eval "$(scripts/cuda_toolkit.sh)" && cargo build --release --features cuda
#
# CUDA_COMPUTE_CAP names the card's architecture (80 Ampere, 89 Ada, 90 Hopper, 120 Blackwell); 90 when not set.
set -euo pipefail

folder="${XDG_CACHE_HOME:-$HOME/.cache}/omnireward/cuda-13.0"
wheels=(
  nvidia-cuda-nvcc==13.0.88
  nvidia-nvvm==13.0.88
  nvidia-cuda-crt==13.0.88
  nvidia-cuda-runtime==13.0.96
  nvidia-cuda-cccl==13.0.85
  nvidia-cuda-nvrtc==13.0.88
  nvidia-cublas==13.0.2.14
  nvidia-curand==10.4.5.25
)

if [[ ! -e "$folder/complete" ]]; then
  mkdir -p "$folder/wheels"
  python3 -m pip download --quiet --no-deps --dest "$folder/wheels" "${wheels[@]}" >&2
  for wheel in "$folder"/wheels/*.whl; do
    python3 -m zipfile -e "$wheel" "$folder"
  done
  rm -r "$folder/wheels"
  toolkit="$folder/nvidia/cu13"
  chmod +x "$toolkit"/bin/* "$toolkit"/nvvm/bin/* 2>/dev/null || true
  # The linker looks for names without a version.
  for library in "$toolkit"/lib/*.so.*; do
    plain="${library%%.so.*}.so"
    [[ -e "$plain" ]] || ln -s "$(basename "$library")" "$plain"
  done
  touch "$folder/complete"
fi

toolkit="$folder/nvidia/cu13"
cat <<EOF
export CUDA_HOME="$toolkit" CUDA_ROOT="$toolkit" CUDA_PATH="$toolkit" CUDA_TOOLKIT_ROOT_DIR="$toolkit"
export NVCC="$toolkit/bin/nvcc" PATH="$toolkit/bin:\$PATH"
export LIBRARY_PATH="$toolkit/lib:$toolkit/lib/stubs\${LIBRARY_PATH:+:\$LIBRARY_PATH}"
export LD_LIBRARY_PATH="$toolkit/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
export CUDA_COMPUTE_CAP="\${CUDA_COMPUTE_CAP:-90}"
EOF
