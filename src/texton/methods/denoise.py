"""What the 2016 code did to a picture before saving it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from texton.errors import optional

WEIGHT = 0.2


def denoised(images: Tensor, weight: float = WEIGHT) -> Tensor:
    """Chambolle's total variation denoising of (B, C, H, W) in [0, 1], channels together."""
    with optional("experiments"):  # a second of import, seldom needed
        from skimage.restoration import denoise_tv_chambolle

    results = []
    for image in images.detach().cpu().permute(0, 2, 3, 1).numpy():
        smooth = denoise_tv_chambolle(image, weight=weight, channel_axis=-1)
        results.append(torch.from_numpy(np.ascontiguousarray(smooth, dtype=np.float32)))
    return torch.stack(results).permute(0, 3, 1, 2).contiguous().to(images.device)
