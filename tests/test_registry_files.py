"""Registries read names from files without importing them, and third parties join through entry points."""

import importlib
import subprocess
import sys

import pytest

from querist.errors import SpecError, UnknownNameError
from querist.strategies.base import strategies

ALPHA = '''
"""Two components in one file."""
from toy_rooms.base import register

SEEN = "alpha"

@register("first", aliases=("one",))
class First:
    """The first."""

@register("second")
def second(size: int = 3):
    """The second."""
    return size
'''
BETA = '''
from toy_rooms.base import register

@register("beta", cite="x")
class Beta:
    """Imports something heavy."""

raise ImportError("beta is heavy")
'''
BASE = """
from querist.registry import Registry

registry = Registry("room", "toy_rooms")
register = registry.register
"""


@pytest.fixture
def rooms(tmp_path, monkeypatch):
    """A package whose files register themselves."""
    package = tmp_path / "toy_rooms"
    (package / "deeper").mkdir(parents=True)
    (package / "_hidden").mkdir()
    for path, text in {
        "__init__.py": "", "base.py": BASE, "alpha.py": ALPHA, "beta.py": BETA, "deeper/__init__.py": "",
        "deeper/gamma.py": ALPHA.replace("first", "third").replace("second", "fourth").replace('"one"', '"three"'),
        "_private.py": ALPHA.replace("first", "ghost"), "_hidden/x.py": ALPHA.replace("first", "ghost"),
        "notes.txt": "@register('ghost')",
    }.items():  # fmt: skip
        (package / path).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield importlib.import_module("toy_rooms.base").registry
    for name in [name for name in sys.modules if name.startswith("toy_")]:
        del sys.modules[name]


def imported() -> set[str]:
    return {name for name in sys.modules if name.startswith("toy_rooms.")} - {"toy_rooms.base"}


def test_names_are_read_without_importing_anything(rooms):
    assert rooms.names() == ["beta", "first", "fourth", "second", "third"]
    with pytest.raises(UnknownNameError, match="Did you mean 'first'"):
        rooms.card("frst")
    assert imported() == set()


def test_asking_for_one_name_imports_its_file_alone(rooms):
    assert rooms.card("one").name == "first"
    assert imported() == {"toy_rooms.alpha"}
    assert rooms.card("second").summary == "The second."
    assert rooms.build("second(size=5)") == 5
    assert imported() == {"toy_rooms.alpha"}
    assert rooms.card("fourth").component.__module__ == "toy_rooms.deeper.gamma"


def test_a_file_that_cannot_be_imported_hurts_no_other(rooms):
    assert rooms.card("first").name == "first"
    with pytest.raises(ImportError, match="heavy"):
        rooms.card("beta")


def test_listing_our_strategies_imports_none_of_them():
    code = (
        "import sys; from querist.strategies.base import strategies as s; before = set(sys.modules); n = s.names();"
        "assert not {m for m in set(sys.modules) - before if m.startswith('querist')}, n;"
        "s.card('margin'); new = {m for m in set(sys.modules) - before if m.startswith('querist.strategies')};"
        "assert new == {'querist.strategies.margin'}, new; assert 'torch' not in sys.modules; print(len(n))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours = [c for c in strategies.cards() if c.component.__module__.startswith("querist.")]  # tests register more
    assert int(done.stdout) == len(ours)


def test_every_name_in_our_files_is_what_the_file_registers():
    for name in strategies.names():
        assert strategies.card(name).name == name
        assert strategies.card(name).summary


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Write a distribution with entry points of the group ``toy_rooms``."""
    made = []

    def write(name: str, points: str, module: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[toy_rooms]\n{points}\n")
        (tmp_path / f"{name}.py").write_text(module)
        made.append(name)
        importlib.invalidate_caches()

    yield write
    for name in made:
        sys.modules.pop(name, None)


PLUGIN = '''
from toy_rooms.base import register

@register("{name}", aliases=("{name}_too",))
class Guest:
    """A guest."""
'''


def test_third_parties_register_through_entry_points(rooms, distribution):
    distribution("toy_plugin", "guest = toy_plugin:Guest", PLUGIN.format(name="guest"))
    assert "guest" in rooms.names()
    assert "toy_plugin" not in sys.modules, "listing names imported a plug-in"
    assert rooms.card("guest").component.__module__ == "toy_plugin"
    assert rooms.card("guest_too") is rooms.card("guest")
    with pytest.raises(UnknownNameError, match=r"Did you mean .*'guest'"):
        rooms.card("gest")


def test_an_entry_point_that_registers_something_else_is_named(rooms, distribution):
    distribution("toy_plugin", "guest = toy_plugin:Guest", PLUGIN.format(name="other"))
    with pytest.raises(SpecError, match="entry point 'guest' of the group 'toy_rooms' loads toy_plugin:Guest"):
        rooms.card("guest")


def test_an_entry_point_with_a_name_of_ours_is_refused(rooms, distribution):
    distribution("toy_plugin", "first = toy_plugin:Guest", PLUGIN.format(name="first"))
    with pytest.raises(SpecError, match="'first' is offered twice: by toy_rooms"):
        rooms.names()


def test_two_entry_points_of_one_name_are_refused(rooms, distribution):
    distribution("toy_plugin", "guest = toy_plugin:Guest", PLUGIN.format(name="guest"))
    distribution("toy_second", "guest = toy_second:Guest", PLUGIN.format(name="guest"))
    with pytest.raises(SpecError, match="'guest' is offered twice"):
        rooms.names()
