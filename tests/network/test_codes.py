"""Codes, property-tested: energy conserved, shapes kept, no NaN on silent maps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import codes
from texton import TextonError
from texton.network.codes import channel_sums, energy_shares, isolate, strongest, total_map


@given(codes(), st.data())
def test_isolate_moves_all_energy_into_one_map(code: torch.Tensor, data: st.DataObject) -> None:
    channel = data.draw(st.integers(0, code.shape[1] - 1))
    target = isolate(code, channel)
    assert target.shape == code.shape
    torch.testing.assert_close(target.sum((1, 2, 3)), code.sum((1, 2, 3)))
    torch.testing.assert_close(target[:, channel], code.sum(1))
    others = [c for c in range(code.shape[1]) if c != channel]
    assert target[:, others].abs().sum() == 0


@given(codes())
def test_shares_sum_to_one_and_are_never_nan(code: torch.Tensor) -> None:
    shares = energy_shares(code)
    assert torch.isfinite(shares).all()
    expected = (code.sum((1, 2, 3)) > 0).float()
    torch.testing.assert_close(shares.sum(1), expected)


@given(codes())
def test_sums_and_maps_add_up(code: torch.Tensor) -> None:
    torch.testing.assert_close(channel_sums(code).sum(1), total_map(code).sum((1, 2)))


def test_negative_activations_count_as_absent() -> None:
    code = torch.tensor([[[[-5.0, 1.0]], [[2.0, -1.0]]]])
    assert channel_sums(code).tolist() == [[1.0, 2.0]]
    assert isolate(code, 0)[0, 0].tolist() == [[2.0, 1.0]]


def test_strongest_orders_by_energy() -> None:
    code = torch.tensor([1.0, 5.0, 0.0, 3.0]).reshape(1, 4, 1, 1)
    assert strongest(code, 3) == [1, 3, 0]


@pytest.mark.parametrize("channel", [-1, 3])
def test_isolate_refuses_other_channels(channel: int) -> None:
    with pytest.raises(TextonError, match="0 to 2"):
        isolate(torch.zeros(1, 3, 2, 2), channel)
