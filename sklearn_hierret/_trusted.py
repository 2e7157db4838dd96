"""Types of this package in saved estimators, for formats that ask which ones to trust."""

#: For ``skops.io.load(path, trusted=TRUSTED_TYPES)``.
TRUSTED_TYPES = [
    *(
        f"sklearn_hierret.{name}"
        for name in (
            "ClassHierarchy",
            "CombinedHierarchy",
            "CombinedHierarchyBuilder",
            "DiscriminantClassifier",
            "HammingRetriever",
            "HierarchicalEmbedding",
            "HierarchicalNeighborsTransformer",
            "HierarchicalRetriever",
            "HierarchyBuilder",
            "ITQHasher",
            "LinkageHierarchyBuilder",
            "MahalanobisClassifier",
            "OASIS",
            "PCAHasher",
            "TextHierarchyBuilder",
            "WithinClassWhitening",
            "descriptors.BagOfVisualWords",
            "descriptors.CroW",
            "descriptors.FisherVector",
            "descriptors.GramFeatures",
            "descriptors.RMAC",
            "descriptors.RVD",
            "descriptors.RootSIFT",
            "descriptors.TriangulationEmbedding",
            "descriptors.VLAD",
            "evaluation.RetrievalScorer",
            "model_selection.HierarchicalRetrieverCV",
            "reranking.DatabaseAugmentation",
            "reranking.Diffusion",
            "reranking.KReciprocal",
            "reranking.QueryExpansion",
        )
    ),
]
