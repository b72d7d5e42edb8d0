"""Makes the fixtures of the models' parity tests.

Run by a developer:  $(scripts/oracle/env.sh) scripts/oracle/make_fixtures.py [OUT]

The tests read only the files, so nothing here is needed to run them. Seeds are fixed: on a given machine the files come
out the same each time; elsewhere sums may be taken in another order, and the last bits differ.
"""

import sys
from pathlib import Path

import torch

import decoders
import lora
import minicpm_o_cases
import qwen2_5_omni
import qwen2_5_vl

DEFAULT = Path(__file__).parents[2] / "crates/omnireward-models/tests/parity/models"

if __name__ == "__main__":
    torch.set_num_threads(1)
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    decoders.make(out)
    minicpm_o_cases.make(out)
    lora.make(out)
    qwen2_5_vl.make(out)
    qwen2_5_omni.make(out)
