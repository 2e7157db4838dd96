"""What retrievers ask of a class model, and the adapter for any classifier."""

from sklearn_hierret.class_models._classifier import ClassifierModel, class_model_of
from sklearn_hierret.class_models._contract import ClassModel, HeldOutLeaves, held_out_sample

__all__ = ["ClassModel", "ClassifierModel", "HeldOutLeaves", "class_model_of", "held_out_sample"]
