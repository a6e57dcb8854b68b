"""``sciml selftest``: does the installed library keep its promises on this machine?

The checks are those the project's own tests are made of: `sciml.testing` and known answers, on every array
library and extra found here. Neither pytest nor the repository is needed.
"""

from __future__ import annotations

from .plan import plan
from .run import Failure, Outcome, Part, run_part, run_selftest

__all__ = ["Failure", "Outcome", "Part", "plan", "run_part", "run_selftest"]
