"""Paths that callers name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.services.training.paths import confined, existing_file, folder_of, free_directory

PIECES = st.sampled_from(
    ["..", ".", "/", "a", "link", "\n", "\0", " ", "~", "$(x)", "//", "é", "\u202e", '"']
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("paths")
    (root / "outside").mkdir()
    (root / "outside" / "secret").write_text("x")
    (root / "home" / "a").mkdir(parents=True)
    (root / "home" / "link").symlink_to(root / "outside")
    return root / "home"


@settings(deadline=None)
@given(said=st.lists(PIECES, max_size=8).map("/".join) | st.text(max_size=30))
def test_a_path_lies_inside_or_is_refused(home: Path, said: str) -> None:
    try:
        path = confined(said, home, "output")
    except InvalidInput:
        return
    assert home.resolve() in path.parents
    assert path == path.resolve()


def test_what_lies_inside_is_taken_in_both_spellings(home: Path) -> None:
    assert confined("a/b", home, "output") == confined(f"{home}/a/b", home, "output")


@pytest.mark.parametrize("said", ["link/secret", "a/../../outside/secret", "", ".", "x" * 300])
def test_a_file_outside_is_not_found(home: Path, said: str) -> None:
    with pytest.raises(InvalidInput):
        existing_file(said, home, "dataset")


def test_only_nothing_and_an_empty_directory_are_free(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    assert free_directory(tmp_path / "empty", "output") == tmp_path / "empty"
    assert free_directory(tmp_path / "absent", "output") == tmp_path / "absent"
    for taken in ("full", "full/file", "link"):
        with pytest.raises(InvalidInput):
            free_directory(tmp_path / taken, "output")


@settings(deadline=None)
@given(one=st.text(), other=st.text())
def test_tenants_have_folders_of_their_own(one: str, other: str) -> None:
    assert Path(folder_of(one)).name == folder_of(one)
    assert folder_of(one) not in {"", ".", ".."}
    assert (folder_of(one) == folder_of(other)) == (one == other)
