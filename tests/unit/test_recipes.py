"""Recipes as far as they go without torch: what they are told, what they refuse, what is written."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.recipes.arguments import EvaluateArguments, PreferenceArguments, SftArguments, parse
from app.recipes.output import Workplace, check_free
from app.recipes.render import PARTS, Recipe, render
from app.recipes.rows import read_answers, read_held_out, read_rows
from app.recipes.weights import adapter_directory, base_of

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = 'a"; import os #\n$(touch x) `id` \'"""\\'


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


ROW = {"prompt": [turn("user", "build api")], "completion": [turn("assistant", "Which language?")]}


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Of a run that has all it needs but torch."""
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    return {
        "dataset": str(tmp_path / "rows.jsonl"),
        "model_name": str(tmp_path / "base"),
        "output": str(tmp_path / "out"),
    }


def adapter_at(path: Path, **changes: object) -> Path:
    path.mkdir()
    (path / "adapter_model.safetensors").write_bytes(b"")
    (path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8, **changes}))
    return path


class TestArguments:
    def test_what_is_not_said_has_its_default(self, config: dict[str, Any]) -> None:
        assert parse(SftArguments, config).rank == 16
        assert parse(PreferenceArguments, config).method == "dpo"

    @pytest.mark.parametrize(
        ("name", "value", "word"),
        [
            ("rank", 12, "one of"),
            ("rank", True, "int"),
            ("rank", "16", "int"),
            ("epochs", float("nan"), "must be"),
            ("learning_rate", 2.0, "0 to 1"),
            ("engine", "keras", "unsloth"),
            ("dataset", "", "empty"),
            ("dataset", "a\0b", "NUL"),
            ("dataset", None, "str"),
            ("eval_split", 0.6, "0.5"),
            ("max_seq_length", 5, "unknown max_seq_length"),
        ],
    )
    def test_a_bad_value_is_named(self, config: dict[str, Any], name: str, value: object, word: str) -> None:
        with pytest.raises(InvalidInput, match=word):
            parse(SftArguments, {**config, name: value})

    def test_what_is_missing_is_named(self) -> None:
        with pytest.raises(InvalidInput, match="dataset, model_name, output"):
            parse(SftArguments, {})

    def test_a_whole_number_does_for_a_share_of_one(self, config: dict[str, Any]) -> None:
        assert parse(SftArguments, {**config, "epochs": 2}).epochs == 2.0

    def test_a_list_is_checked_entry_by_entry(self) -> None:
        said = {"model_name": "m", "output": "o", "datasets": ["a"]}
        assert parse(EvaluateArguments, {**said, "adapters": [None, "x"]}).adapters == (None, "x")
        for wrong in ([], "a", [3]):
            with pytest.raises(InvalidInput, match="datasets"):
                parse(EvaluateArguments, {**said, "datasets": wrong})


class TestRender:
    @pytest.mark.parametrize("recipe", ["sft", "preference"])
    def test_the_script_is_the_recipe_and_the_configuration_is_beside_it(
        self, config: dict[str, Any], tmp_path: Path, recipe: Recipe
    ) -> None:
        script = render(recipe, config, tmp_path / "job" / "train_model.py")
        assert script.read_bytes() == (ROOT / "app" / "recipes" / f"{recipe}.py").read_bytes()
        written = json.loads(script.with_suffix(".json").read_text())
        assert {name: written[name] for name in config} == config

    @settings(deadline=None, max_examples=30)
    @given(name=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
    def test_any_model_name_is_data(self, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
        if not name.strip():
            return
        tmp_path = tmp_path_factory.mktemp("job")
        said = {"dataset": "d", "output": str(tmp_path / "o"), "model_name": name}
        script = render("sft", said, tmp_path / "t.py")
        model_name = json.loads(script.with_suffix(".json").read_text())["model_name"]
        assert model_name == name or Path(name).is_dir()
        assert script.read_bytes() == (ROOT / "app" / "recipes" / "sft.py").read_bytes()

    def test_relative_paths_mean_the_callers_directory(self, tmp_path: Path) -> None:
        said = {"dataset": "d.jsonl", "output": "nowhere/o", "model_name": HOSTILE}
        written = json.loads(render("sft", said, tmp_path / "t.py").with_suffix(".json").read_text())
        assert written["dataset"] == str(Path.cwd() / "d.jsonl")
        assert written["model_name"] == HOSTILE

    def test_a_taken_output_is_refused_and_nothing_is_written(
        self, config: dict[str, Any], tmp_path: Path
    ) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "weights").touch()
        with pytest.raises(InvalidInput, match="not empty"):
            render("sft", config, tmp_path / "job" / "t.py")
        assert not (tmp_path / "job").exists()

    @pytest.mark.parametrize("name", ["torch.py", "app.py", "json.py", "train.sh"])
    def test_a_name_that_would_hide_a_module_is_refused(
        self, config: dict[str, Any], tmp_path: Path, name: str
    ) -> None:
        with pytest.raises(InvalidInput, match="module"):
            render("sft", config, tmp_path / name)

    def test_a_link_is_replaced_and_what_it_points_to_stays(
        self, config: dict[str, Any], tmp_path: Path
    ) -> None:
        precious = tmp_path / "precious"
        precious.write_text("mine")
        (tmp_path / "t.py").symlink_to(precious)
        render("sft", config, tmp_path / "t.py")
        assert precious.read_text() == "mine"
        assert not (tmp_path / "t.py").is_symlink()

    def test_the_parts_are_all_that_the_recipes_import_from_here(self) -> None:
        found: set[str] = set()
        todo = [f"app/recipes/{recipe}.py" for recipe in ("sft", "preference", "evaluate")]
        while todo:
            for node in ast.walk(ast.parse((ROOT / todo.pop()).read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("app"):
                    names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
                    paths = {name.replace(".", "/") + ".py" for name in names}
                    fresh = {path for path in paths if (ROOT / path).is_file()} - found
                    found |= fresh
                    todo += fresh
        assert found | {"app/__init__.py", "app/recipes/__init__.py"} == set(PARTS)


class TestPlaces:
    def test_an_output_must_be_absent_or_an_empty_directory(self, tmp_path: Path) -> None:
        check_free(tmp_path)
        check_free(tmp_path / "absent")
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        for taken in (tmp_path, tmp_path / "file", tmp_path / "link"):
            with pytest.raises(InvalidInput):
                check_free(taken)

    def test_only_a_complete_checkpoint_is_gone_on_from(self, config: dict[str, Any], tmp_path: Path) -> None:
        work = Workplace(parse(SftArguments, config))
        work.open(parse(SftArguments, config))
        for step, state in ((2, '{"global_step": 2}'), (4, '{"global'), (6, None)):
            place = tmp_path / "out.partial" / f"checkpoint-{step}"
            place.mkdir()
            if state:
                (place / "trainer_state.json").write_text(state)
        resumed = Workplace(parse(SftArguments, {**config, "resume": True}))
        assert resumed.checkpoint == tmp_path / "out.partial" / "checkpoint-2"
        with pytest.raises(InvalidInput, match="say resume"):
            Workplace(parse(SftArguments, config))
        with pytest.raises(InvalidInput, match="other rank"):
            Workplace(parse(SftArguments, {**config, "resume": True, "rank": 8}))
        (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) * 2)
        with pytest.raises(InvalidInput, match="other dataset_sha256"):
            Workplace(parse(SftArguments, {**config, "resume": True}))

    def test_a_finished_run_leaves_its_result_alone(self, config: dict[str, Any], tmp_path: Path) -> None:
        work = Workplace(parse(SftArguments, config))
        work.open(parse(SftArguments, config))
        (work.partial / "adapter_config.json").touch()
        (work.partial / "checkpoint-1").mkdir()
        work.finish()
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["adapter_config.json"]
        assert not work.partial.exists()

    def test_a_model_is_told_from_an_adapter(self, config: dict[str, Any], tmp_path: Path) -> None:
        adapter = adapter_at(tmp_path / "adapter")
        assert base_of(config["model_name"]) == config["model_name"]
        assert base_of("unsloth/Qwen2.5-3B-Instruct") == "unsloth/Qwen2.5-3B-Instruct"
        assert adapter_directory(str(adapter)) == adapter
        for wrong, word in (
            (str(adapter), "is a LoRA adapter"),
            (str(tmp_path), "no config"),
            ("./x", "no model"),
        ):
            with pytest.raises(InvalidInput, match=word):
                base_of(wrong)

    def test_an_adapter_that_vllm_would_refuse_or_that_is_a_pickle_is_refused(self, tmp_path: Path) -> None:
        pickled = adapter_at(tmp_path / "pickled")
        (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
        dora = adapter_at(tmp_path / "dora", use_dora=True)
        odd = adapter_at(tmp_path / "odd", r=12)
        other = adapter_at(tmp_path / "other", peft_type="IA3")
        for wrong in (pickled, dora, odd, other):
            with pytest.raises(InvalidInput):
                adapter_directory(str(wrong))


class TestRows:
    def test_a_chat_is_cut_before_its_last_answer(self, tmp_path: Path) -> None:
        turns = [turn("system", "s"), turn("user", "u"), turn("assistant", "a")]
        (tmp_path / "chat.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
        answer = {"prompt": turns[:2], "completion": turns[2:], "weight": 1.0}
        assert read_answers(tmp_path / "chat.jsonl") == [answer]

    def test_a_chat_without_an_answer_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "chat.jsonl").write_text(json.dumps({"messages": [turn("user", "u")]}))
        with pytest.raises(InvalidInput, match="row 1"):
            read_answers(tmp_path / "chat.jsonl")

    @pytest.mark.parametrize(
        "content", ["", "\n\n", "no json", "[1]", '{"prompt": []}', "\ud800".encode("utf-8", "surrogatepass")]
    )
    def test_what_is_no_dataset_is_refused(self, tmp_path: Path, content: str | bytes) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InvalidInput):
            read_rows(path, ("prompt", "chosen", "rejected"))

    def test_held_out_rows_keep_what_else_they_say_and_pass_over_bad_answers(self, tmp_path: Path) -> None:
        good, bad = {**ROW, "label": True, "user": "u1"}, {**ROW, "label": False}
        (tmp_path / "kto.jsonl").write_text(json.dumps(bad) + "\n" + json.dumps(good) + "\n")
        assert read_held_out(tmp_path / "kto.jsonl", 0) == [{**good, "chosen": ROW["completion"]}]


class TestLaunch:
    """The rendered script in another Python process, as a user starts it; torch is not installed here."""

    def said(self, script: Path, *words: str) -> subprocess.CompletedProcess[str]:
        # -S: no site-packages, so that `app` can only be what was copied beside the script.
        command = [sys.executable, "-S", str(script), *words]
        bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=script.parent, env=bare, check=False
        )

    @pytest.fixture
    def script(self, config: dict[str, Any], tmp_path: Path) -> Path:
        return render("sft", config, tmp_path / "job" / "train_model.py")

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            (["--dataset", "absent.jsonl"], "cannot read the dataset absent.jsonl"),
            (["--model_name", HOSTILE], "not installed here"),
            (["--model_name", "./absent"], "no model directory"),
            (["--rank", "12"], "rank must be one of"),
            (["--rank", "many"], "invalid int value"),
            (["--adapter", "absent"], "absent has no adapter_model"),
            (["absent.json"], "cannot read the configuration"),
        ],
    )
    def test_bad_input_is_one_line_and_status_2(self, script: Path, words: list[str], reason: str) -> None:
        done = self.said(script, *words)
        assert done.returncode == 2
        assert reason in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr

    def test_help_says_each_argument(self, script: Path) -> None:
        done = self.said(script, "--help")
        assert done.returncode == 0
        assert all(f"--{name}" in done.stdout for name in ("dataset", "rank", "resume", "save", "engine"))
