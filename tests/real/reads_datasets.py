"""Run by the training interpreter: does TRL take the files as they are? `python reads_datasets.py DIR...`"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from datasets import load_dataset
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from trl.data_utils import is_conversational, maybe_apply_chat_template, unpair_preference_dataset

COLUMNS = {
    "hypotheses": ["prompt", "completion"],
    "persona_updates": ["prompt", "completion"],
    "ranking": ["prompt", "completion"],
    "preferences": ["prompt", "chosen", "rejected"],
    "preferences_kto": ["prompt", "completion", "label"],
}

TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}<assistant>{% endif %}"
TOKENIZER = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.WordLevel({"?": 0}, "?")), chat_template=TEMPLATE
)


def read(path: Path) -> dict[str, object]:
    """What the readers of TRL make of a file."""
    name = path.name.partition(".")[0]
    rows = load_dataset("json", data_files=str(path), split="train")
    applied = [maybe_apply_chat_template(row, TOKENIZER) for row in rows]
    turns = [column for column in COLUMNS[name] if column != "label"]
    found: dict[str, object] = {
        "text": all(isinstance(row[column], str) for row in applied for column in turns),
        "prompt_ends": sorted({row["prompt"].endswith("<assistant>") for row in applied}),
        "rows": len(rows),
        "columns": sorted(rows.column_names),
        "conversational": all(is_conversational(row) for row in rows),
        "roles": sorted({message["role"] for row in rows for name in turns for message in row[name]}),
    }
    if name == "preferences":
        found["unpaired"] = len(unpair_preference_dataset(rows.remove_columns("weight")))
    return found


sys.stdout.write(json.dumps({Path(name).name: read(Path(name)) for name in sys.argv[1:]}) + "\n")
