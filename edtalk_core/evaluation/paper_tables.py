"""Figures of the paper's tables for EDTalk, as far as they have the definition of a metric of ours.

Landmark metrics are left out: the paper does not say by which detector and in which unit they are measured. So is
Acc_emo, whose classifier is not published.
"""

from __future__ import annotations

PAPER_FIGURES: dict[str, dict[str, dict[str, float]]] = {
    "edtalk-a": {
        "VoxCeleb2, Table 1": {"psnr": 22.107, "ssim": 0.763, "sync_conf": 6.591},
        "LRW, Table 1": {"psnr": 23.409, "ssim": 0.779, "sync_conf": 6.914},
    },
    "edtalk-v": {
        "VoxCeleb2, Table 1": {"psnr": 22.133, "ssim": 0.764, "sync_conf": 6.155},
        "LRW, Table 1": {"psnr": 24.574, "ssim": 0.823, "sync_conf": 6.027},
        "HDTF, Table 3": {"psnr": 26.5, "ssim": 0.85, "lpips": 0.13, "l1": 0.031},
    },
    "mead-a": {"MEAD, Table 4": {"psnr": 21.628, "ssim": 0.722, "fid": 17.698, "sync_conf": 8.115}},
    "ground-truth": {
        "VoxCeleb2, Table 1": {"sync_conf": 6.808},
        "LRW, Table 1": {"sync_conf": 6.952},
    },
}
"""Protocol -> data set and table -> metric -> figure."""
