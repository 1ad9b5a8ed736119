"""Rows of a dataset as a learner or an encoder may see them: items, frozen features, and labels only if bought."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Ids, Labels, Rows, readonly
from querist.data.dataset import Dataset
from querist.errors import DataError, LeakError, NeedError
from querist.evidence.needs import Features


class View:
    """Some rows of a dataset.

    Args:
        dataset: where the rows are from.
        ids: which rows.
        features: frozen features of *all* rows of the dataset by need, made by the feature store.
        labels: labels aligned with `ids`, if they were bought; a view without labels raises `LeakError` when asked.
    """

    def __init__(
        self,
        dataset: Dataset,
        ids: Ids,
        *,
        features: Mapping[Features, Array] | None = None,
        labels: Labels | None = None,
    ) -> None:
        if labels is not None and len(labels) != len(ids):
            raise DataError(f"Expected one label per row, got {len(labels)} labels for {len(ids)} rows.")
        self._dataset, self._features, self._labels = dataset, {} if features is None else features, labels
        self.ids = readonly(ids)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def c(self) -> int:
        """Number of declared classes."""
        return self._dataset.c

    @property
    def is_labelled(self) -> bool:
        """Whether labels of these rows were bought and may be read."""
        return self._labels is not None

    @property
    def labels(self) -> Labels:
        """Labels aligned with `ids`.

        Raises:
            LeakError: these labels were not bought.
        """
        if self._labels is None:
            raise LeakError(
                f"labels of {len(self)} rows of {self._dataset.name!r} were read that nobody bought: this view is of "
                "unlabelled or test rows. Fit on the labelled view alone."
            )
        return readonly(self._labels)

    def items(self) -> npt.NDArray[Any]:
        """Return the raw items, ``(n, ...)``."""
        return self._dataset.items[self.ids]

    def images(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the items one by one as RGB images ``(h, w, 3)`` uint8 in their own sizes; grey ones are repeated.

        Raises:
            DataError: the items of this dataset are no images.
        """
        picture = self._dataset.picture
        if picture is None:
            raise DataError(
                f"the items of {self._dataset.name!r} are no images. Encode them with 'pixels', or give the dataset "
                "image files or uint8 arrays (n, h, w) or (n, h, w, 3)."
            )
        for item in self.ids.tolist():
            image = picture(item)
            yield np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image

    def take(self, rows: Rows) -> "View":
        """Return these rows in this order, with their labels if they were bought; a row may be repeated."""
        labels = None if self._labels is None else self._labels[rows]
        return View(self._dataset, self.ids[rows], features=self._features, labels=labels)

    def supposing(self, other: "View", labels: Labels) -> "View":
        """Return these labelled rows and those of another view with labels that are only supposed, by ascending id.

        Nobody is charged for them, and nothing but a model is made of them: they are guesses, not answers.

        Args:
            other: rows that are not among these.
            labels: guesses aligned with it.
        """
        ids, both = np.concatenate([self.ids, other.ids]), np.concatenate([self.labels, labels])
        order = np.argsort(ids, kind="stable")
        return View(self._dataset, ids[order], features=self._features, labels=both[order])

    def stream(self, rows: int) -> Iterator["View"]:
        """Yield the view in parts of at most `rows` consecutive rows, so that no more items are held at once."""
        for start in range(0, len(self), rows):
            yield self.take(np.arange(start, min(start + rows, len(self))))

    def __getitem__(self, need: Features) -> Array:
        """Return frozen features of these rows, ``(n, d)`` float32.

        Raises:
            NeedError: no such features were computed for this session.
        """
        matrix = self._features.get(need.on("all"))  # pyright: ignore[reportArgumentType]
        if matrix is None:
            known = ", ".join(map(str, self._features)) or "none"
            raise NeedError(f"{need} is not available here; features computed for this session: {known}.")
        # A view of the whole dataset shares the matrix instead of copying it.
        whole = len(matrix) == len(self.ids) and np.array_equal(self.ids, np.arange(len(matrix)))
        return readonly((matrix if whole else matrix[self.ids]).astype(np.float32, copy=False))
