"""Optional parts that are missing are named before anything is imported."""

import pytest

from querist.errors import MissingExtraError
from querist.extras import require


def test_a_missing_part_names_the_extra_that_brings_it():
    require("the tests", "dev", "pytest", "numpy")
    with pytest.raises(MissingExtraError, match=r"encoder timm needs the extra 'deep': pip install 'querist\[deep\]'"):
        require("encoder timm", "deep", "numpy", "no_such_module")
