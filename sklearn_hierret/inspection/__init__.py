"""What is wrong, double or new in a collection, and how its classes fare."""

from sklearn_hierret._state import publish
from sklearn_hierret.inspection._classes import class_overview
from sklearn_hierret.inspection._classes import overview_of as overview_of
from sklearn_hierret.inspection._corrections import FORMAT as FORMAT
from sklearn_hierret.inspection._corrections import read_corrections
from sklearn_hierret.inspection._duplicates import duplicates_of as duplicates_of
from sklearn_hierret.inspection._duplicates import near_duplicates
from sklearn_hierret.inspection._evidence import LabelEvidence as LabelEvidence
from sklearn_hierret.inspection._label_issues import issues_of as issues_of
from sklearn_hierret.inspection._label_issues import label_issues
from sklearn_hierret.inspection._novel import novel_items

__all__ = ["class_overview", "label_issues", "near_duplicates", "novel_items", "read_corrections"]

publish(__name__, globals())
