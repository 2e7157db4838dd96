"""
What does the user mean?
========================

One image cannot say whether its class is meant, or the group that its class belongs to. Marks on results can:
`RetrievalSession` infers the node of the hierarchy that explains them. Two users start with the same
digit and mean different things.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_hierret import ClassHierarchy, FacetDisplay, HierarchicalRetriever, InteractionDisplay
from sklearn_hierret.explorer import explore
from sklearn_hierret.interaction import RetrievalSession, evaluate_interaction

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.6, random_state=0, stratify=y)
tree = ClassHierarchy.from_outline(
    """
digits
  closed
    round
      0
      6
    loop above
      8
      9
  open
    strokes
      1
      7
      4
    bows
      2
      3
      5
""",
    id_type=int,
)
retriever = HierarchicalRetriever(tree).fit(X_train, y_train)

# %%
# The results of one query, by the nodes that divide them.
query = int(np.flatnonzero(y_test == 9)[8])
facets = FacetDisplay.from_estimator(
    retriever,
    X_test[[query]],
    gallery_images=X_train.reshape(-1, 8, 8),
    query_image=X_test[query].reshape(8, 8),
    n_neighbors=150,
    n_facets=4,
    cmap="gray_r",  # the numbers are ink
)

# %%
# One user means nines, the other all digits with a loop above. The best results are nines, and right for
# both, so that marks on them would not tell the users apart. `propose` asks about what would.
for wanted in ([9], [8, 9]):
    session = RetrievalSession(retriever, X_test[[query]])
    asked = session.propose(5)
    is_right = np.isin(y_train[asked], wanted)
    session.mark(relevant=asked[is_right], irrelevant=asked[~is_right])
    print(f"\nwanted: {wanted}; asked about: {y_train[asked].tolist()}")
    print(session.nodes().head(2)[["node", "probability"]].to_string(index=False))
    found = y_train[session.kneighbors(100, return_distance=False)[0]]
    print(f"the next hundred results: {np.isin(found, wanted).mean():.0%} right")

# %%
# Simulated users with objectives at random levels; the baselines move the query, or classify the marks.
table = evaluate_interaction(retriever, X_test, y_test, tree, rounds=4, n_queries=80)
figure = Figure(figsize=(9, 3.6), layout="constrained")
for ax, metric in zip(figure.subplots(1, 2), ("precision", "ahp"), strict=True):
    InteractionDisplay(table, metric=metric).plot(ax)

# %%
# The same to click on: a page with the tree, both rankings, facets and marks.
if "__file__" in globals():
    folder = Path(__file__).resolve().parent
    figure.savefig(folder / "feedback_rounds.png", dpi=120)
    facets.figure_.savefig(folder / "feedback_facets.png", dpi=120)
    page = explore(
        retriever, X_test, y_test, images=X_test.reshape(-1, 8, 8) / 16, path=folder / "feedback.html"
    )
    print(f"\nsaved {folder / 'feedback_rounds.png'}, {folder / 'feedback_facets.png'} and {page.path}")
