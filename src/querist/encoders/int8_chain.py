"""Reader of the format *int8 convolution chain*: a small network in one .npz file, without code and without pickle.

A chain of L convolutions, batch normalisation already folded in, is stored as

=========  ===========================  ===============================================================
array      dtype and shape              meaning
=========  ===========================  ===============================================================
``spec``   integers ``(L, 3)``          of every layer: stride, groups, and 1 if a ReLU6 follows, else 0
``w{k}``   int8 or uint8                quantised weights ``(out, in / groups, height, width)``
``s{k}``   float32 ``(out,)``           scale of every output channel
``z{k}``   integer, no axes             zero point of the layer
``b{k}``   float32 ``(out,)``           bias
=========  ===========================  ===============================================================

The weights of layer k are ``(w - z) * s``. Padding is TensorFlow's *SAME*: n pixels become ``ceil(n / stride)``, and
where the padding is odd the extra pixel is on the right and at the bottom. Input is RGB in -1..1. The last layer is the
classifier that follows the global mean; features are that mean, before it.

Residual connections need no table. Three layers in a row that widen (1 x 1, ReLU6), look around (one filter per
channel, ReLU6) and narrow (1 x 1, no ReLU6) are an inverted residual (Sandler et al., CVPR 2018), and as there their
input is added to their output where stride and width leave the shape as it was. A chain without such triples, such as
MobileNetV1 (Howard et al., 2017), has none.
"""

import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, readonly
from querist.errors import DataError

CHANNELS = 3


@dataclass(frozen=True, eq=False)
class Layer:
    """One convolution, its weights ``(out, in / groups, h, w)`` and bias ``(out,)`` in float32.

    Attributes:
        adds: the layer whose input is added to the output of this one, if any.
    """

    weight: Array
    bias: Array
    stride: int
    groups: int
    relu6: bool
    adds: int | None = None


def read_chain(path: Path) -> tuple[Layer, ...]:
    """Return the layers up to the global mean, weights in float32.

    Raises:
        DataError: the file is no such chain; says which array is wrong and what was expected.
    """
    try:
        # Opened here, since numpy leaves a file open that turns out to be no archive.
        with path.open("rb") as file, zipfile.ZipFile(file) as _, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        _refuse(path, f"it cannot be read as an .npz archive of plain arrays ({error})")
    spec = arrays.pop("spec", None)
    if spec is None:
        _refuse(path, f"expected an array 'spec', got {', '.join(sorted(arrays)[:5]) or 'no array at all'}")
    if spec.ndim != 2 or spec.shape[1:] != (3,) or len(spec) < 2 or not np.issubdtype(spec.dtype, np.integer):
        _refuse(path, f"expected spec to be integers of shape (layers, 3), 2 layers or more, got {_kind(spec)}")
    expected = {f"{letter}{k}" for letter in "wszb" for k in range(len(spec))}
    for names, problem in ((expected - set(arrays), "lacks"), (set(arrays) - expected, "should not have")):
        if names:
            _refuse(path, f"for {len(spec)} layers it {problem} the arrays {', '.join(sorted(names)[:5])}")
    layers: list[Layer] = []
    width = CHANNELS
    for k, (stride, groups, relu6) in enumerate(spec.tolist()):
        _check_spec(path, k, stride, groups, relu6, width)
        weight = _weights(path, k, arrays, width // groups, groups)
        layers.append(Layer(readonly(weight), readonly(arrays[f"b{k}"]), stride, groups, bool(relu6)))
        if _is_inverted_residual(layers):
            layers[-1] = replace(layers[-1], adds=k - 2)
        width = len(weight)
    head = layers.pop()
    if not _is_pointwise(head) or head.relu6 or head.adds is not None:
        _refuse(path, f"expected the last layer, {len(layers)}, to be the classifier: 1 x 1, stride 1, without ReLU6")
    return tuple(layers)


def _check_spec(path: Path, k: int, stride: int, groups: int, relu6: int, width: int) -> None:
    if stride < 1 or relu6 not in (0, 1):
        _refuse(path, f"spec[{k}]: expected a stride of at least 1 and 0 or 1 for ReLU6, got {stride} and {relu6}")
    if groups < 1 or width % groups:
        _refuse(path, f"spec[{k}]: expected groups that divide the {width} channels that come in, got {groups}")


def _weights(path: Path, k: int, arrays: dict[str, npt.NDArray[Any]], inside: int, groups: int) -> Array:
    """Return the dequantised weights of layer k after checking all its arrays."""
    w, s, z, b = (arrays[f"{letter}{k}"] for letter in "wszb")
    if w.dtype not in (np.int8, np.uint8) or w.ndim != 4 or w.shape[1] != inside or not w.size:
        _refuse(path, f"w{k}: expected int8 or uint8 of shape (out, {inside}, height, width), got {_kind(w)}")
    for name, array in (("s", s), ("b", b)):
        if array.dtype != np.float32 or array.shape != (len(w),):
            _refuse(path, f"{name}{k}: expected float32 of shape ({len(w)},), got {_kind(array)}")
        if not np.isfinite(array).all():
            _refuse(path, f"{name}{k}: {int((~np.isfinite(array)).sum())} values are not finite")
    bounds = np.iinfo(w.dtype)
    if z.shape != () or not np.issubdtype(z.dtype, np.integer) or not bounds.min <= z <= bounds.max:
        _refuse(path, f"z{k}: expected one integer in {bounds.min}..{bounds.max}, got {_kind(z)}")
    if len(w) % groups:
        _refuse(path, f"w{k}: expected a number of filters that {groups} groups divide, got {len(w)}")
    return (w.astype(np.float32) - np.float32(z)) * s[:, None, None, None]


def _is_inverted_residual(layers: list[Layer]) -> bool:
    """Whether the last three layers are a triple whose input may be added to its output."""
    if len(layers) < 3:
        return False
    widen, look, narrow = layers[-3:]
    per_channel = look.groups == len(look.weight) == len(widen.weight) > 1
    triple = _is_pointwise(widen) and per_channel and _is_pointwise(narrow)
    activated = (widen.relu6, look.relu6, narrow.relu6) == (True, True, False)
    return triple and activated and look.stride == 1 and len(narrow.weight) == widen.weight.shape[1]


def _is_pointwise(layer: Layer) -> bool:
    return layer.weight.shape[2:] == (1, 1) and layer.groups == 1 and layer.stride == 1


def _kind(array: npt.NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"


def _refuse(path: Path, problem: str) -> NoReturn:
    raise DataError(
        f"{path}: {problem}. The format 'int8 convolution chain' is described in querist.encoders.int8_chain; weights "
        "in safetensors or PyTorch files are read by the encoder 'timm'."
    )
