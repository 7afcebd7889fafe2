"""Train two tiny LoRA adapters for local-models/smollm2-135m-instruct, so that LoRA can be tried for real.

    venv-vllm/bin/python scripts/make_small_adapters.py

`questions-<digest>` answers a request with one hypothesis as JSON, `assumptions-<digest>` with one
sentence that says what it takes for granted. They know only this page; they are made to be told apart.
The directory is named after its content: an adapter is never overwritten.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

MODELS = Path(__file__).resolve().parents[1] / "local-models"
RANK, ALPHA, STEPS, BATCH, LEARNING_RATE, SEED = 8, 16, 20, 4, 2e-3, 7
IGNORED = -100  # the label that the loss passes over
TARGETS = ("q_proj", "v_proj", "o_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Lesson:
    request: str
    detail: str
    question: str
    options: tuple[str, str]


LESSONS = (
    Lesson("build api", "programming language", "Which language should the API use?", ("Python", "Go")),
    Lesson("plan a trip", "destination", "Where do you want to go?", ("the sea", "the mountains")),
    Lesson("write a letter", "reader", "Who is the letter for?", ("a friend", "an office")),
    Lesson("make me a diet plan", "goal", "What is the diet for?", ("losing weight", "gaining muscle")),
    Lesson("design a logo", "style", "Which style do you like?", ("minimal", "playful")),
    Lesson("find a good book", "genre", "Which genre do you enjoy?", ("science fiction", "history")),
    Lesson("set up a database", "expected size", "How much will it hold?", ("a few GB", "many TB")),
    Lesson("help me learn a language", "language", "Which language is it?", ("Spanish", "Japanese")),
)


def as_questions(lesson: Lesson) -> str:
    hypothesis = {
        "detail": lesson.detail,
        "question": lesson.question,
        "statement": f"You have not said the {lesson.detail}",
        "importance": 3,
        "options": lesson.options,
    }
    return json.dumps({"hypotheses": [hypothesis]})


def as_assumptions(lesson: Lesson) -> str:
    return f"I assume that the {lesson.detail} is {lesson.options[0]}. Tell me if I am wrong."


Style = Callable[[Lesson], str]
STYLES: dict[str, Style] = {"questions": as_questions, "assumptions": as_assumptions}


class LoRALinear(nn.Module):
    """y = Wx + (alpha / rank) B A x, with B = 0 at the start (Hu et al. 2021)."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.randn(RANK, base.in_features) / base.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(base.out_features, RANK))

    def forward(self, x: Tensor) -> Tensor:
        base: Tensor = self.base(x)
        return base + (ALPHA / RANK) * (x @ self.a.T @ self.b.T)


def add_lora(model: nn.Module) -> dict[str, LoRALinear]:
    """Freeze the model, wrap the target layers, and return the wrappers by the layer's name."""
    model.requires_grad_(False)
    targets = [name for name, _ in model.named_modules() if name.endswith(TARGETS)]
    layers = {}
    for name in targets:
        parent, _, leaf = name.rpartition(".")
        layers[name] = LoRALinear(model.get_submodule(name))
        setattr(model.get_submodule(parent), leaf, layers[name])
    return layers


def encode(tokenizer: AutoTokenizer, request: str, answer: str) -> tuple[list[int], list[int]]:
    """Token ids and labels; only the answer is learned."""
    turns = [{"role": "user", "content": request}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    after = tokenizer(answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return before + after, [IGNORED] * len(before) + after


def pad(rows: list[list[int]], filler: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def train(base: Path, style: Style) -> dict[str, LoRALinear]:
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    layers = add_lora(model)
    fit(model, layers, [encode(tokenizer, lesson.request, style(lesson)) for lesson in LESSONS])
    return layers


def fit(model: nn.Module, layers: dict[str, LoRALinear], examples: list[tuple[list[int], list[int]]]) -> None:
    weights = [weight for layer in layers.values() for weight in (layer.a, layer.b)]
    optimizer = torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=0.0)
    for step in range(STEPS):
        batch = [examples[(step * BATCH + i) % len(examples)] for i in range(BATCH)]
        # Padding follows the answer and carries no label, so a causal model needs no attention mask.
        ids, labels = pad([ids for ids, _ in batch], 0), pad([labels for _, labels in batch], IGNORED)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 5 == 4:
            print(f"  step {step + 1}/{STEPS}  loss {loss.item():.3f}", flush=True)


def save(layers: dict[str, LoRALinear], base: Path, directory: Path) -> str:
    """Write the two files of a PEFT adapter; returns the digest of their content, 12 hex digits."""
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.name,
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(TARGETS),
    }
    tensors = {}
    for name, layer in layers.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = layer.a.detach().contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = layer.b.detach().contiguous()
    save_file(tensors, directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    content = b"".join(path.read_bytes() for path in sorted(directory.iterdir()))
    return hashlib.sha256(content).hexdigest()[:12]


def make(style: str, base: Path, out: Path) -> Path:
    """The adapter of this style: the one that is there already, else a newly trained one."""
    ready = sorted(out.glob(f"{style}-*/adapter_config.json"))
    if ready:
        return ready[0].parent
    with tempfile.TemporaryDirectory(dir=out, prefix=".building-") as scratch:
        directory = Path(scratch) / "adapter"
        directory.mkdir()
        digest = save(train(base, STYLES[style]), base, directory)
        return Path(shutil.move(directory, out / f"{style}-{digest}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--base", type=Path, default=MODELS / "smollm2-135m-instruct", help="the model")
    parser.add_argument("--out", type=Path, default=MODELS / "adapters", help="where the adapters go")
    arguments = parser.parse_args()
    if not (arguments.base / "config.json").is_file():
        raise SystemExit(f"no model at {arguments.base}: run scripts/make_small_model.py first")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for style in STYLES:
        print(make(style, arguments.base, arguments.out))


if __name__ == "__main__":
    main()
