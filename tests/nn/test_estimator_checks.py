"""scikit-learn's own checks, for flat rows of numbers that are taken for images of one column."""

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_hierret.nn import CNNFeatureExtractor

#: Checks that fail, and why.
EXPECTED = {
    "check_no_attributes_set_in_init": "skorch sets history_, initialized_ and virtual_params_",
}


class FlatImages(CNNFeatureExtractor):
    """What scikit-learn's checks need around the extractor: rows instead of images."""

    def fit(self, X, y):
        X, y = validate_data(self, X, y, dtype=[np.float32, np.float64])
        return super().fit(as_images(X), y)

    def partial_fit(self, X, y=None, classes=None, **fit_params):
        if isinstance(X, torch.utils.data.Dataset):
            return super().partial_fit(X, y, classes, **fit_params)
        X, y = validate_data(self, X, y, dtype=[np.float32, np.float64], reset=not self.initialized_)
        return super().partial_fit(as_images(X), y, classes, **fit_params)

    def transform(self, X):
        return super().transform(self._checked(X))

    def predict_proba(self, X):
        return super().predict_proba(self._checked(X))

    def score(self, X, y):
        return super().score(X, y)

    def _checked(self, X):
        check_is_fitted(self)
        return as_images(validate_data(self, X, reset=False, dtype=[np.float32, np.float64]))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


def as_images(X):
    return X.astype(np.float32)[:, None, :, None]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the checks provoke warnings, and their numbers are no images
@parametrize_with_checks(
    [FlatImages("tiny", max_epochs=15, random_state=0, lr=1e-2, batch_size=32)],
    expected_failed_checks=lambda estimator: EXPECTED,
)
def test_check_estimator(estimator, check):
    check(estimator)
