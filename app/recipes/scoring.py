"""Log-probabilities and greedy answers of a model with an adapter on or off."""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from app.errors import InvalidInput
from app.recipes.arguments import EvaluateArguments
from app.recipes.rows import Row, ids_of
from app.recipes.weights import adapter_directory, base_of


class Scorer:
    """One model on this machine's GPU or CPU."""

    def __init__(self, arguments: EvaluateArguments) -> None:
        """Raises InvalidInput: no such model or adapter."""
        if arguments.threads:
            torch.set_num_threads(arguments.threads)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._dtype = getattr(torch, arguments.dtype)
        self._base = base_of(arguments.model_name)
        self._max_tokens = arguments.max_tokens
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(self._base)
            self.put_on(None)
        except OSError as fault:
            raise InvalidInput(f"cannot load {arguments.model_name}: {fault}") from fault

    def put_on(self, adapter: str | None) -> None:
        """Load the base afresh: an adapter that was taken off leaves no trace. None: the base alone."""
        model = AutoModelForCausalLM.from_pretrained(self._base, dtype=self._dtype, use_safetensors=True)
        if adapter is not None:
            model = PeftModel.from_pretrained(model, adapter_directory(adapter), use_safetensors=True)
        self._model = model.to(self._device).eval()

    def score(self, row: Row) -> dict[str, Any]:
        """Of the picked answer tokens, logprob (their sum, nats) and nll (mean); margin over a rejected."""
        picked, tokens = self._logprob(row["prompt"], row["chosen"])
        found = {"tokens": tokens, "logprob": picked, "nll": -picked / tokens}
        if row.get("rejected"):
            rejected, _ = self._logprob(row["prompt"], row["rejected"])
            found |= {"rejected_logprob": rejected, "margin": picked - rejected}
        return found

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _logprob(self, prompt: Any, answer: Any) -> tuple[float, int]:
        before, after = ids_of(prompt, answer, self._tokenizer)
        ids = torch.tensor([before + after], device=self._device)
        logits = self._model(input_ids=ids, logits_to_keep=len(after) + 1).logits[0, :-1]
        logprobs = logits.float().log_softmax(-1)
        picked = logprobs.gather(-1, ids[0, -len(after) :, None])
        return float(picked.sum()), len(after)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def go_on(self, prompt: Any) -> dict[str, Any]:
        """prompt_ids, then token_ids with their logprobs (one each) and the text they spell."""
        before, _ = ids_of(prompt, None, self._tokenizer)
        ids = torch.tensor([before], device=self._device)
        said = self._model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=self._max_tokens,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        tokens = said.sequences[0, len(before) :].tolist()
        ends = self._model.generation_config.eos_token_id
        if tokens and tokens[-1] in (ends if isinstance(ends, list) else [ends]):
            tokens.pop()
        logprobs = [
            float(step[0].float().log_softmax(-1)[token])
            for step, token in zip(said.logits, tokens, strict=False)
        ]
        text = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return {"prompt_ids": before, "token_ids": tokens, "logprobs": logprobs, "text": text}
