"""The reader of int8 chains: every array checked, weights dequantised by the formula, residuals where they belong."""

import numpy as np
import pytest

from querist.encoders.int8_chain import read_chain
from querist.errors import DataError


def chain(spec, shapes, seed=0, dtype=np.int8):
    """Return the arrays of a chain with random weights."""
    rng = np.random.default_rng(seed)
    arrays = {"spec": np.array(spec, np.int32)}
    for k, shape in enumerate(shapes):
        bounds = np.iinfo(dtype)
        arrays[f"w{k}"] = rng.integers(bounds.min, bounds.max + 1, shape, dtype=dtype)
        arrays[f"s{k}"] = rng.uniform(0.001, 0.01, shape[0]).astype(np.float32)
        arrays[f"z{k}"] = np.int32(rng.integers(bounds.min, bounds.max))
        arrays[f"b{k}"] = rng.normal(size=shape[0]).astype(np.float32)
    return arrays


PLAIN = ([(2, 1, 1), (1, 4, 1), (1, 1, 0)], [(4, 3, 3, 3), (4, 1, 3, 3), (5, 4, 1, 1)])
TRIPLE = (
    [(2, 1, 1), (1, 1, 1), (1, 8, 1), (1, 1, 0), (1, 1, 0)],
    [(4, 3, 3, 3), (8, 4, 1, 1), (8, 1, 3, 3), (4, 8, 1, 1), (5, 4, 1, 1)],
)


@pytest.fixture
def written(tmp_path):
    """Write arrays and return the file."""

    def write(arrays):
        np.savez(tmp_path / "net.npz", **arrays)
        return tmp_path / "net.npz"

    return write


class TestReading:
    @pytest.mark.parametrize("dtype", [np.int8, np.uint8])
    def test_weights_are_dequantised_per_channel(self, written, dtype):
        arrays = chain(*PLAIN, dtype=dtype)
        layers = read_chain(written(arrays))
        assert len(layers) == 2
        for k, layer in enumerate(layers):
            for o in range(len(layer.weight)):
                exact = (arrays[f"w{k}"][o].astype(np.int64) - int(arrays[f"z{k}"])) * float(arrays[f"s{k}"][o])
                np.testing.assert_allclose(layer.weight[o], exact, rtol=1e-6)
            assert (layer.bias == arrays[f"b{k}"]).all()
            assert (layer.stride, layer.groups, int(layer.relu6)) == tuple(arrays["spec"][k])
            assert layer.weight.dtype == np.float32
            with pytest.raises(ValueError, match="read-only"):
                layer.weight[0] = 0

    def test_an_inverted_residual_adds_its_input(self, written):
        assert [layer.adds for layer in read_chain(written(chain(*TRIPLE)))] == [None, None, None, 1]

    @pytest.mark.parametrize(
        ("layer", "row", "shapes"),
        [
            (2, (2, 8, 1), {}),  # it shrinks the image
            (1, (1, 1, 0), {}),  # the first of the three has no ReLU6
            (2, (1, 8, 0), {}),  # nor has the second
            (3, (1, 1, 1), {}),  # the third has one
            (2, (1, 1, 1), {2: (8, 8, 3, 3)}),  # the second mixes channels
            (2, (1, 4, 1), {2: (8, 2, 3, 3)}),
            (1, (1, 1, 1), {1: (8, 4, 3, 3)}),  # the first looks around
            (3, (1, 1, 0), {3: (6, 8, 1, 1), 4: (5, 6, 1, 1)}),  # another width comes out
        ],
    )
    def test_nothing_else_does(self, written, layer, row, shapes):
        spec, sizes = [list(x) for x in TRIPLE]
        spec[layer] = row
        sizes = [shapes.get(k, shape) for k, shape in enumerate(sizes)]
        assert [x.adds for x in read_chain(written(chain(spec, sizes)))] == [None] * 4

    def test_triples_in_a_row_add_their_own_inputs(self, written):
        spec, sizes = TRIPLE
        twice = [*spec[:4], *spec[1:4], spec[4]], [*sizes[:4], *sizes[1:4], sizes[4]]
        assert [layer.adds for layer in read_chain(written(chain(*twice)))] == [None, None, None, 1, None, None, 4]


def without(name):
    return lambda arrays: arrays.pop(name)


def with_(name, change):
    return lambda arrays: arrays.update({name: change(arrays[name]) if name in arrays else change(None)})


def set_spec(layer, column, value):
    def change(arrays):
        arrays["spec"][layer, column] = value

    return change


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (without("spec"), "expected an array 'spec', got b0"),
            (with_("spec", lambda a: a[:, :2]), r"integers of shape \(layers, 3\).*got int32 of shape \(3, 2\)"),
            (with_("spec", lambda a: a.astype(float)), "integers of shape.*got float64"),
            (with_("spec", lambda a: a[:1]), "2 layers or more"),
            (without("s1"), "for 3 layers it lacks the arrays s1"),
            (with_("w7", lambda _: np.zeros(3)), "should not have the arrays w7"),
            (set_spec(0, 0, 0), r"spec\[0\]: expected a stride of at least 1.*got 0"),
            (set_spec(1, 2, 2), r"spec\[1\]: .*0 or 1 for ReLU6, got 1 and 2"),
            (set_spec(1, 1, 3), r"spec\[1\]: expected groups that divide the 4 channels that come in, got 3"),
            (set_spec(1, 1, 0), r"got 0"),
            (with_("w0", lambda a: a.astype(np.int16)), r"w0: expected int8 or uint8 of shape \(out, 3, .*got int16"),
            (with_("w0", lambda a: a[..., 0]), r"w0: .*got int8 of shape \(4, 3, 3\)"),
            (
                with_("w1", lambda a: np.repeat(a, 2, axis=1)),
                r"w1: .*\(out, 1, height, width\), got int8 of shape \(4, 2",
            ),
            (with_("w2", lambda a: a[:, :, :0]), r"w2: expected"),
            (with_("s1", lambda a: a[:2]), r"s1: expected float32 of shape \(4,\), got float32 of shape \(2,\)"),
            (with_("b1", lambda a: a.astype(float)), r"b1: expected float32 .* got float64"),
            (
                with_("b0", lambda a: np.where(np.arange(4) > 1, np.nan, a).astype(np.float32)),
                "b0: 2 values are not fin",
            ),
            (with_("s2", lambda a: a * np.float32(np.inf)), "s2: 5 values are not finite"),
            (with_("z1", lambda a: np.int32(400)), r"z1: expected one integer in -128..127"),
            (with_("z1", lambda a: np.array([1, 2])), r"z1: expected one integer .*got int64 of shape \(2,\)"),
            (with_("z1", lambda a: np.float32(1)), r"z1: expected one integer"),
            (set_spec(2, 2, 1), "expected the last layer, 2, to be the classifier"),
            (set_spec(2, 0, 2), "to be the classifier: 1 x 1, stride 1, without ReLU6"),
        ],
    )
    def test_say_what_is_wrong(self, written, change, message):
        arrays = chain(*PLAIN)
        change(arrays)
        path = written(arrays)
        with pytest.raises(DataError, match=message) as caught:
            read_chain(path)
        assert str(path) in str(caught.value)
        assert "querist.encoders.int8_chain" in str(caught.value)

    def test_filters_that_groups_do_not_divide(self, written):
        spec, shapes = PLAIN
        wrong = chain(spec, [shapes[0], (6, 1, 3, 3), (5, 6, 1, 1)])
        with pytest.raises(DataError, match="w1: expected a number of filters that 4 groups divide, got 6"):
            read_chain(written(wrong))

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive at all", b"\x80\x04pickle"])
    def test_a_file_that_is_no_archive(self, tmp_path, content):
        (tmp_path / "net.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"cannot be read as an .npz archive"):
            read_chain(tmp_path / "net.npz")

    def test_an_array_of_objects_is_never_unpickled(self, written):
        arrays = chain(*PLAIN)
        arrays["w0"] = np.array([{"a": 1}], dtype=object)
        with pytest.raises(DataError, match="cannot be read"):
            read_chain(written(arrays))

    def test_one_plain_array_is_no_archive(self, tmp_path):
        np.save(tmp_path / "net.npy", np.eye(3))
        with pytest.raises(DataError, match=r"cannot be read as an .npz archive"):
            read_chain(tmp_path / "net.npy")
