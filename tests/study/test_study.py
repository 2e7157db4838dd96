import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from sklearn_hierret import HierarchicalRetriever, evaluate_retrieval
from sklearn_hierret.datasets import make_hierarchical_blobs
from sklearn_hierret.study.__main__ import main
from sklearn_hierret.study._data import read_data
from sklearn_hierret.study._methods import Method, SemanticProjection, tuned
from sklearn_hierret.study._report import summarise


@pytest.fixture
def features(tmp_path):
    """Features of nine classes with their taxonomy beside them."""
    X, y, tree = make_hierarchical_blobs(360, level_std=(2, 1), n_features=6, random_state=0)
    path = tmp_path / "blobs.npz"
    np.savez(path, X_train=X[:220], y_train=y[:220], X_test=X[220:], y_test=y[220:])
    tree.to_json(tmp_path / "hierarchy.json")
    return path


@pytest.mark.slow
def test_the_whole_study(features, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["--features", str(features), "--out", str(out), "--queries", "100"]) == 0
    report = (out / "report.md").read_text()
    assert report in capsys.readouterr().out
    for method in ("Euclidean", "paper: hard leaves", "soft leaves on semantic embeddings", "control: flat"):
        assert f"| {method} |" in report
    assert sorted(p.name for p in out.iterdir()) == [
        "config.json", "curves.png", "parameters.json", "report.md", "steps", "summary.csv",
    ]  # fmt: skip
    summary = pd.read_csv(out / "summary.csv")
    assert ((summary["low"] <= summary["score"]) & (summary["score"] <= summary["high"])).all()
    # A row by hand: cosine on the first hundred of the shuffled test part.
    data = read_data(None, features, None, 0)
    with np.load(out / "steps" / "features_clean.npz") as file:
        fit, y_fit = file["plain_fit"], file["y_fit"]
    model = HierarchicalRetriever(alpha=0).fit(fit, y_fit)
    Q = data.X_test[:100].astype(np.float32)
    expected = evaluate_retrieval(model, Q, data.y_test[:100], [20])["score"].item()
    row = summary[(summary["method"] == "cosine") & (summary["metric"] == "map") & (summary["k"] == 20)]
    assert row["score"].item() == pytest.approx(expected, abs=1e-4)
    # Again: nothing is computed, the same comes out; and a deleted step alone is made again.
    before = (out / "summary.csv").read_bytes()
    (out / "steps" / "scores_clean_cosine.csv").unlink()
    assert main(["--features", str(features), "--out", str(out), "--queries", "100"]) == 0
    printed = capsys.readouterr().out
    assert "going on with" in printed
    assert printed.count("clean: ") == 1
    assert (out / "summary.csv").read_bytes() == before
    assert main(["--features", str(features), "--out", str(out), "--queries", "99"]) == 2
    assert "holds another study" in capsys.readouterr().err


@pytest.mark.slow
def test_digits_with_pixels(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--data", "digits", "--network", "none", "--out", str(out), "--queries", "300"]
    assert main(arguments) == 0
    summary = pd.read_csv(out / "summary.csv")
    assert set(summary["kind"]) == {"clean", "blur", "occlusion"}
    score = summary[(summary["metric"] == "map") & (summary["k"] == 20)].set_index(["kind", "method"])[
        "score"
    ]
    assert score["clean", "soft leaves"] > score["clean", "cosine"] + 0.05
    assert score["occlusion", "cosine"] < score["clean", "cosine"]
    assert (out / "robustness.png").stat().st_size > 10_000
    assert main([*arguments, "--seed", "1"]) == 2


@pytest.mark.slow
def test_regimes(features, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["--features", str(features), "--out", str(out), "--regimes"]) == 0
    assert (out / "regimes.png").stat().st_size > 10_000
    assert not (out / "robustness.png").exists()
    summary = pd.read_csv(out / "summary.csv")
    assert list(summary["kind"].unique()) == ["clean", "labelled", "half_unseen", "only_unseen"]
    steps = {}
    for kind in ("clean", "half_unseen", "only_unseen"):
        with np.load(out / "steps" / f"features_{kind}.npz") as file:
            steps[kind] = dict(file)
    known = np.unique(steps["half_unseen"]["y_fit"])
    assert len(known) == 5  # of nine
    assert set(steps["half_unseen"]["y_val"]) <= set(known)
    assert not np.isin(steps["only_unseen"]["y_test"], known).any()
    assert len(steps["half_unseen"]["y_test"]) == len(steps["clean"]["y_test"]) == 140
    # Rows by hand: the defaults with a labelled gallery, and among new classes only.
    clean, new = steps["clean"], steps["only_unseen"]
    tree = read_data(None, features, None, 0).taxonomy
    expected = {
        "labelled": (clean, {"gallery": "fit"}),
        "only_unseen": (new, {"gallery": "query"}),
    }
    for kind, (arrays, gallery) in expected.items():
        model = HierarchicalRetriever().fit(arrays["plain_fit"], arrays["y_fit"])
        table = evaluate_retrieval(
            model, arrays["plain_test"], arrays["y_test"], [20], ["map", "ahp"], hierarchy=tree, **gallery
        )
        rows = summary[(summary["kind"] == kind) & (summary["method"] == "defaults") & (summary["k"] == 20)]
        np.testing.assert_allclose(rows["score"], table["score"], atol=1e-4)
    labelled = summary[summary["kind"] == "labelled"]["method"].unique()
    assert "Euclidean" not in labelled
    assert {"discriminant space, then cosine", "OASIS, then cosine", "defaults, taxonomy"} <= set(labelled)


def test_validation_chooses(rng):
    X, y, _ = make_hierarchical_blobs(300, level_std=(1.5, 0.7), n_features=6, random_state=1)
    method = Method("m", HierarchicalRetriever(), {"assignment": ["hard", "soft"]}, alphas=[0.0, 2.0, 8.0])
    model, params = tuned(method, X[:200], y[:200], X[200:], y[200:], 10)
    scores = {}
    for assignment in ("hard", "soft"):
        for alpha in (0.0, 2.0, 8.0):
            one = HierarchicalRetriever(assignment=assignment, alpha=alpha).fit(X[:200], y[:200])
            scores[assignment, alpha] = evaluate_retrieval(one, X[200:], y[200:], [10])["score"].item()
    assert scores[params["assignment"], params["alpha"]] == max(scores.values())
    assert (model.assignment, model.alpha) == (params["assignment"], params["alpha"])


def test_intervals_are_those_of_a_paired_bootstrap(rng):
    n = 400
    base = rng.random(n)
    scores = {"cosine": base, "better": base + 0.02, "noise": rng.random(n)}
    frame = pd.concat(
        pd.DataFrame({"kind": "clean", "method": m, "metric": "map", "k": 5, "query": range(n), "score": s})
        for m, s in scores.items()
    )
    summary = summarise(frame, seed=0).set_index("method")
    better = summary.loc["better"]
    assert better["over_cosine_low"] == pytest.approx(0.02)  # the same for each query
    assert better["over_cosine_high"] == pytest.approx(0.02)
    noise = scores["noise"] - base
    half = 1.96 * noise.std() / np.sqrt(n)
    assert summary.loc["noise", "over_cosine_low"] == pytest.approx(noise.mean() - half, abs=half / 5)
    assert summary.loc["noise", "over_cosine_high"] == pytest.approx(noise.mean() + half, abs=half / 5)


def test_semantic_projection_points_to_the_class():
    X, y, tree = make_hierarchical_blobs(400, n_features=12, random_state=0)
    projected = SemanticProjection(tree).fit(X[:200], y[:200]).transform(X[200:])
    from sklearn_hierret import class_embedding

    nearest = (projected @ class_embedding(tree).T).argmax(axis=1)
    assert np.mean(nearest == y[200:]) > 0.9


def test_what_is_wrong_is_said(features, tmp_path, capsys):
    (tmp_path / "bad.npz").write_bytes(b"junk")
    np.savez(tmp_path / "few.npz", X_train=np.zeros((2, 2)))
    X, y = np.zeros((9, 2)), np.arange(9) % 2
    for name, change in {
        "short": {"X_train": X[:5]},
        "nan": {"X_test": np.full((9, 2), np.nan)},
        "flat": {"X_train": X[:, 0]},
    }.items():
        arrays = {"X_train": X, "y_train": y, "X_test": X, "y_test": y, **change}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "tree.txt").write_text("9 0\n9 1\n")
    wrong = [
        ([], "--data or --features"),
        (["--data", "imagenet"], "--data is digits"),
        (["--data", "plankton"], "plankton=PATH"),
        (["--data", f"plankton={tmp_path}"], "train.npz is not there"),
        (["--data", f"folder={tmp_path / 'none'}"], "none is not there"),
        (["--features", str(tmp_path / "none.npz")], "none.npz is not there"),
        (["--features", str(tmp_path / "bad.npz")], "bad.npz"),
        (["--features", str(tmp_path / "few.npz")], "no array 'y_train'"),
        (["--features", str(tmp_path / "short.npz")], "X_train must be a matrix"),
        (["--features", str(tmp_path / "flat.npz")], "X_train must be a matrix"),
        (["--features", str(tmp_path / "nan.npz")], "X_test holds NaN"),
        (["--features", str(features), "--taxonomy", str(tmp_path / "none.txt")], "none.txt is not there"),
        (
            ["--features", str(features), "--taxonomy", str(tmp_path / "tree.txt")],
            "missing in the hierarchy: 2",
        ),
        (["--features", str(features), "--out", str(tmp_path / "file" / "out")], "can't be written to"),
        (
            ["--features", str(features), "--queries", "-1"],
            "n_queries must be an integer of at least 2, got -1",
        ),
        (["--features", str(features), "--epochs", "-3"], "epochs must be an integer of at least 0"),
        (["--features", str(features), "--size", "0"], "size must be an integer of at least 1"),
        (["--features", str(features), "--seed", "-1"], "Seed must be between 0"),
    ]
    for arguments, message in wrong:
        out = [] if "--out" in arguments else ["--out", str(tmp_path / "out")]
        assert main([*arguments, *out]) == 2, arguments
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_folders_of_images(tmp_path, rng, capsys):
    image = pytest.importorskip("PIL.Image", reason="pillow comes with matplotlib")
    for name, low in (("light/white", 200), ("light/pale", 140), ("dark/black", 0), ("dark/dim", 60)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(low, low + 50, (10, 8, 3), dtype=np.uint8)
            image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    data = read_data(f"folder={tmp_path / 'images'}", None, None, 0)
    assert len(data.X_train) == len(data.X_test) == 24
    assert data.taxonomy.distance("black", ["dim", "pale"]).tolist() == [0.5, 1.0]
    out = tmp_path / "out"
    arguments = ["--data", f"folder={tmp_path / 'images'}", "--network", "none", "--out", str(out)]
    assert main([*arguments, "--no-retrain"]) == 0
    assert set(pd.read_csv(out / "summary.csv")["kind"]) == {"clean", "blur", "saturation", "occlusion"}


@pytest.mark.slow
def test_another_file_is_another_study(features, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--features", str(features), "--out", str(out), "--queries", "40"]
    assert main(arguments) == 0
    with np.load(features) as file:
        arrays = dict(file)
    arrays["X_train"][0, 0] += 1
    np.savez(features, **arrays)
    capsys.readouterr()
    assert main(arguments) == 2
    assert "holds another study (other content in" in capsys.readouterr().err


@pytest.mark.slow
def test_damaged_steps_are_named(features, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--features", str(features), "--out", str(out), "--queries", "40"]
    assert main(arguments) == 0
    report = (out / "report.md").read_bytes()
    for name in ("steps/features_clean.npz", "steps/scores_clean_cosine.csv", "config.json"):
        whole = (out / name).read_bytes()
        (out / name).write_bytes(whole[: len(whole) // 2])
        assert main(arguments) == 2
        assert f"{name} is damaged" in capsys.readouterr().err
        (out / name).unlink()
        assert main(arguments) == 0
    assert (out / "report.md").read_bytes() == report


def test_queries_with_nothing_to_find_are_said(tmp_path, rng, capsys):
    y = np.arange(60) % 3
    X = rng.normal(size=(63, 5)) + 3 * np.eye(5)[np.r_[y, 0, 1, 2]]
    np.savez(tmp_path / "one.npz", X_train=X[:60], y_train=y, X_test=X[60:], y_test=[0, 1, 2])
    assert main(["--features", str(tmp_path / "one.npz"), "--out", str(tmp_path / "out")]) == 2
    assert "no test sample has another one of its class to find" in capsys.readouterr().err


def test_a_study_that_failed_at_once_can_be_corrected(features, tmp_path, capsys):
    """A wrong name, and then the right one, in the same folder."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text('{"network": "frozen:of-no-such-name"}')
    study = ["--features", str(features), "--out", str(out), "--queries", "60"]
    assert main(study) == 0, capsys.readouterr().err
    (out / "config.json").write_text('{"network": "frozen:other"}')  # there are steps now
    assert main(study) == 2
    assert "holds another study" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_unfinished(features, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "sklearn_hierret.study", "--features", str(features), "--out", str(out)]
    # Stops while it writes its first step, where it waits to be killed.
    slow = (
        "import runpy, sys, time, numpy; save = numpy.savez\n"
        "def savez(part, **arrays):\n    save(part, **arrays); print('writing', flush=True); time.sleep(60)\n"
        "numpy.savez = savez; sys.argv = ['study', *sys.argv[1:]]\n"
        "runpy.run_module('sklearn_hierret.study', run_name='__main__')"
    )
    for stop, left in ((signal.SIGTERM, 0), (signal.SIGKILL, 1)):
        run = subprocess.Popen(
            [sys.executable, "-c", slow, *command[3:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with run:
            assert any(line == "writing\n" for line in run.stdout)
            run.send_signal(stop)
            assert run.wait(30) != 0
        assert len(list(out.rglob(".part-*"))) == left
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert list(out.rglob(".part-*")) == []
