"""The page on sampling: its sampler of your own is one."""

from __future__ import annotations

import re
from pathlib import Path

from sciml.learned.pinn import PROBLEMS

PAGE = Path(__file__).parents[3] / "docs" / "pinn_sampling.md"


def test_sampler_of_your_own_keeps_the_contract():
    block = re.search(r"<!-- new sampler -->\n```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert block, "the page holds no block marked 'new sampler'"
    names = {"problem": PROBLEMS["two_peaks"]()}
    exec(compile(block.group(1), str(PAGE), "exec"), names)
    assert names["check_sampler"](lambda: names["TowardsZero"](names["problem"].domain)) == []
