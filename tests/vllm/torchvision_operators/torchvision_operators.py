"""Declares the operators that torchvision names when it is imported, if its own library did not load."""

import sys
from importlib.abc import MetaPathFinder

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class _Finder(MetaPathFinder):
    """Finds nothing, but learns when torchvision is about to name its operators."""

    library = None

    def find_spec(self, name, path, target=None):
        if name == "torchvision._meta_registrations":
            import torch

            if not hasattr(torch.ops.torchvision, "nms"):
                self.library = torch.library.Library("torchvision", "DEF")
                for schema in SCHEMAS:
                    self.library.define(schema)


sys.meta_path.insert(0, _Finder())
