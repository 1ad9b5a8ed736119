"""A view gives a learner its rows, bought labels, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from querist.errors import DataError, LeakError, NeedError
from querist.evidence.needs import Features
from querist.evidence.view import View
from querist.testing.fakes import fake_dataset, fake_view

DATA = fake_dataset(n=40, poisoned=True)
MATRIX = np.arange(80, dtype=np.float32).reshape(40, 2)
FEATURES = {Features(frame="all"): MATRIX, Features(encoder="pixels", normalise=False, frame="all"): 2 * MATRIX}


def test_l1_labels_are_there_only_if_bought():
    ids = np.array([3, 8, 21])
    view = View(DATA, ids, labels=np.array([0, 2, 1]))
    assert view.labels.tolist() == [0, 2, 1]
    with pytest.raises(ValueError, match="read-only"):
        view.labels[0] = 1
    for rows in (DATA.pool, DATA.test):
        with pytest.raises(LeakError, match=f"labels of {len(rows)} rows of 'fake' were read that nobody bought"):
            _ = View(DATA, rows).labels
    assert View(DATA, np.empty(0, np.int64), labels=np.empty(0, np.int64)).labels.shape == (0,)


def test_labels_align_with_rows():
    with pytest.raises(DataError, match="one label per row, got 2 labels for 3 rows"):
        View(DATA, np.array([3, 8, 21]), labels=np.array([0, 2]))


def test_supposed_labels_stay_with_their_rows_and_change_neither_view():
    known, other = (
        View(DATA, np.array([3, 8, 21]), features=FEATURES, labels=np.array([0, 2, 1])),
        View(DATA, np.array([5, 1])),
    )
    both = known.supposing(other, np.array([2, 0]))
    assert both.ids.tolist() == [1, 3, 5, 8, 21]
    assert both.labels.tolist() == [0, 0, 2, 2, 1]
    assert np.array_equal(both[Features()], MATRIX[both.ids])
    assert not other.is_labelled
    assert known.labels.tolist() == [0, 2, 1]


def test_items_and_features_are_those_of_the_rows():
    ids = np.array([3, 8, 21])
    view = View(DATA, ids, features=FEATURES)
    assert len(view) == 3
    assert view.c == DATA.c
    assert np.array_equal(view.items(), DATA.items[ids])
    assert np.array_equal(view[Features()], MATRIX[ids])
    assert np.array_equal(view[Features(frame="labelled")], MATRIX[ids])
    assert np.array_equal(view[Features(encoder="pixels", normalise=False)], 2 * MATRIX[ids])


def test_features_nobody_computed_are_named():
    view = View(DATA, DATA.pool, features=FEATURES)
    with pytest.raises(NeedError, match=r"encoder='clip'.* is not available here; .*: Features\(frame='all'"):
        view[Features(encoder="clip")]
    with pytest.raises(NeedError, match="computed for this session: none"):
        View(DATA, DATA.pool)[Features()]


def test_a_view_of_everything_shares_the_features():
    whole = View(DATA, np.arange(40), features=FEATURES)
    assert np.shares_memory(whole[Features()], MATRIX)
    assert np.array_equal(whole[Features()], MATRIX)


def test_c4_a_view_of_everything_in_another_order_does_not_mix_up_rows():
    order = np.random.default_rng(0).permutation(40)
    assert np.array_equal(View(DATA, order, features=FEATURES)[Features()], MATRIX[order])


def test_features_kept_in_half_precision_are_float32_to_whoever_reads_them():
    view = View(DATA, np.array([3, 8, 21]), features={Features(frame="all"): MATRIX.astype(np.float16)})
    assert view[Features()].dtype == np.float32
    assert np.array_equal(view[Features()], MATRIX[[3, 8, 21]])


def test_nothing_can_be_written_through():
    view = View(DATA, np.arange(40), features=FEATURES)
    with pytest.raises(ValueError, match="read-only"):
        view[Features()][0] = 1
    with pytest.raises(ValueError, match="read-only"):
        view.ids[0] = 1
    mine = np.array([1, 2])
    View(DATA, mine)
    mine[0] = 0


@pytest.mark.parametrize("rows", [1, 4, 10, 99])
def test_streaming_is_the_whole_in_parts(rows):
    ids = DATA.pool[:10]
    view = fake_view(DATA, ids, ids % 3)
    parts = list(view.stream(rows))
    assert np.array_equal(np.concatenate([p.ids for p in parts]), ids)
    assert np.array_equal(np.concatenate([p.labels for p in parts]), view.labels)
    assert np.array_equal(np.concatenate([p.items() for p in parts]), view.items())
    assert np.array_equal(np.concatenate([p[Features()] for p in parts]), view[Features()])
    assert max(len(p) for p in parts) <= rows
    with pytest.raises(LeakError):
        _ = next(fake_view(DATA, ids).stream(rows)).labels


def test_rows_can_be_repeated_and_take_what_belongs_to_them_along():
    view = View(DATA, np.array([3, 8, 21]), features=FEATURES, labels=np.array([0, 2, 1]))
    part = view.take(np.array([2, 0, 2]))
    assert part.ids.tolist() == [21, 3, 21]
    assert part.labels.tolist() == [1, 0, 1]
    assert np.array_equal(part[Features()], MATRIX[[21, 3, 21]])
    with pytest.raises(LeakError):
        _ = View(DATA, DATA.pool).take(np.array([0])).labels


def test_images_are_rgb_in_their_own_sizes():
    shapes = {3: (2, 5), 8: (4, 4, 3)}

    def picture(item):
        return np.full(shapes[item], item, np.uint8)

    images = list(View(replace(DATA, picture=picture), np.array([3, 8])).images())
    assert [image.shape for image in images] == [(2, 5, 3), (4, 4, 3)]
    assert [set(image.ravel().tolist()) for image in images] == [{3}, {8}]
    with pytest.raises(DataError, match="are no images"):
        next(View(DATA, np.array([3])).images())
