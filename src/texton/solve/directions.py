"""Directions of channel space: which of a code's maps are sought, and how much of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.network.codes import check_channel

Shares = Tensor | Mapping[int, float]  # of one direction: of every filter, or those not 0
Units = Sequence[int] | Tensor  # of every image of a batch: a filter, or a row of shares (B, C)


class Directions:
    """One direction u per image: filter l is e_l, the quick case.

    Args:
        units: filters, or (B, C) shares, no row of which is 0.
    """

    def __init__(self, units: Units, device: torch.device) -> None:
        self._shares: Tensor | None = None
        if isinstance(units, Tensor):
            self._shares = units.to(device, torch.float32)
            most = int((self._shares != 0).sum(1).max())
            self._maps = self._shares.abs().topk(most).indices  # (B, K): the support of every row
            self._weights = self._shares.gather(1, self._maps)
        else:
            self._maps = torch.tensor(list(units), device=device).reshape(-1, 1)
            self._weights = torch.ones(self._maps.shape, device=device)
        self.squares = self._weights.square().sum(1)  # ‖u‖², (B,)
        self.are_filters = self._maps.shape[1] == 1 and bool((self._weights == 1).all())
        self._rows = torch.arange(len(self._maps), device=device)[:, None]
        self._only = int(self._maps) if self.are_filters and len(self._maps) == 1 else None

    def along(self, code: Tensor) -> Tensor:
        """Σ u_c φ_c, (B, C, M, N) → (B, M, N) in float32, never the code's own memory."""
        if self._only is not None:
            return code[:, self._only].to(torch.float32, copy=True)
        if self.are_filters:
            return code[self._rows, self._maps][:, 0].float()
        assert self._shares is not None
        return torch.einsum("bcmn,bc->bmn", code.float(), self._shares)

    def weighted(self, values: Tensor) -> Tensor:
        """Σ u_c v_c of a value per map: (B, C) → (B,)."""
        return (values.gather(1, self._maps) * self._weights).sum(1)

    def within(self, values: Tensor) -> Tensor:
        """Σ v_c over the maps that are sought: (B, C) → (B,)."""
        return (values.gather(1, self._maps) * (self._weights != 0)).sum(1)

    def differences(self, code: Tensor, total: Tensor) -> Tensor:
        """φ − T ⊗ u in one pass over the code; total: T, (1 or B, M, N)."""
        if self._shares is None:
            none = torch.zeros(len(self._maps), code.shape[1], device=code.device)
            self._shares = none.scatter(1, self._maps, self._weights)
        shares, total = self._shares.to(code.dtype), total.to(code.dtype)
        return torch.addcmul(code, shares[..., None, None], total[:, None], value=-1)


def share_vector(shares: Shares, count: int, name: str, signed: bool = False) -> Tensor:
    """A direction's share of each of ``count`` filters, (C,).

    Args:
        signed: whether shares may be negative.

    Raises:
        TextonError: it is of another length, infinite or all zero; negative where it may not be.
    """
    if isinstance(shares, Mapping):
        for channel in shares:
            check_channel(count, channel)
        vector = torch.zeros(count)
        for channel, share in shares.items():
            vector[channel] = share
    else:
        vector = shares.detach().float().cpu()
        if vector.shape != (count,):
            raise TextonError(
                f"direction '{name}' is {tuple(vector.shape)}: the layer takes ({count},)"
            )
    allowed = vector.isfinite() if signed else vector.isfinite() & (vector >= 0)
    if not bool(allowed.all()) or not bool(vector.any()):
        bounds = "and not" if signed else "not negative (as `texton maximize` takes them) and not"
        comma = "" if signed else ","
        raise TextonError(f"direction '{name}': use shares that are finite{comma} {bounds} all 0")
    return vector


def shares_by_filter(shares: Shares) -> dict[int, float]:
    """The shares that are not 0, by filter, as a picture records them."""
    if isinstance(shares, Tensor):
        shares = dict(enumerate(shares.flatten().tolist()))
    return {int(channel): float(share) for channel, share in sorted(shares.items()) if share}
