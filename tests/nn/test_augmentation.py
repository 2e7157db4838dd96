import numpy as np
import pytest
import torch

from sklearn_hierret.nn import Augmentation


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(64, 2, 9, 12) + 0.5


def test_crops_and_flips_are_exact(images):
    changed = Augmentation(2, flip=True)(images)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    moves = set()
    for before, after in zip(padded, changed, strict=True):
        crops = {
            (top, left): before[:, top : top + 9, left : left + 12] for top in range(5) for left in range(5)
        }
        candidates = {(*place, flip): crop.flip(2) if flip else crop
                      for place, crop in crops.items() for flip in (False, True)}  # fmt: skip
        found = [key for key, crop in candidates.items() if torch.allclose(crop, after, atol=1e-4)]
        assert len(found) == 1
        moves.update(found)
    assert {flip for *_, flip in moves} == {False, True}
    assert len(moves) > 25


def test_rotations_keep_what_is_in_the_middle():
    y, x = np.mgrid[-10:11, -10:11]
    disc = torch.from_numpy((np.hypot(x, y) < 5).astype(np.float32)).repeat(16, 1, 1, 1)
    turned = Augmentation(0, flip=False, rotation=30)(disc)
    np.testing.assert_allclose(turned.sum(dim=(1, 2, 3)), disc.sum(dim=(1, 2, 3)), rtol=0.02)
    bar = torch.zeros(200, 1, 41, 61)
    bar[:, :, 20, 10:51] = 1
    torch.manual_seed(1)
    turned = Augmentation(0, flip=False, rotation=30)(bar)
    angles = []
    for image in turned[:, 0].numpy():
        rows, columns = np.nonzero(image > 0.3)
        angles.append(np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0])))
    assert max(np.abs(angles)) < 31.5
    assert np.std(angles) == pytest.approx(60 / np.sqrt(12), rel=0.15)


def test_erasing_hides_one_rectangle(images):
    changed = Augmentation(0, flip=False, erasing=0.5)(images)
    hidden = (changed == 0).all(dim=1)
    share = hidden.any(dim=2).any(dim=1).float().mean()
    assert 0.3 < share < 0.7
    for one in hidden[hidden.any(dim=2).any(dim=1)]:
        rows, columns = one.any(dim=1), one.any(dim=0)
        assert one.sum() == rows.sum() * columns.sum()
        assert one.float().mean() < 0.4
    torch.testing.assert_close(torch.where(hidden[:, None], images, changed), images)


def test_the_seed_decides(images):
    augmentation = Augmentation(2, rotation=10, erasing=0.5)
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(augmentation(images))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert torch.equal(Augmentation(0, flip=False)(images), images)


@pytest.mark.parametrize("params", [{"padding": -1}, {"rotation": 200}, {"erasing": 2}])
def test_bad_parameters(params):
    with pytest.raises(ValueError, match="padding must be"):
        Augmentation(**params)
