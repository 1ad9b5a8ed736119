"""What an adapter says where the library it adapts to is not installed."""

import importlib
import sys

import pytest

from querist.errors import MissingPackageError


def test_it_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "skactiveml"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "querist.adapters.skactiveml", raising=False)

    class Absent:
        """Finds nothing of it, installed or not."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.partition(".")[0] == "skactiveml":
                raise ModuleNotFoundError("No module named 'skactiveml'", name="skactiveml")

    monkeypatch.setattr(sys, "meta_path", [Absent, *sys.meta_path])
    with pytest.raises(MissingPackageError, match=r"needs scikit-activeml, .* pip install scikit-activeml"):
        importlib.import_module("querist.adapters.skactiveml")
