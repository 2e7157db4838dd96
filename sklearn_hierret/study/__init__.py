"""The papers' study as one command: ``python -m sklearn_hierret.study --data digits``."""

from sklearn_hierret.study._run import Study

__all__ = ["Study"]
