"""
Binary codes: a gallery in a few bytes a sample
===============================================

Hashers turn features into packed bits, here into fewer bits than there were floats, and a
`HammingRetriever` searches them. How much accuracy is left, and what does a hierarchy add?
"""

# %%
# Digits as features of 64 pixels. Codes by signs of principal components, and by ITQ, which rotates them
# first; both need no labels. With labels, leaves by a class model of the bits and Ward's tree of the
# classes are added to the Hamming distance.
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_hierret import (
    HammingRetriever,
    HierarchicalRetriever,
    ITQHasher,
    LinkageHierarchyBuilder,
    PCAHasher,
    evaluate_retrieval,
)

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(digits.data, digits.target, random_state=0)
tree = LinkageHierarchyBuilder().fit(X_train, y_train).hierarchy_
BITS = (8, 16, 32, 48)


def map_at_20(retriever, queries):
    # Hamming distances tie a lot: take the mean over all orders of ties, not one arbitrary order.
    table = evaluate_retrieval(retriever, queries, y_test, [20], gallery="fit", ties="average")
    return table["score"].item()


rows = []
for n_bits in BITS:
    for name, hasher in (("PCA signs", PCAHasher(n_bits)), ("ITQ", ITQHasher(n_bits, random_state=0))):
        codes, queries = hasher.fit(X_train).transform(X_train), hasher.transform(X_test)
        rows.append(
            [name, n_bits, codes.shape[1], map_at_20(HammingRetriever(alpha=0).fit(codes, y_train), queries)]
        )
    leaves = HammingRetriever(tree).fit(codes, y_train)
    rows.append(["ITQ and leaves", n_bits, codes.shape[1], map_at_20(leaves, queries)])

# %%
# With torch installed, a small network learns codes that keep the tree. It sees the same pixels.
if find_spec("torch") and find_spec("skorch"):
    from sklearn_hierret import ClassHierarchy
    from sklearn_hierret.nn import CNNHashExtractor

    # A tree of nine merges has nine levels; three are enough for so few bits.
    levels = ClassHierarchy.from_levels([tree.cut(n_clusters=m) for m in (10, 5, 2, 1)], tree.classes)
    images, more = (X.reshape(-1, 8, 8) / 16 for X in (X_train, X_test))
    for n_bits in BITS:
        net = CNNHashExtractor(
            "tiny", n_bits=n_bits, hierarchy=levels, max_epochs=15, batch_size=64, lr=3e-3, random_state=0
        )
        codes = net.fit(images, y_train).transform(images)
        retriever = HammingRetriever(alpha=0).fit(codes, y_train)
        rows.append(["CNN, HPDH", n_bits, codes.shape[1], map_at_20(retriever, net.transform(more))])

# %%
# What floats reach, eight bytes a pixel.
n_bytes = X_train[0].nbytes
cosine = map_at_20(HierarchicalRetriever(metric="cosine", alpha=0).fit(X_train, y_train), X_test)
both = map_at_20(HierarchicalRetriever(tree).fit(X_train, y_train), X_test)
rows += [["floats, cosine", "", n_bytes, cosine], ["floats, soft leaves", "", n_bytes, both]]
table = pd.DataFrame(rows, columns=["codes", "bits", "bytes a sample", "mAP@20"])
print(table.to_string(index=False, float_format="%.3f"))

# %%
# Left, accuracy against bits; right, codes of 64 bits, 20 digits of each class in the order of the tree.
figure = Figure(figsize=(10, 4.4), layout="constrained")
left, right = figure.subplots(1, 2)
for name, group in table[table["bits"] != ""].groupby("codes", sort=False):
    left.plot(group["bits"].astype(int), group["mAP@20"], marker="o", label=name)
left.axhline(cosine, color="gray", ls="--", label="floats, cosine")
left.axhline(both, color="black", ls=":", label="floats, soft leaves")
left.set(
    xlabel="bits", ylabel="mAP@20, ties averaged", xscale="log", xticks=BITS, xticklabels=BITS, ylim=(0, 1)
)
left.minorticks_off()
left.grid(alpha=0.3)
left.legend(fontsize=9)

hasher = ITQHasher(64, random_state=0).fit(X_train)
order = tree.classes[tree.leaf_order]
few = np.concatenate([np.flatnonzero(y_test == c)[:20] for c in order])
right.imshow(np.unpackbits(hasher.transform(X_test[few]), axis=1), aspect="auto", cmap="binary")
right.set(xlabel="bit", ylabel="digit", title="ITQ codes of test digits")
right.set_yticks(np.arange(10) * 20 + 10, order)
for place in range(20, 200, 20):
    right.axhline(place - 0.5, color="tab:blue", lw=0.8)

# %%
if "__file__" in globals():
    folder = Path(__file__).resolve().parent
    figure.savefig(folder / "hashing.png", dpi=120)
    print(f"saved {folder / 'hashing.png'}")
