"""The model of a run: loaded, given its LoRA, saved as vLLM loads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, set_seed

from app.errors import InvalidInput
from app.recipes.arguments import TrainingArguments
from app.recipes.engine import engine_of, in_bfloat16
from app.recipes.weights import adapter_directory, base_of

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def load(arguments: TrainingArguments) -> dict[str, Any]:
    """What a trl trainer takes: model, processing_class and, where the LoRA is yet to be made, peft_config.

    Raises InvalidInput: no such model or adapter.
    """
    base = base_of(arguments.model_name)
    adapter = adapter_directory(arguments.adapter) if arguments.adapter else None
    set_seed(arguments.seed)  # the LoRA is drawn before the trainer sets its seed
    try:
        if engine_of(arguments) == "unsloth":
            return _load_unsloth(arguments, base, adapter)
        return _load_trl(arguments, base, adapter)
    except OSError as fault:
        raise InvalidInput(f"cannot load {arguments.model_name}: {fault}") from fault


def _load_trl(arguments: TrainingArguments, base: str, adapter: Path | None) -> dict[str, Any]:
    tokenizer = AutoTokenizer.from_pretrained(base)
    dtype = torch.bfloat16 if in_bfloat16(arguments) else torch.float32
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, use_safetensors=True)
    if adapter is None:
        return {"model": model, "processing_class": tokenizer, "peft_config": _lora(arguments)}
    return {"model": _put_on(model, adapter), "processing_class": tokenizer}


def _load_unsloth(arguments: TrainingArguments, base: str, adapter: Path | None) -> dict[str, Any]:
    from unsloth import FastLanguageModel

    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=base, max_seq_length=arguments.max_length, load_in_4bit=False, use_exact_model_name=True
    )
    if adapter is not None:
        return {"model": _put_on(model, adapter), "processing_class": tokenizer}
    lora = FastLanguageModel.get_peft_model(
        model,
        r=arguments.rank,
        lora_alpha=arguments.alpha,
        lora_dropout=0.0,
        target_modules=TARGETS,
        bias="none",
        random_state=arguments.seed,
        use_gradient_checkpointing="unsloth" if torch.cuda.is_available() else False,
    )
    return {"model": lora, "processing_class": tokenizer}


def _put_on(model: Any, adapter: Path) -> Any:
    return PeftModel.from_pretrained(model, adapter, is_trainable=True, use_safetensors=True)


def _lora(arguments: TrainingArguments) -> LoraConfig:
    """As vLLM loads it: it refuses DoRA, biases and whole modules beside the LoRA."""
    return LoraConfig(
        r=arguments.rank,
        lora_alpha=arguments.alpha,
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        target_modules=TARGETS,
    )


def save_adapter(model: Any, directory: Path, base_name: str) -> None:
    """adapter_config.json and adapter_model.safetensors; DPO's frozen copy of the adapter stays out."""
    model.save_pretrained(directory, selected_adapters=["default"], safe_serialization=True)
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base_name
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def save_merged(base: str, adapter: Path, directory: Path) -> None:
    """The base with the adapter added in float32, rounded once to 16 bits, with tokenizer and template."""
    stored = getattr(AutoConfig.from_pretrained(base), "dtype", None)
    whole = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, use_safetensors=True)
    merged = PeftModel.from_pretrained(whole, adapter, use_safetensors=True).merge_and_unload()
    merged.to(torch.float16 if stored == torch.float16 else torch.bfloat16)
    merged.save_pretrained(directory, safe_serialization=True)
    AutoTokenizer.from_pretrained(base).save_pretrained(directory)
