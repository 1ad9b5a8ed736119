"""How the command line talks: what an error says reaches the person as it was written."""

import pytest

from querist.cli.output import fail
from querist.errors import UsageError


@pytest.mark.parametrize("text", ["rows [1, 2]", "[red]cats[/]", "no [/] here", "a\\[b].png", "C:\\", "[[x]\\]"])
def test_errors_are_shown_to_the_letter(text, capsys):
    fail(UsageError(text), as_json=False)
    assert capsys.readouterr().err == f"Error: {text}\n"
