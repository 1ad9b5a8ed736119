"""A study as data: one TOML file, read and validated completely before anything runs."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from querist.errors import QueristError, SpecError, StudyError, UnknownNameError, suggest
from querist.labels.noise import Noise
from querist.session.metrics import METRICS, TOP5

Component = str | dict[str, Any]
Components = Annotated[list[Component], Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""What a study may be called: the name of a folder everywhere."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StudyTable(_Table):
    """``[study]``: what is compared, on what, how often."""

    name: Annotated[str, Field(pattern=NAME)]
    dataset: Component
    features: Component = "pixels"
    learner: Component = "linear"
    initial: Component = "random"
    strategy: Components
    pools: Positive = 10
    seeds: Positive = 1
    metric: str = "accuracy"
    rope: Annotated[float, Field(ge=0, lt=1)] = 0.005
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _one_strategy(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("strategy"), str | dict):
            return {**data, "strategy": [data["strategy"]]}
        return data

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in (*METRICS, TOP5):
            raise ValueError(f"unknown metric {metric!r}. {suggest(metric, (*METRICS, TOP5))}")
        return metric


class BudgetTable(_Table):
    """``[budget]``: how many labels each checkpoint has."""

    step: Positive | None = None
    per_class: Positive | None = None
    counts: Annotated[list[Positive], Field(min_length=1)] | None = None
    rounds: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "BudgetTable":
        given = [name for name in ("step", "per_class", "counts") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of step, per_class and counts, got {' and '.join(given) or 'none'}")
        if self.counts is not None:
            if self.rounds is not None:
                raise ValueError("counts says how many rounds there are; leave rounds out")
            if self.counts != sorted(set(self.counts)):
                raise ValueError(f"counts are cumulative and must rise, got {self.counts}")
        elif self.rounds is None:
            raise ValueError("rounds is required: the number of queries after the initial pool")
        return self


class ValidationTable(_Table):
    """``[validation]``: labels bought at random before anything else, and charged."""

    size: Annotated[int, Field(ge=0)] = 0


class OracleTable(_Table):
    """``[oracle]``: how often the simulated annotator errs; see `querist.labels.noise.Noise`."""

    noise: Literal["none", "uniform", "class_conditional"] = "none"
    rate: float | None = None
    truth: bool = False
    confused: dict[str, Any] = {}
    matrix: list[list[float]] = []
    initial: bool = True
    validation: bool = True

    @field_validator("confused")
    @classmethod
    def _of_classes(cls, confused: dict[str, Any]) -> dict[str, Any]:
        for true, wrong in confused.items():
            if isinstance(wrong, bool) or not isinstance(wrong, str | int):
                raise ValueError(f"expected the name or number of the class that {true!r} is taken for, got {wrong!r}")
        return confused

    @model_validator(mode="after")
    def _sound(self) -> "OracleTable":
        given = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        if self.noise == "none" and given:
            raise ValueError(f'{", ".join(given)} without noise; expected noise = "uniform" or "class_conditional"')
        try:
            _ = self.model
        except SpecError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def model(self) -> Noise | None:
        """The noise, None where answers are true."""
        if self.noise == "none":
            return None
        return Noise(
            kind=self.noise, rate=self.rate, truth=self.truth, confused=tuple(self.confused.items()),
            matrix=tuple(map(tuple, self.matrix)), initial=self.initial, validation=self.validation,
        )  # fmt: skip


class GridTable(_Table):
    """``[grid]``: settings of ``[study]`` to vary; every combination is an arm."""

    learner: Components | None = None
    features: Components | None = None
    initial: Components | None = None


class StudySpec(_Table):
    """One study file."""

    study: StudyTable
    budget: BudgetTable
    validation: ValidationTable = ValidationTable()
    oracle: OracleTable = OracleTable()
    grid: GridTable = GridTable()

    @model_serializer(mode="wrap")
    def _without_silence(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what was not asked for, so that a study without noise is what it was before there was noise."""
        written = handler(self)
        if self.oracle.model is None:
            del written["oracle"]
        return written


class Draft(NamedTuple):
    """A study as far as it could be understood.

    Attributes:
        spec: without its mistaken settings; None if something required is missing.
        mistakes: one sentence each; with none, `spec` is the whole study.
    """

    spec: StudySpec | None
    mistakes: list[str]


def read_study(path: str | Path, *, sets: Sequence[str] = (), grids: Sequence[str] = ()) -> StudySpec:
    """Return the study of a file.

    Args:
        path: a TOML file.
        sets: overrides such as ``"study.pools=20"``.
        grids: variations such as ``"study.learner=linear,knn"``.

    Raises:
        StudyError: every mistake of the file, together.
    """
    return _accepted(draft_study(path, sets=sets, grids=grids), str(path))


def draft_study(path: str | Path, *, sets: Sequence[str] = (), grids: Sequence[str] = ()) -> Draft:
    """Return what can be understood of a file, for those who look for further mistakes; see `read_study`.

    Raises:
        StudyError: the file or an override cannot be read at all.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        raise StudyError(str(path), ["there is no such file"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(str(path), [f"not valid TOML: {error}"]) from None
    except OSError as error:
        raise StudyError(str(path), [f"cannot be read: {error.strerror}"]) from None
    for text in sets:
        _assign(document, *_setting(text, "--set study.pools=20"))
    for text in grids:
        keys, values = _setting(text, "--grid study.learner=linear,knn")
        _assign(document, ["grid", keys[-1]], values if isinstance(values, list) else [values])
    return _draft(document, path.parent)


def parse_study(document: Mapping[str, Any], *, source: str = "study", folder: Path | None = None) -> StudySpec:
    """Return the study of a document; relative paths of its dataset are taken from `folder`.

    Raises:
        StudyError: every mistake, together.
    """
    return _accepted(_draft(document, folder), source)


def _accepted(draft: Draft, source: str) -> StudySpec:
    if draft.spec is None or draft.mistakes:
        raise StudyError(source, draft.mistakes)
    return draft.spec


def _draft(document: Mapping[str, Any], folder: Path | None) -> Draft:
    """Read a document; what is mistaken is noted and left out, until the rest can be read or nothing new is found."""
    rest: dict[str, Any] = deepcopy(dict(document))
    mistakes: list[str] = []
    dropped: set[tuple[int | str, ...]] = set()
    while True:
        try:
            return Draft(_rooted_spec(StudySpec.model_validate(rest), folder), mistakes)
        except ValidationError as error:
            # What a table lacks once a setting of it was left out is no mistake of its own.
            known = {path[:depth] for path in dropped for depth in range(1, len(path) + 1)}
            mistakes += dict.fromkeys(text for path, text in _sentences(error) if path not in known)
            wrong = {path for path, _ in _sentences(error)}
        if wrong <= dropped:
            return Draft(None, mistakes)
        dropped |= wrong
        for path in sorted(wrong, key=lambda path: [f"{part:>9}" for part in path], reverse=True):  # lists from behind
            _drop(rest, path)
        # Stand-ins for what is missing, so that the other settings can be looked at.
        rest.setdefault("budget", {"step": 1, "rounds": 0})
        if isinstance(study := rest.setdefault("study", {}), dict):
            study.setdefault("name", "study")
            study.setdefault("strategy", ["random"])


def _drop(node: Any, path: tuple[int | str, ...]) -> None:
    """Delete what stands at a path, if anything does."""
    with suppress(KeyError, IndexError, TypeError):
        for part in path[:-1]:
            node = node[part]
        del node[path[-1]]


def _path(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Where in the document a problem is: without the names pydantic gives to the alternatives of a union."""
    return tuple(part for part in loc if part not in ALTERNATIVES)


ALTERNATIVES = ("str", "dict[str,any]")
NAMED = ("dataset", "learner")
"""Keys of single components: where the file has a name, a setting from the command line makes a table of it."""


def _rooted_spec(spec: StudySpec, folder: Path | None) -> StudySpec:
    dataset = spec.study.dataset
    if folder is None or isinstance(dataset, str):
        return spec
    return spec.model_copy(update={"study": spec.study.model_copy(update={"dataset": _rooted(dataset, folder)})})


PATHS = ("path", "labels", "features")
"""Settings of a dataset that are files."""


def collect(*steps: tuple[str, Any]) -> tuple[list[Any], list[str]]:
    """Run steps given as ``(where, callable)``; return their results and the mistakes they raised."""
    results: list[Any] = []
    mistakes: list[str] = []
    for where, step in steps:
        try:
            results.append(step())
        except StudyError as error:
            mistakes += error.mistakes
        except QueristError as error:
            message = str(error)
            mistakes.append(message if where in message else f"{where}: {message}")
    return results, mistakes


def _rooted(dataset: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a dataset whose relative paths, and those of datasets it is made of, start at a folder."""
    found = dict(dataset)
    for name, value in dataset.items():
        if isinstance(value, Mapping):
            found[name] = _rooted(value, folder)
        elif name in PATHS and isinstance(value, str):
            found[name] = str(folder / value)
    return found


def _setting(text: str, example: str) -> tuple[list[str], Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise StudyError(text, [f"expected SETTING=VALUE, for example {example}"])
    return name.strip().split("."), _value(value.strip())


def _value(text: str) -> Any:
    """A TOML value if it is one; otherwise words, split at commas outside brackets."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        parts = list(_split(text))
        return [_value(part) for part in parts] if len(parts) > 1 else text


def _split(text: str) -> Iterator[str]:
    depth, start = 0, 0
    for i, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            yield text[start:i].strip()
            start = i + 1
    yield text[start:].strip()


def _assign(document: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        if key in NAMED and isinstance(name := document.get(key), str) and "(" not in name:
            document[key] = {"name": name}
        document = document.setdefault(key, {})
        if not isinstance(document, dict):
            raise StudyError("--set", [f"{'.'.join(keys)}: {key!r} is a value, not a table"])
    document[keys[-1]] = value


def _sentences(error: ValidationError) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Yield where in the document a mistake is, and a sentence about it."""
    for problem in error.errors(include_url=False):
        path = _path(problem["loc"])
        yield path, _sentence(problem, ".".join(map(str, path)))


def _sentence(problem: Any, where: str) -> str:
    *table, setting = problem["loc"] or ("",)
    if setting in ALTERNATIVES:
        return f"{where}: expected a name, or a table with a name and settings, got {problem['input']!r}"
    if problem["type"] == "extra_forbidden":
        section = f"[{'.'.join(map(str, table))}]" if table else "the file"
        return str(UnknownNameError("key", str(setting), _table(table), section))
    if problem["type"] == "missing":
        return f"{where}: this setting is required"
    message = problem["msg"].removeprefix("Value error, ").partition(" or instance of")[0]
    message = message.replace("Input should be", "expected")
    if problem["type"] == "string_pattern_mismatch":
        message = "expected letters, digits, '.', '_' and '-', beginning with a letter or digit"
    shown = "" if problem["type"] == "value_error" else f", got {problem['input']!r}"
    return f"{where + ': ' if where else ''}{message}{shown}"


def _table(path: Sequence[int | str]) -> Mapping[str, Any]:
    model: Any = StudySpec
    for part in path:
        model = model.model_fields[str(part)].annotation
    return model.model_fields
