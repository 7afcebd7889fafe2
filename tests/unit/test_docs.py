"""What README and guides say is so: commands, flags, settings, defaults, links."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.cli import cli
from app.config import Settings
from app.main import create_app
from app.recipes.arguments import SftArguments
from tests.api.conftest import running, settings_in
from tests.documents import PAGES, ROOT, Command, blocks, commands, table, text_of
from tests.fake_vllm import FakeVLLM

COMMANDS = [command for page in PAGES for command in commands(page)]
SETTINGS = {name.upper(): field.default for name, field in Settings.model_fields.items()}
NOT_OURS = {"VLLM_SKIP_MODEL_NAME_VALIDATION", "REQUEST_ID"}
"""vLLM's own, and a placeholder of a curl."""
ADAPTER = "assumptions-7c83e32064a8"


@cache
def help_of(script: str) -> str:
    """What a script says of itself; the source of one that needs torch to start."""
    if script.startswith("scripts/make_small_"):
        return (ROOT / script).read_text()
    command = [sys.executable, script] if script.endswith(".py") else [f"./{script}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, "--help"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_exists_with_its_flags(command: Command) -> None:
    program, *rest = command.words
    if program.endswith("/python"):
        program, *rest = rest
    if program == "make":
        assert set(rest) <= make_targets()
    elif program.startswith("scripts/"):
        assert os.access(ROOT / program, os.X_OK) or program.endswith(".py")
        assert {*command.flags} <= {"--help", *re.findall(r"--[a-z][a-z-]+", help_of(program))}
    elif program.endswith("/train_model.py"):
        assert {*command.flags} <= {"--help", *(f"--{one.name}" for one in fields(SftArguments))}
    else:
        assert shutil.which(program) or program == "curl"


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_what_a_command_sets_is_read_by_someone(command: Command, tmp_path: Path) -> None:
    settings_in(tmp_path, **{name.lower(): value for name, value in command.environment if name in SETTINGS})
    scripts = "".join(path.read_text() for path in (ROOT / "scripts").glob("*.sh"))
    for name, _ in command.environment:
        assert name in SETTINGS or name in scripts


@pytest.mark.parametrize("page", PAGES)
def test_settings_named_exist(page: str) -> None:
    """A name is one of ours if it begins as one of ours does."""
    scripts = "".join(path.read_text() for path in (ROOT / "scripts").glob("*.sh"))
    beginnings = {name.partition("_")[0] for name in SETTINGS}
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", text_of(page)))
    ours = {name for name in named - NOT_OURS if name.partition("_")[0] in beginnings}
    assert not {name for name in ours - SETTINGS.keys() if name not in scripts}


def shown_default(name: str) -> str:
    default = SETTINGS[name]
    text = "" if default in (None, ()) else str(default)
    return text.lower() if isinstance(default, bool) else text


@pytest.mark.parametrize("page", PAGES)
def test_defaults_in_tables_and_brackets_are_the_settings(page: str) -> None:
    told = [(name, default) for name, default, *_ in table(page, "setting", "default")]
    told += [
        (name, value)
        for name, value in re.findall(r"\(([A-Z_]+), ([0-9.]+)\)", text_of(page))
        if name in SETTINGS
    ]
    assert told == [(name, shown_default(name)) for name, _ in told]
    assert told or page not in {"README.md", "VLLM_GUIDE.md"}


def test_defaults_in_the_table_of_flags_are_the_scripts() -> None:
    given = subprocess.run(
        ["scripts/start_vllm.sh", "some/model", "--dry-run"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "VLLM_TARGET_DEVICE": "cuda"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    rows = table("VLLM_GUIDE.md", "flag", "script's default")
    assert len(rows) > 10
    for flag, default, *_ in rows:
        plain = re.match(r"[0-9.]+|auto|on$", default)
        if plain is None:
            assert flag not in given, flag
        elif plain[0] == "on":
            assert flag in given
        else:
            assert given[given.index(flag) + 1] == plain[0], flag


@pytest.mark.parametrize("page", PAGES)
def test_links_and_files_named_are_there(page: str) -> None:
    text = text_of(page)
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    files = re.findall(r"\b(?:app|scripts|tests|docs|data/playbook)/[\w./-]+\.(?:py|sh|md|jsonl)\b", text)
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing + [file for file in files if not (ROOT / file).exists()]


def tree_of_the_readme() -> list[str]:
    (tree,) = (body for body in blocks("README.md", "") if "main.py" in body)
    return tree.splitlines()


def test_the_tree_shows_what_is_there() -> None:
    parents: list[str] = []
    for line in tree_of_the_readme():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.findall(r"(?<!\S)[\w-]+(?:/[\w-]+)*(?:/|\.py)(?!\S)", line)
        for name in names:
            assert (ROOT / "/".join(parents[:depth]) / name).exists(), line
        parents[depth:] = [names[0].rstrip("/")] if names else []


def test_the_commands_named_are_commands() -> None:
    (named,) = re.findall(r"embed-service ((?:\w+ \| )+\w+)", text_of("README.md"))
    registered = {
        command.name or command.callback.__name__ for command in cli.registered_commands if command.callback
    }
    groups = {group.name for group in cli.registered_groups}
    assert set(named.split(" | ")) <= registered | groups


def test_calls_named_are_calls_of_the_service(tmp_path: Path) -> None:
    paths = create_app(settings_in(tmp_path)).openapi()["paths"]
    named = " ".join(row[0] for row in table("README.md", "call", "does"))
    calls = re.findall(r"((?:[A-Z]+(?:, |(?= )))*) ?(/[a-z/{}_0-9]+)", named)
    assert len(calls) > 15
    methods: list[str] = []
    for spelt, path in calls:
        methods = re.findall("[A-Z]+", spelt) or methods
        assert {method.lower() for method in methods} <= paths[path].keys(), path


def curls(port: int) -> list[Command]:
    return [c for c in COMMANDS if c.words[0] == "curl" and f":{port}/" in " ".join(c.words)]


def keys_of(value: Any) -> Any:
    """The form of a JSON value, as far as it is spelt out."""
    if isinstance(value, dict):
        return {key: keys_of(item) for key, item in value.items() if key != "..."}
    return [keys_of(item) for item in value] if isinstance(value, list) else None


def holds(whole: Any, part: Any) -> bool:
    """Whether everything that `part` spells out is in `whole`."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and holds(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and all(map(holds, whole, part)) and len(part) <= len(whole)
    return True


async def test_the_readme_answers_are_the_service_s(tmp_path: Path) -> None:
    first, second = curls(8080)
    answer, learned = map(json.loads, blocks("README.md", "jsonc"))
    async with running(settings_in(tmp_path, playbook="shipped")) as client:
        body = (await client.post(_path(first), json=json.loads(first.after("-d")))).json()
        asked = [h["question"] for h in answer["hypotheses"]]
        assert [h["question"] for h in body["hypotheses"]] == asked
        assert [h["options"] for h in body["hypotheses"]] == [h["options"] for h in answer["hypotheses"]]
        assert holds(keys_of(body), keys_of(answer))
        picked = json.loads(second.after("-d"))
        hypothesis = next(h for h in body["hypotheses"] if picked["option"] in h["options"])
        picked |= {"request_id": body["request_id"], "hypothesis_id": hypothesis["id"]}
        after = (await client.post(_path(second), json=picked)).json()
        assert holds(keys_of(after), keys_of(learned))
        assert after["resolved_request"] == learned["resolved_request"]
        again = (await client.post(_path(first), json=json.loads(first.after("-d")))).json()
    assert hypothesis["question"] not in [h["question"] for h in again["hypotheses"]]


async def test_the_guide_s_calls_are_calls_of_vllm() -> None:
    fake = FakeVLLM(adapters={ADAPTER: "/adapters/one"})
    transport = httpx.ASGITransport(app=fake)
    async with httpx.AsyncClient(transport=transport, base_url="http://vllm") as client:
        for command in curls(8000):
            body = json.loads(command.after("-d")) | {"max_tokens": 1}  # the fake writes no prose
            answer = await client.post(_path(command), json=body)
            assert answer.status_code == 200, answer.text
    assert len(fake.requests) == 2


def _path(curl: Command) -> str:
    url = next(word for word in curl.words if "localhost" in word or "127.0.0.1" in word)
    return urlsplit(url if "//" in url else f"http://{url}").path
