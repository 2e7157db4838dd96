"""Sphinx-Gallery: the examples in the order in which one learns."""

ORDER = [
    "plot_digits_retrieval",
    "plot_leaves",
    "plot_visual_hierarchies",
    "plot_threshold",
    "plot_class_sizes",
    "plot_taxonomy",
    "plot_metrics",
    "plot_feedback",
    "plot_gallery",
    "plot_streaming",
    "plot_neighbors_graph",
    "plot_hashing",
    "plot_vector_database",
    "plot_cnn_pipeline",
]


class LearningOrder:
    """Sort key of the file names of examples; new ones come last."""

    def __init__(self, src_dir: str) -> None:
        self.src_dir = src_dir

    def __call__(self, filename: str) -> tuple[int, str]:
        name = filename.removesuffix(".py")
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)
