"""Directions of channel space: which of a code's maps are sought, and how much of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.network.codes import check_channel

Shares = Tensor | Mapping[int, float]  # of one direction: of every filter, or those not 0
Units = Sequence[int] | Tensor  # of every image of a batch: a filter, or a row of shares (B, C)
_IN_CACHE = 1 << 18  # values


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
            return self._fetched(code, self._maps)[:, 0]
        assert self._shares is not None
        return torch.einsum("bcmn,bc->bmn", code.float(), self._shares)

    def weighted(self, values: Tensor) -> Tensor:
        """Σ u_c v_c of a value per map: (B, C) → (B,)."""
        return (values.gather(1, self._maps) * self._weights).sum(1)

    def within(self, values: Tensor) -> Tensor:
        """Σ v_c over the maps that are sought: (B, C) → (B,)."""
        return (values.gather(1, self._maps) * (self._weights != 0)).sum(1)

    def write_differences(
        self, slope: Tensor, code: Tensor, own: Tensor, total: Tensor, scale: Tensor
    ) -> None:
        """Write (φ_c − u_c T) · scale into the slope's maps that are sought.

        So many maps at a time as stay in a core's cache: all would take a second code's memory.

        Args:
            own: `along` of the code, (B, M, N); ``total``: T, (1, M, N); ``scale``: (B,).
        """
        if self._only is not None:
            slope[:, self._only] = (own - total) * scale.reshape(-1, 1, 1)
            return
        scale = scale.reshape(-1, 1, 1, 1)
        together = max(1, _IN_CACHE // (len(code) * own[0].numel()))
        for start in range(0, self._maps.shape[1], together):
            maps = self._maps[:, start : start + together]
            weights = self._weights[:, start : start + together, None, None]
            here = own[:, None] if self.are_filters else self._fetched(code, maps)
            differences = (here - total[:, None] * weights) * scale
            slope[self._rows, maps] = differences.to(slope.dtype)

    def _fetched(self, code: Tensor, maps: Tensor) -> Tensor:
        """(B, K, M, N) in float32."""
        return code[self._rows, maps].float()


def share_vector(shares: Shares, count: int, name: str) -> Tensor:
    """A direction's share of each of ``count`` filters, (C,).

    Raises:
        TextonError: it is of another length, negative, infinite or all zero.
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
    if not bool((vector.isfinite() & (vector >= 0)).all()) or not bool(vector.any()):
        raise TextonError(
            f"direction '{name}': use shares that are finite, not negative and not all 0"
        )
    return vector


def shares_by_filter(shares: Shares) -> dict[int, float]:
    """The shares that are not 0, by filter, as a picture records them."""
    if isinstance(shares, Tensor):
        shares = dict(enumerate(shares.flatten().tolist()))
    return {int(channel): float(share) for channel, share in sorted(shares.items()) if share}
