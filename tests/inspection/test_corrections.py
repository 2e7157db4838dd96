import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.inspection import read_corrections
from sklearn_hierret.interaction import RetrievalSession

X, Y = load_digits(return_X_y=True)
X, Y = X[:600], Y[:600]
FORMAT = "sklearn_hierret corrections"


def written(path, items, name="corrections.json", **more):
    path = path / name
    path.write_text(json.dumps({"format": FORMAT, "version": 1, "items": items, **more}), encoding="utf-8")
    return path


def test_what_is_read_goes_into_relabel_marks_and_labels(tmp_path):
    items = [{"id": 3, "label": 9, "mark": None}, {"id": 5, "label": None, "mark": "relevant"}]
    retriever = HierarchicalRetriever().fit(X, Y)
    table = read_corrections(written(tmp_path, items))
    fixed = table.dropna(subset="label")
    retriever.relabel(fixed["id"], fixed["label"])
    assert retriever.gallery_labels_[3] == 9
    y = Y.copy()
    y[fixed["id"].to_numpy(dtype=int)] = fixed["label"]
    assert y[3] == 9
    session = RetrievalSession(retriever, X[[10]])
    session.mark(relevant=table["id"][table["mark"] == "relevant"].tolist(), by="id")
    assert session.relevant_.tolist() == [5]


@pytest.mark.parametrize("ids", [np.arange(600), np.array([f"{i:03d}" for i in range(600)])])
def test_csv_ids_and_labels_become_those_of_the_gallery(tmp_path, ids):
    retriever = HierarchicalRetriever().fit(X, Y).set_gallery(X, Y, ids)
    path = tmp_path / "corrections.csv"
    path.write_text(f"id,label,mark\n{ids[7]},4,\n{ids[8]},,irrelevant\n", encoding="utf-8-sig")
    table = read_corrections(path, retriever)
    assert table["id"].tolist() == [ids[7], ids[8]]
    assert table["label"].tolist()[0] == 4
    assert type(table["label"].tolist()[0]) is int
    assert table["mark"].tolist() == [None, "irrelevant"]
    as_text = read_corrections(path)
    assert as_text["id"].tolist() == [str(ids[7]), str(ids[8])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no file of corrections"),
        ("[]", "no file of corrections"),
        ('{"format": "other"}', "format"),
        (f'{{"format": "{FORMAT}", "items": 3}}', "items"),
        (f'{{"format": "{FORMAT}", "items": [{{"label": 1}}]}}', "items"),
        (f'{{"format": "{FORMAT}", "items": [{{"id": 1, "label": [1]}}]}}', "text or numbers"),
        (f'{{"format": "{FORMAT}", "items": [{{"id": 1}}, {{"id": 1}}]}}', "1 twice"),
        (f'{{"format": "{FORMAT}", "items": [{{"id": 1, "mark": "good"}}]}}', "'good'"),
    ],
)
def test_files_that_are_none(tmp_path, text, message):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_corrections(path)


def test_csv_files_that_are_none(tmp_path):
    path = tmp_path / "file.csv"
    for content in (b"", b"a,b\n1,2\n", b"\xff\xfe\x00"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="no file of corrections"):
            read_corrections(path)
    with pytest.raises(FileNotFoundError):
        read_corrections(tmp_path / "gone.csv")


def test_samples_that_are_gone_are_named(tmp_path):
    retriever = HierarchicalRetriever().fit(X, Y)
    with pytest.raises(ValueError, match="such as 700"):
        read_corrections(written(tmp_path, [{"id": 700, "label": 1}]), retriever)
