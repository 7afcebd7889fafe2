"""VLLMClient and TrainingDataCollector against a running vLLM, one step after the other.

.venv/bin/python scripts/example_vllm_usage.py
.venv/bin/python scripts/example_vllm_usage.py --model smollm2-135m-instruct --lora NAME
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import uuid
from contextlib import aclosing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from app.clients.slm.base import Call, Completion, GenerateHypotheses
from app.clients.slm.sampling import Sampling, SamplingTable
from app.clients.slm.vllm import VLLMClient
from app.errors import BackendError, UnknownAdapter
from app.models import Hypothesis, Interaction, Selection
from app.services.training import TrainingDataCollector

REQUEST = "build api"
CONTEXT = {"role": "backend developer", "team size": "two"}
NOTES = (
    "Ada wants an API for the orders of her shop. She writes Python and has used FastAPI before. "
    "The shop sells tea, about forty orders a day. A partner will read the orders every night."
)
LIKELIEST: SamplingTable = {GenerateHypotheses: Sampling(temperature=0.0, top_p=1.0, max_tokens=400)}
BIG, SMALL = "unsloth/Qwen2.5-3B-Instruct", "smollm2-135m-instruct"


async def ask(client: VLLMClient, seconds: float) -> Completion[list[Hypothesis]]:
    """Hypotheses by `run`: the completion also says who answered, from which prompt."""
    call = Call(request_id=uuid.uuid4().hex, deadline=time.monotonic() + seconds)
    done = await client.run(GenerateHypotheses(REQUEST, CONTEXT, count=2), call)
    print(f"\nHypotheses for {REQUEST!r} by {done.adapter or done.model}:")
    for hypothesis in done.value:
        print(f"  {hypothesis.question} {list(hypothesis.options)}")
    return done


async def other_tasks(client: VLLMClient) -> None:
    """The other calls, one line each; each has 30 seconds."""
    enriched = await client.enrich_context(REQUEST, CONTEXT)
    print("\nEnrichment:", json.dumps(enriched, indent=2), sep="\n")
    questions = await client.generate_followup_questions(
        {"request": REQUEST, **CONTEXT}, {"language": "Python"}
    )
    print("\nFollow-up questions:", *(f"  {question}" for question in questions), sep="\n")
    print("\nSummary:", f"  {await client.summarize(NOTES, max_tokens=40)}", sep="\n")


async def collect(completion: Completion[list[Hypothesis]], directory: Path) -> None:
    """What was shown, and that the first option was picked, as two lines for training."""
    shown = an_interaction(completion)
    first = completion.value[0]
    option = first.options[0] if first.options else None
    typed = None if option else "whatever suits"
    now = datetime.now(UTC)
    picked = Selection(shown.id, shown.tenant, shown.user_id, first.id, option, typed, now)
    async with TrainingDataCollector(directory, min_confidence=0.7) as collector:
        collector.record_interaction(shown)
        collector.record_selection(shown, picked)
    written = directory / "hypotheses_data.jsonl"
    print(f"\nThe last line of {written}:", written.read_text(encoding="utf-8").splitlines()[-1], sep="\n")


def an_interaction(completion: Completion[list[Hypothesis]]) -> Interaction:
    """The answer as the service would keep it."""
    return Interaction(
        id=uuid.uuid4().hex,
        tenant="default",
        user_id="ada",
        kind="hypothesize",
        session_id=uuid.uuid4().hex,
        round=1,
        created_at=datetime.now(UTC),
        input_text=REQUEST,
        answer={"hypotheses": [asdict(hypothesis) for hypothesis in completion.value]},
        record={
            "messages": completion.messages,
            "prompt_version": completion.prompt_version,
            "backend": completion.producer,
            "model": completion.model,
            "adapter": completion.adapter,
        },
    )


async def show(client: VLLMClient, lora: str | None, seconds: float, directory: Path) -> None:
    """Every step; raises BackendError, UnknownAdapter."""
    completion = await ask(client, seconds)
    if lora is not None:
        completion = await ask(client.with_lora(lora), seconds)
    await other_tasks(client)
    await collect(completion, directory)


async def run(options: argparse.Namespace) -> None:
    """Look whether the model is served, then show; raises SystemExit with one line where that fails."""
    client = VLLMClient(options.base_url, options.model, timeout=options.timeout, sampling=LIKELIEST)
    async with aclosing(client):
        health = await client.ping()
        if not health.ok:
            served = f"Name one of {options.base_url}/models with --model."
            sys.exit(f"{health.detail} {served if health.version else what_to_start(options.base_url)}")
        print(
            f"vLLM {health.version} serves {health.model}; adapters: {', '.join(health.adapters) or 'none'}"
        )
        try:
            with tempfile.TemporaryDirectory() as scratch:
                directory = options.directory or Path(scratch)
                await show(client, options.lora, options.timeout, directory)
        except (BackendError, UnknownAdapter) as error:
            sys.exit(f"{error.title}: {error.detail}")


def what_to_start(base_url: str) -> str:
    """The commands that bring up a server at this address."""
    port = urlsplit(base_url).port or 8000
    gpu = f"scripts/setup_vllm.sh && scripts/start_vllm.sh {BIG} --port {port}"
    cpu = "scripts/setup_vllm.sh --cpu --small-model && "
    cpu += f"scripts/start_vllm.sh local-models/{SMALL} --port {port}"
    return f"Start it: {gpu} (without a GPU: {cpu}, and here --model {SMALL})."


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--base-url", default="http://localhost:8000/v1", help="vLLM's address, /v1 included")
    add("--model", default=BIG, help=f"the base model it serves (default: {BIG})")
    add("--lora", help="an adapter it serves, asked beside the base model")
    add("--directory", type=Path, help="where the JSONL files go (default: a temporary directory)")
    add("--timeout", type=float, default=120.0, help="seconds for the hypotheses of one model (default: 120)")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(run(parse_arguments()))
