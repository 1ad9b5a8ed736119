"""What every learner and every encoder must do, as tests: inherit, set ``make``, done."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from querist.arrays import Array, Ids, Labels
from querist.data.dataset import Dataset
from querist.data.memory import ArrayItems
from querist.encoders.base import Encoder
from querist.errors import LeakError, QueristError
from querist.evidence.needs import Embeddings, Gradients, Head, Logits, Need, Probs
from querist.evidence.provider import Fit, Model, Offer
from querist.evidence.view import View
from querist.learners.base import Learner
from querist.seeds import Seed
from querist.testing.component import ComponentContract, expect, fingerprint, skip
from querist.testing.fakes import NEEDS, fake_dataset, fake_view
from querist.testing.spy import SpyItems, global_rng_untouched

REASON = 20
"""A refusal shorter than this many characters does not say why."""


class LearnerContract(ComponentContract):
    """The contract of learners.

    Attributes:
        make: a class, a callable without arguments, or a method, that returns the learner.
        shape: of one item.
        encoder: a name under which the items are also to be found as frozen features.
        accuracy: what it must reach on three well separated clouds with ten labels each.
    """

    shape: ClassVar[tuple[int, ...]] = (6,)
    encoder: ClassVar[str | None] = None
    accuracy: ClassVar[float] = 0.8

    # ------------------------------------------------------------------------------------------- what may be overridden

    def dataset(self, c: int = 5) -> Dataset:
        """Return data whose item i is of class i modulo c, labels poisoned: whoever unseals them raises `LeakError`."""
        return fake_dataset(n=150, c=c, shape=self.shape, poisoned=True)

    def view(self, dataset: Dataset, ids: Ids, labels: Labels | None = None) -> View:
        """Return rows as a learner sees them."""
        return fake_view(dataset, ids, labels, encoder=self.encoder)

    def job(self, dataset: Dataset, ids: Ids, labels: Labels | None = None, seed: int = 0) -> Fit:
        """Return the fit of some labelled rows; without `labels`, the true ones."""
        labels = ids % dataset.c if labels is None else labels
        rest = np.setdiff1d(dataset.pool, ids)
        return Fit(self.view(dataset, ids, labels), self.view(dataset, rest), Seed(seed).child("fit"))

    # ------------------------------------------------------------------------------------------------------------- fits

    def test_same_job_same_model(self) -> None:
        data = self.dataset()
        job = self.job(data, data.pool[:20])
        view = self.view(data, data.pool)
        learner = self.build()
        first = self._read(learner, learner.fit(job), view)
        for again in (learner, self.build()):
            _same(first, self._read(again, again.fit(job), view), "the same job gave another model")

    def test_fit_many_equals_fit(self) -> None:
        data = self.dataset()
        view = self.view(data, data.pool)
        jobs = [self.job(data, data.pool[a:b], seed=a) for a, b in ((0, 10), (10, 20), (3, 40), (5, 6), (0, 10))]
        jobs.append(self.job(data, data.pool[20:30], np.ones(10, np.int64)))
        learner = self.build()
        alone = [self._read(learner, learner.fit(job), view) for job in jobs]
        for order in (range(len(jobs)), reversed(range(len(jobs))), [2], []):
            order = list(order)
            models = learner.fit_many([jobs[i] for i in order])
            expect(
                len(models) == len(order), f"{len(order)} jobs gave {len(models)} models, expected one each, in order."
            )
            for i, model in zip(order, models, strict=True):
                _same(alone[i], self._read(learner, model, view), f"fit_many of {len(order)} jobs differs from fit")

    def test_learns(self) -> None:
        data = self.dataset(c=3)
        model = self.build().fit(self.job(data, data.pool[:30]))
        guess = np.asarray(model.provide(Probs(), self.view(data, data.test))).argmax(axis=1)
        reached = float((guess == data.test % 3).mean())
        expect(reached >= self.accuracy, f"accuracy {reached:.2f} on three separated clouds, expected {self.accuracy}.")

    def test_global_generators_are_left_alone(self) -> None:
        data = self.dataset()
        learner = self.build()
        with global_rng_untouched():
            self._read(learner, learner.fit(self.job(data, data.pool[:20])), self.view(data, data.pool))

    def test_reads_only_bought_labels(self) -> None:
        data = self.dataset()
        spy = SpyItems(data.items)
        watched = replace(data, items=spy)
        job = self.job(watched, data.pool[:20])
        learner = self.build()
        try:
            with spy.during("fit"):
                model = learner.fit(job)
            self._read(learner, model, self.view(watched, data.test))
        except LeakError as error:
            raise AssertionError(f"it reached for labels nobody bought: {error}") from error
        leaked = np.intersect1d(spy.read("fit"), data.test)
        expect(not len(leaked), f"test items {leaked[:5].tolist()} were read while fitting.")

    def test_job_is_left_alone(self) -> None:
        data = self.dataset()
        ids, labels = data.pool[:20].copy(), data.pool[:20] % data.c
        job = self.job(data, ids, labels)
        before = [fingerprint(x) for x in (ids, labels, data.items[np.arange(len(data.items))])]
        learner = self.build()
        self._read(learner, learner.fit(job), job.pool)
        after = [fingerprint(x) for x in (ids, labels, data.items[np.arange(len(data.items))])]
        expect(before == after, "ids, labels or items of the job were changed.")

    def test_validation_and_warm_start_are_accepted(self) -> None:
        data = self.dataset()
        learner = self.build()
        job = self.job(data, data.pool[:20])
        held_out = self.view(data, data.pool[40:50], data.pool[40:50] % data.c)
        model = learner.fit(job._replace(validation=held_out, warm=learner.fit(job)))
        self._valid(model, self.view(data, data.pool), data.c)

    # ---------------------------------------------------------------------------------------------------- probabilities

    def test_probabilities_are_valid_on_any_view(self) -> None:
        data = self.dataset()
        job = self.job(data, data.pool[:20])
        model = self.build().fit(job)
        whole = self._valid(model, self.view(data, np.arange(len(data.items))), data.c)
        for ids in (data.pool, data.test, data.pool[:20], data.pool[-1:], data.pool[5:50:7]):
            part = self._valid(model, self.view(data, ids), data.c)
            expect(
                np.allclose(part, whole[ids], rtol=1e-4, atol=1e-5),
                f"the probabilities of {len(ids)} rows alone differ from those of the same rows among all: they depend "
                "on their neighbours in the view, or rows were mixed up.",
            )

    def test_unseen_classes_keep_their_columns(self) -> None:
        data = self.dataset(c=7)
        ids = data.pool[np.isin(data.pool % 7, (0, 4))]
        p = self._valid(self.build().fit(self.job(data, ids)), self.view(data, data.pool), 7)
        guess = p[np.isin(data.pool, ids)].argmax(axis=1)
        expect(
            bool(np.isin(guess, (0, 4)).all()),
            f"trained on the classes 0 and 4 of 7, it says {np.unique(guess).tolist()} about its own training rows: "
            "class numbers are declared, never positions among the classes seen.",
        )

    def test_one_class_seen(self) -> None:
        data = self.dataset()
        model = self.build().fit(self.job(data, data.pool[:10], np.full(10, 3)))
        p = self._valid(model, self.view(data, data.pool), data.c)
        expect(bool((p.argmax(axis=1) == 3).mean() > 0.5), "trained on class 3 alone, it mostly says something else.")

    def test_one_label(self) -> None:
        data = self.dataset()
        self._valid(self.build().fit(self.job(data, data.pool[:1])), self.view(data, data.pool), data.c)

    def test_one_label_per_class(self) -> None:
        data = self.dataset()
        ids = np.sort([data.pool[data.pool % data.c == j][0] for j in range(data.c)])
        self._valid(self.build().fit(self.job(data, ids)), self.view(data, data.pool), data.c)

    def test_equal_items_with_different_labels(self) -> None:
        data = self.dataset()
        items = np.array(data.items[np.arange(len(data.items))])
        items[:] = items[0]
        data = replace(data, items=ArrayItems(items))
        self._valid(self.build().fit(self.job(data, data.pool[:20])), self.view(data, data.pool), data.c)

    def test_zero_items(self) -> None:
        data = self.dataset()
        items = np.array(data.items[np.arange(len(data.items))])
        items[::2] = 0
        data = replace(data, items=ArrayItems(items))
        self._valid(self.build().fit(self.job(data, data.pool[:20])), self.view(data, data.pool), data.c)

    # ------------------------------------------------------------------------------------------------------------ needs

    def test_offers_or_says_why_not(self) -> None:
        learner = self.build()
        for need in self._vocabulary():
            answer = learner.offers(need)
            expect(isinstance(answer, Offer | str), f"asked for {need} it answered {answer!r}, no offer, no reason.")
            if isinstance(answer, str):
                expect(len(answer) >= REASON, f"the reason why there is no {need} says too little: {answer!r}.")
        expect(isinstance(learner.offers(Probs()), Offer), "a learner must offer probabilities.")

    def test_offers_are_kept(self) -> None:
        data = self.dataset()
        learner = self.build()
        model = learner.fit(self.job(data, data.pool[:20]))
        rest, bought = data.pool[20:], data.pool[:20]
        views = {"candidates": self.view(data, rest), "labelled": self.view(data, bought, bought % data.c)}
        for need in self._vocabulary():
            if need.frame not in views or not isinstance(learner.offers(need), Offer):
                continue
            view = views[need.frame]
            try:
                need.check(model.provide(need, view), view.ids, data.c)
            except (QueristError, TypeError, ValueError, LookupError, AttributeError) as error:
                raise AssertionError(f"{need} was offered, but providing it failed: {error!r}") from error

    def test_scoring_twice_is_identical(self) -> None:
        data = self.dataset()
        learner = self.build()
        model = learner.fit(self.job(data, data.pool[:20]))
        view = self.view(data, data.pool)
        first = self._read(learner, model, view)
        self._read(learner, model, self.view(data, data.test))
        learner.fit(self.job(data, data.pool[30:60]))
        _same(first, self._read(learner, model, self.view(data, data.pool)), "a second scoring gave other bits")

    def test_needs_agree_with_one_another(self) -> None:
        data = self.dataset()
        learner = self.build()
        bought = data.pool[:20]
        labels = (bought // 3) % data.c  # hard to fit, so that true and hypothesised labels differ
        model = learner.fit(self.job(data, bought, labels))
        view, labelled = self.view(data, data.pool[20:]), self.view(data, bought, labels)
        p = self._valid(model, view, data.c)
        offered = {type(n): isinstance(learner.offers(n), Offer) for n in (Logits(), Embeddings(), Head(), Gradients())}
        if offered[Logits]:
            logits = np.asarray(model.provide(Logits(), view), dtype=np.float64)
            q = np.exp(logits - logits.max(axis=1, keepdims=True))
            expect(_near(q / q.sum(axis=1, keepdims=True), p), "the softmax of the logits is not the probabilities.")
        if offered[Logits] and offered[Embeddings] and offered[Head]:
            logits = model.provide(Head(), view)(model.provide(Embeddings(), view))
            expect(_near(logits, model.provide(Logits(), view)), "the head of the embeddings is not the logits.")
        if offered[Gradients]:
            residual = np.asarray(model.provide(Gradients(), view).residual)
            expect(
                _near(residual, p - np.eye(data.c)[p.argmax(axis=1)]), "residuals are not p minus the likeliest class."
            )
        if offered[Gradients] and isinstance(learner.offers(Gradients(frame="labelled")), Offer):
            residual = np.asarray(model.provide(Gradients(frame="labelled"), labelled).residual)
            q = self._valid(model, labelled, data.c)
            expect(_near(residual, q - np.eye(data.c)[labels]), "residuals of labelled rows are not p minus the label.")
        if not any(offered.values()):
            skip("offers nothing but probabilities")

    # ---------------------------------------------------------------------------------------------------------- helpers

    def _vocabulary(self) -> list[Need[Any]]:
        return [n for need in NEEDS for n in dict.fromkeys((need, need.on("candidates"), need.on("labelled")))]

    def _valid(self, model: Model, view: View, c: int) -> Array:
        return np.asarray(Probs().check(model.provide(Probs(), view), view.ids, c), dtype=np.float64)

    def _read(self, learner: Learner, model: Model, view: View) -> dict[str, str]:
        """Fingerprints of everything the learner offers about unlabelled rows."""
        offered = [n for n in NEEDS if n.frame == "candidates" and isinstance(learner.offers(n), Offer)]
        values = {str(n): model.provide(n, view) for n in offered}
        return {name: fingerprint(value) for name, value in values.items() if not callable(value)}


class EncoderContract(ComponentContract):
    """The contract of encoders.

    Attributes:
        make: a class, a callable without arguments, or a method, that returns the encoder.
        shape: of one item.
    """

    shape: ClassVar[tuple[int, ...]] = (8, 8)

    def dataset(self) -> Dataset:
        """Return data without readable labels."""
        return fake_dataset(n=120, shape=self.shape, poisoned=True)

    def test_features_are_finite_float32(self) -> None:
        data = self.dataset()
        fitted = self._fit(data)
        for ids in (data.pool, data.test, data.pool[:1]):
            f = fitted.encode(View(data, ids))
            expect(f.dtype == np.float32, f"features are {f.dtype}, expected float32.")
            expect(f.ndim == 2 and len(f) == len(ids), f"features of {len(ids)} items have shape {f.shape}.")
            expect(bool(np.isfinite(f).all()), "features are not finite.")

    def test_encoding_is_row_wise(self) -> None:
        data = self.dataset()
        fitted = self._fit(data)
        whole = fitted.encode(View(data, np.arange(len(data.items))))
        scale = float(np.abs(whole).max())
        for ids in (data.pool, data.test, data.pool[3:4], data.pool[5:50:7]):
            part = fitted.encode(View(data, ids))
            expect(
                part.shape[1:] == whole.shape[1:] and np.allclose(part, whole[ids], rtol=1e-4, atol=1e-5 * scale),
                f"{len(ids)} items alone are encoded differently than among all: a row may depend on its item only.",
            )

    def test_fit_sees_the_pool_alone(self) -> None:
        data = self.dataset()
        spy = SpyItems(data.items)
        watched = replace(data, items=spy)
        with spy.during("fit"):
            self.build().fit(View(watched, data.pool), Seed(0))
        foreign = np.setdiff1d(spy.read("fit"), data.pool)
        expect(not len(foreign), f"items outside the pool were read while fitting: ids {foreign[:5].tolist()}.")

    def test_reads_no_labels(self) -> None:
        data = self.dataset()
        try:
            self._fit(data).encode(View(data, data.test))
        except LeakError as error:
            raise AssertionError(f"an encoder needs no labels, but it reached for them: {error}") from error

    def test_same_pool_same_features(self) -> None:
        data = self.dataset()
        view = View(data, np.arange(len(data.items)))
        encoder = self.build()
        first = encoder.fit(View(data, data.pool), Seed(3)).encode(view)
        for again in (encoder, self.build()):
            second = again.fit(View(data, data.pool), Seed(3)).encode(view)
            expect(np.array_equal(first, second), "fitting again to the same pool gave other features.")

    def test_encoding_twice_is_identical(self) -> None:
        data = self.dataset()
        encoder: Encoder = self.build()
        fitted = encoder.fit(View(data, data.pool), Seed(0))
        first = np.array(fitted.encode(View(data, data.pool)))
        fitted.encode(View(data, data.test))
        encoder.fit(View(data, data.pool[:40]), Seed(1))
        expect(np.array_equal(first, fitted.encode(View(data, data.pool))), "encoding twice gave other bits.")

    def test_global_generators_are_left_alone(self) -> None:
        data = self.dataset()
        with global_rng_untouched():
            self._fit(data).encode(View(data, data.test))

    def test_items_are_left_alone(self) -> None:
        data = self.dataset()
        everything = np.arange(len(data.items))
        before = fingerprint(data.items[everything])
        self._fit(data).encode(View(data, data.pool))
        expect(
            before == fingerprint(data.items[everything]),
            "the items of the dataset were changed: everything else shares them.",
        )

    def test_different_items_are_told_apart(self) -> None:
        data = self.dataset()
        f = self._fit(data).encode(View(data, data.pool))
        expect(len(np.unique(f, axis=0)) > 1, "all items are encoded alike, so nothing can be told apart.")

    def test_constant_items(self) -> None:
        data = self.dataset()
        items = np.array(data.items[np.arange(len(data.items))])
        for fill in (0, items[0]):
            items[:] = fill
            constant = replace(data, items=ArrayItems(items.copy()))
            f = self._fit(constant).encode(View(constant, data.pool))
            expect(bool(np.isfinite(f).all()), "items without any variance gave features that are not finite.")

    def _fit(self, data: Dataset) -> Any:
        return self.build().fit(View(data, data.pool), Seed(0))


def _same(one: dict[str, str], other: dict[str, str], problem: str) -> None:
    differ: Sequence[str] = [need for need, value in one.items() if other.get(need) != value]
    expect(not differ, f"{problem}: {', '.join(differ)} differ in at least one bit.")


def _near(one: Any, other: Any) -> bool:
    return bool(np.allclose(one, other, rtol=1e-4, atol=1e-5))
