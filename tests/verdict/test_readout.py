"""Reading terms out: where there are too few numbers to tell entries apart, that is said."""

from __future__ import annotations

import pytest
import torch

from convgrad_cli.verdict.readout import NotRead, _codes


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 65_534), (torch.float16, 2046)])
def test_every_entry_has_codes_of_its_own_or_none_has(dtype, most):
    first, second = _codes(most, dtype)
    assert len(first) == len(second) == most
    with pytest.raises(NotRead, match=f"an operand has {most + 1:,} entries"):
        _codes(most + 1, dtype)
