"""The paper's formulas with det and inv, class by class, from the samples."""

import numpy as np


def class_gaussians(X, y, covariance_type="full", shrinkage=None):
    """(mean, covariance) of each class; covariances are always d x d here."""
    classes = np.unique(y)
    d, n, k = X.shape[1], len(X), len(classes)
    within = np.zeros((d, d))
    for c in classes:
        R = X[y == c] - X[y == c].mean(axis=0)
        within += R.T @ R
    gaussians = []
    for c in classes:
        own = X[y == c]
        if covariance_type == "tied":
            S = within / (n - k)
        else:
            R = own - own.mean(axis=0)
            S = R.T @ R / max(1, len(own) - 1)
            if shrinkage is not None:
                s = d / (len(own) + d) if shrinkage == "auto" else shrinkage
                s = 1.0 if len(own) == 1 else s
                S = (1 - s) * S + s * within / (n - k)
        if covariance_type == "diag":
            S = np.diag(np.diag(S))
        if covariance_type == "spherical":
            S = np.eye(d) * np.diag(S).mean()
        gaussians.append((own.mean(axis=0), S))
    return gaussians


def bhattacharyya_coefficient(one, two):
    (m1, S1), (m2, S2) = one, two
    S = (S1 + S2) / 2
    mean_term = (m1 - m2) @ np.linalg.inv(S) @ (m1 - m2) / 8
    log_term = 0.5 * np.log(np.linalg.det(S) / np.sqrt(np.linalg.det(S1) * np.linalg.det(S2)))
    return np.exp(-(mean_term + log_term))


def overlap(gaussians):
    return np.array([[bhattacharyya_coefficient(a, b) for b in gaussians] for a in gaussians])


def levels_from_samples(X, y, threshold, covariance_type="full", shrinkage=None, decay=0.0):
    """The paper's procedure: merge, pool the samples, start again."""
    classes = np.unique(y)
    current = np.searchsorted(classes, y)
    levels = [np.arange(len(classes))]
    t = threshold
    while len(np.unique(current)) > 1:
        bc = overlap(class_gaussians(X, current, covariance_type, shrinkage))
        k = len(bc)
        group = list(range(k))
        for i in range(k):  # union by relabelling, until nothing changes
            for j in range(k):
                if bc[i, j] >= t and group[i] != group[j]:
                    old, new = max(group[i], group[j]), min(group[i], group[j])
                    group = [new if g == old else g for g in group]
        names = {g: n for n, g in enumerate(dict.fromkeys(group))}
        group = np.array([names[g] for g in group])
        if len(names) == k:
            break
        levels.append(group[levels[-1]])
        current = group[current]
        t = max(t - decay, min(threshold, 0.01))
    if levels[-1].any():
        levels.append(np.zeros(len(classes), dtype=int))
    return np.array(levels)


def mahalanobis(X, gaussians):
    out = np.empty((len(X), len(gaussians)))
    for i, x in enumerate(X):
        for c, (mean, S) in enumerate(gaussians):
            out[i, c] = np.sqrt((x - mean) @ np.linalg.inv(S) @ (x - mean))
    return out


def log_density(X, gaussians):
    out = np.empty((len(X), len(gaussians)))
    for c, (_, S) in enumerate(gaussians):
        md = mahalanobis(X, gaussians)[:, c]
        out[:, c] = -0.5 * (md**2 + np.log(np.linalg.det(2 * np.pi * S)))
    return out
