"""A network in an ONNX file, converted to modules of torch: codes need gradients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from texton.errors import TextonError, one_line, optional
from texton.network.told import Source, described, quiet


def from_onnx(spec: str, name: str) -> Source:
    """The network of a file, by onnx2torch; layers carry the names of the file's nodes.

    Raises:
        TextonError: no such file, none of ONNX, or an operator that the converter does not know.
    """
    path = Path(name)
    if not path.is_file():
        raise TextonError(f"'{spec}': there is no file '{path}': write onnx:path/to/file.onnx")
    with optional("onnx"), quiet():
        import onnx2torch
    try:
        with quiet():
            module = onnx2torch.convert(str(path))
    except Exception as error:  # noqa: BLE001 - the readers of a damaged file raise anything
        what = error.__cause__ or error if isinstance(error, NotImplementedError) else error
        raise TextonError(
            f"'{path}' cannot be converted from ONNX ({one_line(what)}): "
            "give the module that it was exported from, as file.py:function"
        ) from None
    source = described(module.eval(), spec, {})
    return replace(source, details={"weights": str(path), **source.details})
