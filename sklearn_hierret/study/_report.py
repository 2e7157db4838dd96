"""Tables and figures of a study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sklearn_hierret._files import written_whole

N_RESAMPLES = 2000
_TITLES = {"map": "mAP@k", "ahp": "AHP@k"}


def write(
    per_query: pd.DataFrame, chosen: dict, config: dict, out: Path, seed: int, regimes: Sequence[str] = ()
) -> pd.DataFrame:
    """Write summary.csv, report.md, parameters.json and the figures; return the summary.

    Parameters
    ----------
    per_query : DataFrame
        kind, method, metric, k, query, score.
    chosen : dict
        Parameters by kind and method.
    regimes : sequence of str
        Kinds that get a figure of their own.
    """
    summary = summarise(per_query, seed)
    texts = {
        "summary.csv": summary.to_csv(index=False, float_format="%.5f"),
        "report.md": _markdown(summary, chosen, config),
        "parameters.json": json.dumps(chosen, indent=1) + "\n",
    }
    for name, text in texts.items():
        with written_whole(out / name) as part:
            part.write_text(text, encoding="utf-8")
    figures = {"curves": _curves(summary)}
    open_ones = summary["kind"].isin(regimes)
    for name, rows in (("robustness", summary[~open_ones]), ("regimes", summary[open_ones])):
        if rows["kind"].nunique() > (name == "robustness"):
            figures[name] = _side_by_side(rows)
    for name, figure in figures.items():
        with written_whole(out / f"{name}.png") as part:
            figure.savefig(part, dpi=120)
    return summary


def summarise(per_query: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Means, and 95 % intervals of the differences to cosine by a paired bootstrap over queries."""
    rows = []
    random = np.random.RandomState(seed)
    for (kind, metric, k), group in per_query.groupby(["kind", "metric", "k"], sort=False):
        table = group.pivot(index="query", columns="method", values="score")
        table = table[table.notna().all(axis=1)]
        draws = _resampled_means(table.to_numpy(), random)
        base = draws[:, table.columns.get_loc("cosine")]
        for i, method in enumerate(table.columns):
            low, high = np.percentile(draws[:, i], [2.5, 97.5])
            d_low, d_high = np.percentile(draws[:, i] - base, [2.5, 97.5])
            mean = table[method].mean()
            gain = mean - table["cosine"].mean()
            rows.append((kind, method, metric, int(k), mean, low, high, gain, d_low, d_high))
    columns = ["kind", "method", "metric", "k", "score", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "over_cosine", "over_cosine_low", "over_cosine_high"])


def _resampled_means(scores: NDArray, random: np.random.RandomState) -> NDArray:
    """(N_RESAMPLES, n_methods) means of bootstrap samples of the rows."""
    n = len(scores)
    means = np.empty((N_RESAMPLES, scores.shape[1]))
    for start in range(0, N_RESAMPLES, 100):
        counts = random.multinomial(n, np.full(n, 1 / n), size=100)
        means[start : start + 100] = counts @ scores / n
    return means


def _markdown(summary: pd.DataFrame, chosen: dict, config: dict) -> str:
    lines = [
        f"# Study: {config['data']}",
        "",
        f"{config['n_train']} samples to learn from (a fifth of them to choose parameters), "
        f"{min(config['n_queries'], config['n_test'])} test samples as queries against each other, "
        f"{config['n_classes']} classes; network: {config['network']}. Intervals are 95 %, of the difference "
        "to cosine, by a paired bootstrap over queries.",
    ]
    for kind in summary["kind"].unique():
        rows = summary[summary["kind"] == kind]
        k_map = _nearest(rows, "map", 20)
        columns = [("map", k_map)]
        if (rows["metric"] == "ahp").any():
            columns.append(("ahp", _nearest(rows, "ahp", 100)))
        header = ["method"]
        for metric, k in columns:
            header += [f"{'mAP' if metric == 'map' else 'AHP'}@{k}", "over cosine"]
        lines += ["", f"## {kind}", "", _row([*header, "chosen"]), _row(["---"] * (len(header) + 1))]
        order = rows[(rows["metric"] == "map") & (rows["k"] == k_map)]
        for method in order.sort_values("score")["method"]:
            cells = [method]
            for metric, k in columns:
                one = rows[(rows["method"] == method) & (rows["metric"] == metric) & (rows["k"] == k)].iloc[0]
                low, high = one["over_cosine_low"], one["over_cosine_high"]
                cells += [f"{one['score']:.3f}", f"{one['over_cosine']:+.3f} [{low:+.3f}, {high:+.3f}]"]
            params = chosen.get(f"{kind}: {method}", {})
            cells.append(", ".join(f"{name.rpartition('__')[2]} {value:g}" for name, value in params.items()))
            lines.append(_row(cells))
    return "\n".join([*lines, ""])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _nearest(summary: pd.DataFrame, metric: str, k: int) -> int:
    """Return the k, at hand for every kind of data, that is nearest below the wanted one."""
    rows = summary[summary["metric"] == metric]
    n_kinds = rows.groupby("k")["kind"].nunique()
    ks = n_kinds.index[n_kinds == rows["kind"].nunique()]
    return int(ks[ks <= k].max()) if (ks <= k).any() else int(ks.min())


def _curves(summary: pd.DataFrame) -> Any:
    """Each metric against k, clean data (venkataramanan2023, Fig. 2)."""
    from matplotlib.figure import Figure

    clean = summary[summary["kind"] == "clean"]
    metrics = list(clean["metric"].unique())
    figure = Figure(figsize=(6.2 * len(metrics) + 3.4, 5.0), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(metrics)))
    # The best first, as their lines lie in the picture.
    at = clean[(clean["metric"] == metrics[0]) & (clean["k"] == _nearest(summary, metrics[0], 20))]
    order = at.sort_values("score", ascending=False)["method"].tolist()
    styles = _styles(order)
    for ax, metric in zip(axes, metrics, strict=True):
        own = clean[clean["metric"] == metric]
        for method in order:
            rows = own[own["method"] == method]
            ax.plot(rows["k"], rows["score"], label=method, **styles[method])
        ax.set(xscale="log", xlabel="k", ylabel=_TITLES[metric])
        ks = sorted(clean["k"].unique())
        ax.set_xticks(ks, [str(k) for k in ks], minor=False)
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _side_by_side(summary: pd.DataFrame) -> Any:
    """mAP of several kinds of data side by side (venkataramanan2023, Fig. 3)."""
    from matplotlib.figure import Figure

    k = _nearest(summary, "map", 20)
    rows = summary[(summary["metric"] == "map") & (summary["k"] == k)]
    table = rows.pivot(index="method", columns="kind", values="score")[list(rows["kind"].unique())]
    table = table.sort_values(table.columns[0], na_position="first")
    figure = Figure(figsize=(8.5, 0.5 * len(table) + 1.2), layout="constrained")
    ax = figure.subplots()
    height = 0.8 / len(table.columns)
    for i, kind in enumerate(table.columns):
        offset = (len(table.columns) - 1) / 2 - i
        ax.barh(np.arange(len(table)) + offset * height, table[kind], height, label=kind)
    ax.set_yticks(np.arange(len(table)), table.index)
    ax.set(xlabel=f"mAP@{k}", xlim=(0, 1))
    ax.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(table.columns), fontsize=9)
    return figure


def _styles(methods: Any) -> dict[str, dict]:
    """Choose styles: controls grey and without markers, all others in colours of their own."""
    import matplotlib

    palette: list[Any] = [c for i, c in enumerate(matplotlib.color_sequences["tab10"]) if i != 7]  # grey
    palette += ["black", "gold", "navy"]
    markers = "osD^vPX*<>hd"
    styles: dict[str, dict] = {}
    controls = [method for method in methods if method.startswith("control")]
    for i, method in enumerate(controls):
        styles[method] = {"color": "grey", "linestyle": [":", "--", "-."][i % 3], "linewidth": 1.3}
    for i, method in enumerate(m for m in methods if m not in controls):
        styles[method] = {
            "color": palette[i % len(palette)],
            "marker": markers[i % len(markers)],
            "markersize": 4,
        }
    return styles
