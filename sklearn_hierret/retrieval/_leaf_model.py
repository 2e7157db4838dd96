"""What a fit makes of a hierarchy and a class model: leaves of samples, and distances between leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret._state import value
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.building import CombinedHierarchyBuilder
from sklearn_hierret.class_models import ClassModel, HeldOutLeaves, class_model_of
from sklearn_hierret.hashing import unpack_signs
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy, plain_value, shorten
from sklearn_hierret.leaves import expected_distances, joined_leaves
from sklearn_hierret.new_classes import DiscoveredClasses, Evidence, OpenModel, TaughtClasses, extended_tree

#: Stem of hierarchies learned from features, of those that names or given ones are part of, and of given ones
#: (docs/defaults.md).
LEARNED_STEM, MIXED_STEM, GIVEN_STEM = 0.7, 0.6, 0.5


@value("held-out sample")
class HeldOutSample(NamedTuple):
    """Class probabilities of some training samples, by models that did not see them, and their labels."""

    proba: NDArray[np.float32]
    labels: NDArray


@value("leaf model")
@dataclass(frozen=True)
class LeafModel:
    """A fitted class model, and a tree of its classes.

    Attributes
    ----------
    hierarchy : ClassHierarchy or CombinedHierarchy
    builder : fitted builder, or None if a hierarchy was given
    classifier : fitted classifier
    tree : ClassHierarchy or CombinedHierarchy
        The hierarchy with its classes in the order in which leaves are numbered: those of the class
        model, and then those that only the hierarchy knows.
    of_codes : bool
        Whether samples are packed codes, which the class model sees as -1 and 1.
    sample : HeldOutSample or None
        What fit held out.
    evidence : Evidence or None
        What tells new classes from known ones; None where features are codes.
    new : TaughtClasses, DiscoveredClasses or None
        Classes that a gallery brought; the last ones of the tree, unless the hierarchy knows them.
    closed_tree : ClassHierarchy, CombinedHierarchy or None
        The tree without them.
    parents : tuple of (label, name of node) pairs
        Where a user put some of them.
    """

    hierarchy: ClassHierarchy | CombinedHierarchy
    builder: Any
    classifier: Any
    tree: ClassHierarchy | CombinedHierarchy
    of_codes: bool = False
    sample: HeldOutSample | None = None
    evidence: Evidence | None = None
    new: TaughtClasses | DiscoveredClasses | None = None
    closed_tree: Any = None
    parents: tuple[tuple[Any, Any], ...] = ()
    _trees: dict = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def model(self) -> ClassModel:
        """The classifier as a class model."""
        model = self.known_model
        if self.new is None:
            return model
        assert self.evidence is not None
        return OpenModel(model, self.evidence, self.new, self.tree.index(self.new.labels))

    @property
    def open_model(self) -> OpenModel:
        """The class model with new classes, which must be there."""
        assert isinstance(self.model, OpenModel)
        return self.model

    @cached_property
    def known_model(self) -> ClassModel:
        """The class model of the classes of the fit."""
        model = class_model_of(self.classifier)
        return CodeModel(model) if self.of_codes else model

    @property
    def closed(self) -> LeafModel:
        """The same without new classes."""
        if self.new is None:
            return self
        return replace(self, tree=self.closed_tree, new=None, closed_tree=None, _trees={})

    def opened(self, new: TaughtClasses | DiscoveredClasses) -> LeafModel:
        """Return the same with new classes, instead of those that it has.

        In trees that were learned they stand where linkage would put them, in given ones below the root;
        those of `parents` stand below the nodes of these names, and classes that the hierarchy knows where it
        has them.
        """
        closed, evidence = self.closed, self.evidence
        assert evidence is not None
        is_added = ~np.isin(new.labels, closed.tree.classes)
        labels, directions = new.labels[is_added], new.directions[is_added]

        def extended(tree: ClassHierarchy, is_learned: bool) -> ClassHierarchy:
            numbers = {tree.node_names[node]: node for node in range(tree.n_classes, tree.n_nodes)}
            places = {label: numbers[name] for label, name in self.parents if name in numbers}
            if not is_learned:
                return extended_tree(tree, labels, places=places)
            return extended_tree(tree, labels, directions, evidence.prototypes, places)

        tree, learned = closed.tree, [origin == "features" for origin in self._origins()]
        if isinstance(tree, CombinedHierarchy):
            if len(learned) != len(tree.hierarchies):
                learned = [False] * len(tree.hierarchies)
            parts = [
                extended(part, by_linkage) for part, by_linkage in zip(tree.hierarchies, learned, strict=True)
            ]
            longer: ClassHierarchy | CombinedHierarchy = CombinedHierarchy(parts, tree.weights)
        else:
            longer = extended(tree, all(learned))
        return replace(closed, tree=longer, new=new, closed_tree=tree, _trees={})

    def placed(self, parents: Mapping | None) -> LeafModel:
        """Return the same with parents of classes that a gallery is going to bring, besides those it has.

        Raises
        ------
        ValueError
            For names of nodes that the hierarchy lacks or has several times, and for classes that it has.
        """
        if parents is None:
            return self
        if not isinstance(parents, Mapping):
            raise ValueError(
                "parents must be a mapping from new labels to names of inner nodes, "
                f"got {type(parents).__name__}."
            )
        tree = self.closed.tree
        trees = tree.hierarchies if isinstance(tree, CombinedHierarchy) else [tree]
        names = [of.node_names[of.n_classes :] for of in trees]
        pairs = [(plain_value(label), plain_value(name)) for label, name in parents.items()]
        for label, name in pairs:
            if label in self.tree.classes.tolist():
                raise ValueError(f"parents: the hierarchy has the class {label!r} already.")
            if not any(name in of_tree for of_tree in names):
                raise ValueError(f"parents: the hierarchy has no inner node with the name {name!r}.")
            if any(of_tree.count(name) > 1 for of_tree in names):
                raise ValueError(f"parents: the hierarchy has several nodes with the name {name!r}.")
        return replace(self, parents=(*self.parents, *pairs), _trees={})

    def check_placed(self) -> None:
        """Raise a ValueError if parents were given of classes that no gallery has brought."""
        brought = self.new.labels.tolist() if isinstance(self.new, TaughtClasses) else []
        absent = [label for label, _ in self.parents if label not in brought]
        if absent:
            raise ValueError(f"parents: these labels of the gallery teach no new class: {shorten(absent)}.")

    def with_weights(self, weights: ArrayLike) -> LeafModel:
        """Return the same with other weights of a combined hierarchy's parts."""
        closed = self.closed
        if isinstance(self.builder, CombinedHierarchyBuilder):
            hierarchy = self.builder.combined(weights)
        else:
            assert isinstance(self.hierarchy, CombinedHierarchy)
            hierarchy = CombinedHierarchy(self.hierarchy.hierarchies, weights)
        tree = hierarchy.restrict(closed.tree.classes)
        closed = replace(closed, hierarchy=hierarchy, tree=tree, _trees={})
        return closed if self.new is None else closed.opened(self.new)

    def stem(self, stem: float | str) -> float:
        """Return a stem as a number."""
        if not isinstance(stem, str):
            return float(stem)
        origins = self._origins()
        if set(origins) == {"features"}:
            return LEARNED_STEM
        return GIVEN_STEM if self.builder is None and set(origins) == {"given"} else MIXED_STEM

    def _origins(self) -> list[str]:
        """Return the origin of each part of the hierarchy."""
        if self.builder is None:
            tree = self.hierarchy
            parts: list[Any] = list(tree.hierarchies) if isinstance(tree, CombinedHierarchy) else [tree]
        else:
            parts = [part for _, part in getattr(self.builder, "builders_", [("", self.builder)])]
        trees = [getattr(part, "hierarchy_", part) for part in parts]
        return [tree.origin if isinstance(tree, ClassHierarchy) else "mixed" for tree in trees]

    def ranking_tree(self, stem: float | str) -> ClassHierarchy | CombinedHierarchy:
        """Return the tree that distances are taken from: those of different leaves are at least the stem."""
        if stem not in self._trees:
            self._trees[stem] = self.tree.with_stem(self.stem(stem))
        return self._trees[stem]

    def distances(self, leaves: NDArray, stem: float | str) -> NDArray[np.float64]:
        """Compute the expected D_H of leaves to all classes, (n_samples, n_classes)."""
        return expected_distances(leaves, self.ranking_tree(stem))

    def of_labels(self, labels: NDArray | None, gallery_leaves: str) -> NDArray[np.intp]:
        """Return the leaf of each label; -1 for those that the hierarchy lacks.

        Raises
        ------
        ValueError
            If `gallery_leaves` is "labels" and there are such labels, or none at all.
        """
        if labels is None:
            raise ValueError("gallery_leaves='labels' needs labels: pass y with the gallery.")
        leaf_of = {label: i for i, label in enumerate(self.tree.classes.tolist())}
        distinct, inverse = np.unique(labels, return_inverse=True)
        leaves = np.array([leaf_of.get(label, -1) for label in distinct.tolist()], dtype=np.intp)
        if gallery_leaves == "labels" and np.any(leaves < 0):
            raise ValueError(
                "gallery_leaves='labels', and the hierarchy lacks these labels: "
                f"{shorten(distinct[leaves < 0].tolist())}. With 'auto' such samples get predicted leaves."
            )
        return leaves[inverse]


class CodeModel:
    """A class model of packed codes, which it unpacks a few at a time."""

    def __init__(self, inner: ClassModel) -> None:
        self.inner = inner
        self.classes, self.keeps_folds = inner.classes, inner.keeps_folds
        self.parts = self.kept = None
        self.runs_in_threads = inner.runs_in_threads
        self.tells_known, self.tells_proba = inner.tells_known, inner.tells_proba

    def leaves(self, X: NDArray, assignment: str) -> NDArray:
        """Compute leaves."""
        return joined_leaves([self.inner.leaves(signs, assignment) for signs in _signs(X)])

    def proba(self, X: NDArray) -> NDArray:
        """Compute probabilities of all classes."""
        return np.concatenate([self.inner.proba(signs) for signs in _signs(X)])

    def known_log_odds(self, X: NDArray) -> NDArray[np.float64]:
        """Compute the log-odds that classes are known."""
        return np.concatenate([self.inner.known_log_odds(signs) for signs in _signs(X)])

    def held_out(self, training: TrainingSet, assignment: str, *, with_sample: bool = False) -> HeldOutLeaves:
        """Compute cross-fitted leaves."""
        training = replace(training, X=unpack_signs(training.X))
        return self.inner.held_out(training, assignment, with_sample=with_sample)

    def dealt(self, X: NDArray) -> TrainingSet:
        """Raise an error: there are no folds."""
        raise NotImplementedError

    def release(self) -> None:
        """Drop what only a fit asks for."""
        self.inner.release()


def _signs(codes: NDArray) -> list[NDArray]:
    """Unpack codes; these take 32 times the room, and so does what models make of them."""
    return [unpack_signs(codes[rows]) for rows in row_chunks(len(codes), 8 * 32 * codes.shape[1])] or [
        unpack_signs(codes)
    ]
