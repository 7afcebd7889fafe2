from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.clients.slm.base import GenerateHypotheses
from app.clients.slm.parsing import HypothesisReader, facet_changes, hypotheses
from app.clients.slm.prompts import PROMPT_VERSION, recorded
from app.errors import InvalidInput
from app.models import Interaction
from app.services.training import ModelTrainer, TrainingDataCollector
from tests.nouns import a_choice, a_facet, a_feedback, a_selection, an_advance, an_interaction, at

QUESTIONS = ("Which language?", "Which store?", "Which budget?")


def shown(*questions: str) -> list[dict[str, Any]]:
    return [
        {
            "id": f"h{number}",
            "detail": question.removeprefix("Which ").rstrip("?"),
            "question": question,
            "statement": "It is open.",
            "importance": 3,
            "options": ["one", "another"],
        }
        for number, question in enumerate(questions)
    ]


def asked(id: str = "r1", text: str = "build api", *, local: bool = True, **fields: Any) -> Interaction:  # noqa: A002
    """A request with three questions, as rules (no prompt was sent) or a model answered it."""
    prompt = recorded(GenerateHypotheses(text, {"channel": "web"}, count=3))
    if local:
        record = {"backend": "local", "messages": [], "prompt_version": "", "prompt": prompt}
    else:
        record = {"backend": "vllm", "messages": prompt["messages"], "prompt_version": prompt["version"]}
    record["shown"] = {"log_propensity": -0.5}
    made = an_interaction(id, input_text=text, answer={"hypotheses": shown(*QUESTIONS)}, record=record)
    return replace(made, **fields)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def manifest(path: Path) -> dict[str, Any]:
    return dict(orjson.loads((path.parent / "manifest.json").read_bytes()))


def told(row: dict[str, Any], column: str = "completion") -> list[str]:
    """The questions of an answer."""
    return [item["question"] for item in json.loads(row[column][0]["content"])["hypotheses"]]


@pytest.fixture
def collector(tmp_path: Path) -> TrainingDataCollector:
    return TrainingDataCollector(tmp_path)


async def prepare(collector: TrainingDataCollector, **options: Any) -> dict[str, Path]:
    return await ModelTrainer(collector).prepare_training_dataset(**{"eval_share": 0.0, **options})


async def test_without_records_there_are_four_empty_files_and_a_word(
    collector: TrainingDataCollector, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        datasets = await ModelTrainer(collector).prepare_training_dataset()
    assert list(datasets) == ["hypotheses", "persona_updates", "ranking", "preferences"]
    assert all(path.read_bytes() == b"" for path in datasets.values())
    assert (datasets["preferences"].parent / "preferences_kto.jsonl").read_bytes() == b""
    assert "there are no records yet" in caplog.text


@pytest.mark.parametrize("local", [True, False])
async def test_the_picked_question_comes_first_and_the_prompt_is_the_one_of_serving(
    collector: TrainingDataCollector, local: bool
) -> None:
    request = asked(local=local)
    collector.record_hypotheses(request)
    collector.record_selection(request, a_selection(hypothesis_id="h1", option="one"))
    (row,) = rows((await prepare(collector))["hypotheses"])
    assert row["prompt"] == recorded(GenerateHypotheses("build api", {"channel": "web"}, count=3))["messages"]
    assert told(row) == ["Which store?", "Which language?", "Which budget?"]
    assert [message["role"] for message in row["completion"]] == ["assistant"]


async def test_the_answer_is_read_by_the_parser_that_reads_the_model(
    collector: TrainingDataCollector,
) -> None:
    collector.record_selection(asked(), a_selection(hypothesis_id="h2"))
    (row,) = rows((await prepare(collector))["hypotheses"])
    read = hypotheses(row["completion"][0]["content"], HypothesisReader(3, "vllm"))
    assert [one.question for one in read] == ["Which budget?", "Which language?", "Which store?"]
    assert read[0].options == ("one", "another")


async def test_a_record_without_a_prompt_is_asked_plainly(collector: TrainingDataCollector) -> None:
    bare = asked()
    collector.record_selection(replace(bare, record={"backend": "local"}), a_selection(hypothesis_id="h0"))
    (row,) = rows((await prepare(collector))["hypotheses"])
    assert json.loads(row["prompt"][-1]["content"]) == {"count": 3, "request": "build api"}


async def test_what_was_typed_where_none_fitted_is_the_question_that_was_missed(
    collector: TrainingDataCollector,
) -> None:
    typed = a_selection(hypothesis_id=None, option=None, free_text="Which licence does it need?")
    collector.record_selection(asked(), typed)
    datasets = await prepare(collector)
    (row,) = rows(datasets["hypotheses"])
    assert told(row) == ["Which licence does it need?", *QUESTIONS[:2]]
    pairs = rows(datasets["preferences"])
    assert {told(pair, "chosen")[0] for pair in pairs} == {"Which licence does it need?"}
    assert [told(pair, "rejected")[0] for pair in pairs] == [*QUESTIONS]


async def test_pairs_hold_only_what_was_passed_over_and_differ_in_one_question(
    collector: TrainingDataCollector,
) -> None:
    collector.record_selection(asked(), a_selection(hypothesis_id="h1"))
    datasets = await prepare(collector)
    (pair,) = rows(datasets["preferences"])
    assert (told(pair, "chosen"), told(pair, "rejected")) == (["Which store?"], ["Which language?"])
    assert json.loads(pair["prompt"][-1]["content"])["count"] == 1
    kto = rows(datasets["preferences"].parent / "preferences_kto.jsonl")
    labels = {told(row)[0]: row["label"] for row in kto}
    assert labels == {"Which store?": True, "Which language?": False}


async def test_a_first_place_that_was_picked_is_no_pair(collector: TrainingDataCollector) -> None:
    collector.record_selection(asked(), a_selection(hypothesis_id="h0"))
    assert rows((await prepare(collector))["preferences"]) == []


async def test_none_of_these_refuses_all(collector: TrainingDataCollector) -> None:
    collector.record_selection(asked(), a_selection(hypothesis_id=None, option=None))
    datasets = await prepare(collector)
    assert rows(datasets["hypotheses"]) == rows(datasets["preferences"]) == []
    kto = rows(datasets["preferences"].parent / "preferences_kto.jsonl")
    assert {(told(row)[0], row["label"]) for row in kto} == {(question, False) for question in QUESTIONS}


async def test_what_was_taken_back_or_marked_is_in_no_answer(collector: TrainingDataCollector) -> None:
    request = asked()
    collector.record_hypotheses(request)
    collector.record_undo(request, an_advance(hypothesis_id="h0", settled_at=at(3)))
    collector.record_selection(request, a_selection(hypothesis_id="h2"))
    collector.record_feedback(a_feedback(not_useful=("h1",), rating=0.0), request)
    datasets = await prepare(collector)
    (row,) = rows(datasets["hypotheses"])
    assert told(row) == ["Which budget?"]
    assert json.loads(row["prompt"][-1]["content"])["count"] == 1
    assert {told(pair, "rejected")[0] for pair in rows(datasets["preferences"])} == {*QUESTIONS[:2]}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (lambda c: c.record_hypotheses(asked()), "nothing said of it"),
        (
            lambda c: c.record_selection(
                asked(record={"messages": [{"role": "user", "content": "x"}], "prompt_version": "0"}),
                a_selection(hypothesis_id="h0"),
            ),
            "prompt of another version",
        ),
        (
            lambda c: c.record_selection(asked(record={}, round=2), a_selection(hypothesis_id="h0")),
            "no prompt was kept",
        ),
        (
            lambda c: c.record_selection(
                asked(answer={"hypotheses": shown("Which mail, ann@example.com?")}),
                a_selection(hypothesis_id="h0"),
            ),
            "the answer holds what was redacted",
        ),
        (
            lambda c: c.record_selection(asked(), a_selection(hypothesis_id="elsewhere")),
            "picked what was not shown",
        ),
    ],
)
async def test_what_makes_no_row_is_counted_by_its_reason(
    collector: TrainingDataCollector, record: Any, reason: str
) -> None:
    record(collector)
    datasets = await prepare(collector)
    assert rows(datasets["hypotheses"]) == []
    assert manifest(datasets["hypotheses"])["records_dropped"] == {reason: 1}


async def test_an_answer_that_was_rated_badly_is_no_example(collector: TrainingDataCollector) -> None:
    request = asked()
    collector.record_selection(request, a_selection(hypothesis_id="h1"))
    collector.record_feedback(a_feedback(rating=-1.0), request)
    datasets = await prepare(collector)
    assert manifest(datasets["hypotheses"])["records_dropped"] == {"the answer was rated badly": 1}


async def test_a_label_must_be_sure_enough(collector: TrainingDataCollector) -> None:
    collector.record_hypotheses(asked())
    collector.record_feedback(a_feedback(rating=0.4), asked())
    datasets = await prepare(collector)
    assert manifest(datasets["hypotheses"])["records_dropped"] == {"label not sure enough": 1}


async def test_marks_on_what_a_search_found_teach_yes_and_no(collector: TrainingDataCollector) -> None:
    found = [{"id": "m1", "text": "tea"}, {"id": "m2", "text": "rain"}, {"id": "m3", "text": "milk"}]
    search = an_interaction("q1", kind="search", input_text="drinks?", answer={"results": found}, record={})
    collector.record_interaction(search)
    collector.record_feedback(a_feedback(useful=("m1",), not_useful=("m2",), request_id="q1"), search)
    taught = rows((await prepare(collector))["ranking"])
    said = {
        json.loads(row["prompt"][-1]["content"])["text"]: row["completion"][0]["content"] for row in taught
    }
    assert said == {"tea": "yes", "rain": "no"}


async def test_candidates_of_a_ranking_are_known_by_their_index(collector: TrainingDataCollector) -> None:
    ranking = [{"index": 1, "text": "tea", "score": 0.9}, {"index": 0, "text": "rain", "score": 0.1}]
    ranked = an_interaction("q1", kind="rank", input_text="drinks?", answer={"ranking": ranking}, record={})
    collector.record_feedback(a_feedback(useful=("1",), request_id="q1"), ranked)
    (row,) = rows((await prepare(collector))["ranking"])
    assert json.loads(row["prompt"][-1]["content"]) == {"query": "drinks?", "text": "tea"}


async def test_a_facet_is_taught_from_the_choice_behind_it(collector: TrainingDataCollector) -> None:
    request = asked()
    collector.record_selection(request, a_selection(hypothesis_id="h0", option="one"))
    collector.record_choice(a_choice("c1"))
    picked = a_facet("f1", name="language", value="one", evidence=("r1",), confidence=0.6)
    chosen = a_facet("f2", name="a flat", value="in town", evidence=("c1",), confidence=0.6)
    collector.record_persona_update("default", "ann", None, picked, "r1", {"backend": "heuristic"})
    collector.record_persona_update("default", "ann", None, chosen, "c1", {"backend": "heuristic"})
    collector.record_persona_update("default", "ann", None, a_facet("f3", evidence=()), "", {})
    datasets = await prepare(collector)
    taught = [
        (json.loads(row["prompt"][-1]["content"]), facet_changes(row["completion"][0]["content"], "", ()))
        for row in rows(datasets["persona_updates"])
    ]
    said = {
        (asked["request"], asked["selected"], *asked["options"], changes[0].name, changes[0].value)
        for asked, changes in taught
    }
    assert said == {
        ("build api", "one", "one", "another", "language", "one"),
        ("a flat", "in town", "with garden", "in town", "a flat", "in town"),
    }
    assert sum(manifest(datasets["persona_updates"])["records_dropped"].values()) == 1


async def test_only_the_nearest_examples_stay_in_a_prompt(collector: TrainingDataCollector) -> None:
    system, user = recorded(GenerateHypotheses("build api", count=3))["messages"]
    examples = [{"role": role, "content": f"{role} {n}"} for n in (1, 2) for role in ("user", "assistant")]
    record = {"messages": [system, *examples, user], "prompt_version": PROMPT_VERSION}
    collector.record_selection(asked(record=record), a_selection(hypothesis_id="h0"))
    for shots, kept in ((None, examples), (1, examples[2:]), (0, [])):
        (row,) = rows((await prepare(collector, shots=shots))["hypotheses"])
        assert row["prompt"] == [system, *kept, user]


async def test_a_slate_drawn_by_chance_weighs_more_but_not_without_bound(
    collector: TrainingDataCollector,
) -> None:
    for number, chance in enumerate((0.0, -0.7, -9.0)):
        text = f"build {('api', 'house', 'boat')[number]}"
        request = asked(f"r{number}", text)
        request = replace(request, record={**request.record, "shown": {"log_propensity": chance}})
        collector.record_selection(
            request, a_selection(f"r{number}", hypothesis_id="h0", created_at=at(number))
        )
    weights = [row["weight"] for row in rows((await prepare(collector))["hypotheses"])]
    assert weights == [1.0, 2.0138, 4.0]


async def test_torn_and_foreign_lines_are_counted_and_left_out(collector: TrainingDataCollector) -> None:
    collector.record_selection(asked(), a_selection(hypothesis_id="h0"))
    await collector.flush()
    file = collector.directory / "hypotheses_data.jsonl"
    good = file.read_bytes()
    strange = {**orjson.loads(good), "record_id": "x", "request_id": "x", "picked": "[", "shown": "7"}
    file.write_bytes(
        b"\xff\xfe\n[]\n7\n{}\n" + b'{"tenant": {}}\n' + good + orjson.dumps(strange) + b'\n{"torn": "li'
    )
    datasets = await prepare(collector)
    assert len(rows(datasets["hypotheses"])) == 1
    assert manifest(datasets["hypotheses"])["lines_dropped"] == {
        "hypotheses_data.jsonl: not JSON": 2,
        "hypotheses_data.jsonl: not of this form": 5,
    }


async def test_progress_is_told_up_to_the_end(collector: TrainingDataCollector) -> None:
    collector.record_selection(asked(), a_selection(hypothesis_id="h0"))
    heard: list[tuple[str, int, int]] = []
    await prepare(collector, progress=lambda *said: heard.append(said))
    assert ("hypotheses", 0, 1) in heard and ("hypotheses", 1, 1) in heard
    assert heard[-1] == ("writing", 4, 4)


@pytest.mark.parametrize("wrong", [{"tasks": ("../x",)}, {"eval_share": 0.9}])
async def test_wrong_options_are_refused(collector: TrainingDataCollector, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await prepare(collector, **wrong)
    assert not [*collector.directory.rglob("*.jsonl")]


async def test_a_script_lies_beside_the_records_with_its_configuration(
    collector: TrainingDataCollector, tmp_path: Path
) -> None:
    for number in range(20):
        request = asked(
            f"r{number}", f"build {'abcdefghijklmnopqrstuvwxyz'[number] * 3}", created_at=at(number)
        )
        pick = a_selection(request.id, hypothesis_id="h1", created_at=at(number + 0.5))
        collector.record_selection(request, pick)
    trainer = ModelTrainer(collector)
    datasets = await trainer.prepare_training_dataset(eval_share=0.2)
    output = tmp_path / "tuned"
    script = trainer.generate_training_script(
        dataset_path=datasets["hypotheses"],
        model_name="unsloth/Qwen2.5-3B-Instruct",
        output_model_path=output,
        epochs=2.0,
    )
    assert script == collector.directory / "train_model.py"
    compile(script.read_text(), str(script), "exec")
    config = json.loads(script.with_suffix(".json").read_text())
    said = {name: config[name] for name in ("dataset", "model_name", "output", "epochs", "manifest_id")}
    assert said == {
        "dataset": str(datasets["hypotheses"]),
        "model_name": "unsloth/Qwen2.5-3B-Instruct",
        "output": str(output),
        "epochs": 2.0,
        "manifest_id": datasets["hypotheses"].parent.name,
    }
    assert config["eval_dataset"] == str(datasets["hypotheses"].parent / "hypotheses.eval.jsonl")


async def test_pairs_are_trained_on_as_pairs_unless_told_otherwise(
    collector: TrainingDataCollector, tmp_path: Path
) -> None:
    datasets = await prepare(collector)
    beside = datasets["preferences"].parent
    trainer = ModelTrainer(collector)
    for dataset, recipe, method in (
        (datasets["preferences"], None, "dpo"),
        (beside / "preferences_kto.jsonl", None, "kto"),
        (datasets["preferences"], "kto", "kto"),
    ):
        script = trainer.generate_training_script(dataset, "m", tmp_path / "out", recipe)
        assert json.loads(script.with_suffix(".json").read_text())["method"] == method


HOSTILE = ['"); import os #', "a\nb", "$(touch x)", "../../x", "'''", "\\", "é\u2028"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_model_name_is_data(
    collector: TrainingDataCollector, tmp_path: Path, name: str
) -> None:
    datasets = await prepare(collector)
    trainer = ModelTrainer(collector)
    plain = trainer.generate_training_script(datasets["hypotheses"], "m", tmp_path / "out").read_bytes()
    script = trainer.generate_training_script(datasets["hypotheses"], name, tmp_path / "out")
    assert script.read_bytes() == plain
    assert json.loads(script.with_suffix(".json").read_text())["model_name"] == name


async def test_no_script_is_written_over_a_model_nor_for_rows_that_are_not_there(
    collector: TrainingDataCollector, tmp_path: Path
) -> None:
    datasets = await prepare(collector)
    trainer = ModelTrainer(collector)
    full = tmp_path / "full"
    full.mkdir()
    (full / "model.safetensors").touch()
    with pytest.raises(InvalidInput, match="full"):
        trainer.generate_training_script(datasets["hypotheses"], "m", full)
    with pytest.raises(InvalidInput, match="prepare_training_dataset"):
        trainer.generate_training_script(tmp_path / "none.jsonl", "m", tmp_path / "out")
    with pytest.raises(InvalidInput, match="unheard"):
        trainer.generate_training_script(datasets["hypotheses"], "m", tmp_path / "out", unheard=1)
    assert not (collector.directory / "train_model.py").exists()
