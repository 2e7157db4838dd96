"""How much a query relies on its leaf: as far as its class is likely to be known."""

from __future__ import annotations

import numpy as np

from sklearn_hierret.class_models import ClassModel
from sklearn_hierret.discriminant import known_share
from sklearn_hierret.retrieval._gallery import Gallery

#: Samples of a gallery that its share of known classes is estimated from, and the least estimate: where
#: queries and training samples differ in more than their classes, the likelihood says too little.
MOST_SAMPLES, LEAST_SHARE = 4096, 0.35
#: A query has ``k_q = P(known) ** POWER``: half known is nearly unknown (docs/regimes.md).
POWER = 4
#: Limits of the chosen weight where queries may be of unknown classes. The least one is for predicted leaves:
#: a smaller weight would only prevent a loss at rank 1, which k_q prevents already. The greatest one is for
#: labels as leaves: a query of an unknown class is too close to some known class (docs/regimes.md).
LEAST_OPEN_ALPHA, MOST_OPEN_ALPHA = 8.0, 1.0


def share_of_gallery(gallery: Gallery, source: str, model: ClassModel) -> float:
    """Return the share of a gallery's samples whose class a class model knows.

    Where leaves are labels, the share is counted. Otherwise it is estimated from up to 4,096 samples, of
    which training samples count as known, and is 0.35 at least.
    """
    if not len(gallery):
        return 1.0
    labels = gallery.labels
    if source == "labels" and labels is not None:
        distinct, counts = np.unique(labels, return_counts=True)
        return float(counts[np.isin(distinct, model.classes)].sum() / counts.sum())
    n = len(gallery)
    positions = np.unique(np.linspace(0, n - 1, min(n, MOST_SAMPLES)).astype(np.intp))
    log_odds = np.full(len(positions), np.inf)
    others = np.flatnonzero(gallery.samples.serials[positions] >= gallery.origin.n_train)
    if len(others):
        log_odds[others] = model.known_log_odds(gallery.features_at(positions[others]))
    return max(LEAST_SHARE, known_share(log_odds))
