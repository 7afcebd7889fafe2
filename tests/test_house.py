"""The rules of the house, as data: who may import whom, how long a file may be, what must agree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config import Settings
from scripts import write_env_example

ROOT = Path(__file__).resolve().parent.parent
APP = ROOT / "app"
FLOORS = [
    {"app.main", "app.cli", "app.commands"},
    {"app.api", "app.wiring", "app.wiring_adapters", "app.wiring_clients", "app.wiring_training"},
    {"app.services"},
    {"app.clients", "app.storage", "app.recipes"},
    {"app.models", "app.text", "app.tokens"},
    {"app.errors", "app.metrics", "app.config", "app"},
]
CONDUCTORS = {
    "bundle",
    "canaries",
    "candidates",
    "dependencies",
    "hypothesizer",
    "learner",
    "playbook_edits",
    "privacy",
    "promotion",
    "recall",
    "trials",
}
"""They bring services together; nobody but another conductor imports one."""
SOLOISTS = {"adapters", "memories", "ordering", "persona", "playbook", "ranking", "reconciler"}
"""Services that only conductors import."""
PARTS = {
    "adapter_files": {"adapter_facts"},
    "adapters": {"adapter_files"},
    "advances": {"advance", "arranging"},
    "answers": {"context", "shown"},
    "arms": {"experiments"},
    "arranging": {"advance", "habits", "learned_choices", "preference_order", "showing", "shown"},
    "calibration": {"beta_curve", "reliability"},
    "common_words": {"lessons"},
    "evidence": {"advances", "facets"},
    "exam": {"gates"},
    "experiments": {"guards", "outcomes", "sequential"},
    "facet_reading": {"facets"},
    "guards": {"outcomes", "sequential"},
    "index_cache": {"memory_index"},
    "learned": {"habits", "learned_choices", "learned_playbook", "lessons"},
    "learned_choices": {"advance", "asked_before", "habits", "ledger", "preference_order", "shown"},
    "learned_playbook": {"common_words", "lessons", "shelf"},
    "ledger": {"calibration", "reliability"},
    "lessons": {"training"},  # what leaves a user's scope is redacted as the training files are
    "memory_index": {"lexical"},
    "outcomes": {"sequential"},
    "persona": {"facet_reading", "facets", "feedback", "likeness", "locks", "persona_fold", "preference"},
    "persona_fold": {"evidence", "facet_reading", "facets", "likeness"},
    "preference": {"contrast", "likeness"},
    "ranking": {"index_cache", "memory_index"},
    "reconciler": {"adapter_facts", "keeper"},
    "shown": {"calibration", "preference_order"},
    "training": {"exam", "gates"},  # the model's part of an examination is done where training is done
}
"""The files that a service is cut into, by who imports them: an import that is not listed is a decision."""
HEAVY = {"torch", "vllm", "trl", "unsloth", "peft", "transformers", "datasets", "flwr"}
MODULES = sorted(APP.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Every module imported anywhere in the file, typing imports and late ones included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                is_module = (ROOT / (below.replace(".", "/") + ".py")).exists()
                yield below if is_module else node.module


def floor_of(module: str) -> int:
    found = [level for level, rooms in enumerate(FLOORS) for room in rooms if within(module, room)]
    return min(found, default=len(FLOORS))


def within(module: str, room: str) -> bool:
    return module == room or (room != "app" and module.startswith(room + "."))


OURS = [
    (name_of(path), imported)
    for path in MODULES
    for imported in imports_of(path)
    if within(imported, "app") or imported.startswith("app.")
]


@pytest.mark.parametrize(("importer", "imported"), OURS)
def test_imports_run_downward(importer: str, imported: str) -> None:
    assert floor_of(importer) <= floor_of(imported), f"{importer} must not import {imported}"


def test_only_the_doors_and_wiring_read_settings() -> None:
    readers = {importer for importer, imported in OURS if imported == "app.config"}
    doors = {"app.main", "app.cli", "app.commands.train", "app.commands.worker"}
    rooms = {"app.wiring", "app.wiring_adapters", "app.wiring_clients", "app.wiring_training"}
    assert readers <= doors | rooms


WORDING = {
    ("app.services.training.serving", f"app.clients.slm.{room}")
    for room in (
        "schemas",
        "decisions",
        "prompts",
        "quoting",
        "rules.asked_for",
        "rules.language",
        "rules.wording",
    )
}
"""What is trained on is what is served, to the letter: one file reads how a model is asked and answers."""


def test_services_see_seams_and_not_what_is_behind_them() -> None:
    seen = {
        (importer, imported)
        for importer, imported in OURS
        if importer.startswith("app.services") and imported.startswith(("app.clients.", "app.storage."))
    }
    assert {pair for pair in seen if not pair[1].endswith(".base")} == WORDING


def rooms_imported() -> dict[str, set[str]]:
    """Of each room of app/services (a file, or the folder training) the other rooms it imports."""
    found: dict[str, set[str]] = {}
    for importer, imported in OURS:
        if importer.startswith("app.services.") and imported.startswith("app.services."):
            room, other = importer.split(".")[2], imported.split(".")[2]
            if room != other:
                found.setdefault(room, set()).add(other)
    return found


def test_only_conductors_bring_services_together() -> None:
    alone = {room: others for room, others in rooms_imported().items() if room not in CONDUCTORS}
    strangers = {room: others - PARTS.get(room, set()) for room, others in alone.items()}
    assert not {room: others for room, others in strangers.items() if others}, "let a conductor bring them"


def test_every_part_is_used() -> None:
    found = rooms_imported()
    idle = {room: parts - found[room] for room, parts in PARTS.items() if room in found}
    assert not {room: parts for room, parts in idle.items() if parts}


def test_soloists_and_conductors_are_nobodys_part() -> None:
    assert not set().union(*PARTS.values()) & (SOLOISTS | CONDUCTORS)
    assert not PARTS.keys() & CONDUCTORS
    here = {path.stem for path in (APP / "services").glob("*.py")}
    assert here >= SOLOISTS | CONDUCTORS


def test_doors_below_main_never_reach_the_wiring() -> None:
    assert not [pair for pair in OURS if pair[0].startswith("app.api") and pair[1] == "app.wiring"]


def test_there_is_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for importer, imported in OURS:
        graph.setdefault(importer, set()).add(imported)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for below in graph.get(module, ()):
                if below != module:
                    visit(below, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_file_fits_into_a_head(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_service_never_imports_a_training_or_serving_engine(path: Path) -> None:
    if "recipes" not in path.parts:
        assert not {module.split(".")[0] for module in imports_of(path)} & HEAVY


def test_env_example_lists_every_setting_with_its_default() -> None:
    assert (ROOT / "env.example.txt").read_text().rstrip() == "\n".join(write_env_example.lines()).rstrip()


def test_env_example_is_a_valid_env_file_once_uncommented() -> None:
    listed = set(re.findall(r"^#([A-Z][A-Z0-9_]*)=", (ROOT / "env.example.txt").read_text(), re.MULTILINE))
    assert listed == {name.upper() for name in Settings.model_fields}


def test_make_help_names_every_public_target() -> None:
    text = (ROOT / "Makefile").read_text()
    public = {line.split(":")[0] for line in text.splitlines() if re.match(r"^[a-z-]+:", line)}
    helped = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    assert public == helped


def test_the_readme_begins_with_the_two_commands() -> None:
    commands = re.findall(r"^make \w+", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands[:2] == ["make run", "make test"]


def test_no_registry_host_and_no_foreign_path_is_committed() -> None:
    for path in [*MODULES, *ROOT.glob("requirements/*.txt"), *ROOT.glob("*.md")]:
        assert not re.search(r"--(extra-)?index-url +http|--find-links", path.read_text()), path
