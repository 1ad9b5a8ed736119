"""The package as a whole: what it exports, what importing it costs, what it never imports."""

import subprocess
import sys

import querist

HEAVY = ("torch", "pandas", "sklearn", "numba", "altair", "scipy", "numpy")


def fresh(code: str) -> str:
    """Return what a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_all_is_sorted_and_every_name_in_it_loads():
    assert querist.__all__ == sorted(querist.__all__)
    for name in querist.__all__:
        assert getattr(querist, name) is not None
    assert set(querist.__all__) == set(querist._HOME)
    assert set(querist.__all__) <= set(dir(querist))


def test_a_name_that_does_not_exist_is_an_attribute_error():
    assert not hasattr(querist, "selct")


def test_importing_the_package_imports_nothing_heavy():
    assert fresh(f"import querist, sys; print([m for m in {HEAVY} if m in sys.modules])") == "[]"


def test_importing_touches_no_global_generator():
    # Imported twice: some libraries we import draw once when they are first loaded, and that is theirs to answer for.
    code = (
        "import random, sys, numpy as np; import querist.cli.main; "
        "[sys.modules.pop(m) for m in list(sys.modules) if m.startswith('querist')]; "
        "before = random.getstate(), np.random.get_state()[1].tolist(); import querist.cli.main; "
        "print(before == (random.getstate(), np.random.get_state()[1].tolist()))"
    )
    assert fresh(code) == "True"


def test_listing_names_imports_no_component():
    code = (
        "from querist.strategies.base import strategies; import sys; names = strategies.names(); "
        "print(len(names) > 5, any(m.startswith('querist.strategies.badge') for m in sys.modules))"
    )
    assert fresh(code) == "True False"
