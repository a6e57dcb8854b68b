"""Running parts of the self-test: every check by itself, so that one failure hides no other."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

__all__ = ["Check", "Checks", "Failure", "Outcome", "Part", "run_part", "run_selftest"]

Check: TypeAlias = Callable[[], Sequence[str]]
"""Returns one sentence per broken promise, as ``sciml.testing.check_*`` do; may raise."""
Checks: TypeAlias = Mapping[str, Check]


@dataclass(frozen=True)
class Part:
    """One row of the table.

    Attributes
    ----------
    name : str
    checks : callable
        Returns the checks by name; nothing heavy is imported before it is called.
    missing : callable
        Why the part cannot run here (what to install, say), or None.
    """

    name: str
    checks: Callable[[], Checks]
    missing: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Failure:
    """A check that failed: its name, what is wrong in one sentence, and where it was raised, if it was."""

    check: str
    sentence: str
    trace: str = ""


@dataclass(frozen=True)
class Outcome:
    """What running a part gave. `skipped` says why it was not run."""

    part: str
    checks: int = 0
    seconds: float = 0.0
    failures: tuple[Failure, ...] = ()
    skipped: str | None = None

    @property
    def status(self) -> str:
        """``"passed"``, ``"failed"`` or ``"skipped"``."""
        if self.skipped is not None:
            return "skipped"
        return "failed" if self.failures else "passed"

    def row(self) -> dict[str, Any]:
        """Plain values, for a record."""
        return {
            "part": self.part, "status": self.status, "checks": self.checks, "seconds": self.seconds,
            "skipped": self.skipped,
            "failures": [asdict(failure) for failure in self.failures],
        }  # fmt: skip


def run_part(part: Part, progress: Callable[[str], None] | None = None) -> Outcome:
    """Run every check of a part; whatever one raises is a failure of that check and no more.

    Examples
    --------
    >>> from sciml.selftest import Part, run_part
    >>> part = Part("sums", lambda: {"one": lambda: [], "two": lambda: ["1 + 1 is 3; expected 2"]})
    >>> outcome = run_part(part)
    >>> outcome.status, outcome.checks, outcome.failures[0].sentence
    ('failed', 2, '1 + 1 is 3; expected 2')
    """
    tell = progress or (lambda text: None)
    start = time.perf_counter()
    tell(part.name)
    count, failures = 0, []
    try:
        reason = part.missing()
        if reason is not None:
            return Outcome(part.name, skipped=reason)
        checks = part.checks()
    except Exception as error:
        checks, failures, count = {}, [_raised("set-up", error)], 1
    for name, check in checks.items():
        tell(f"{part.name}: {name}")
        count += 1
        try:
            # Announcements of libraries are no findings, and would tear the progress line.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                failures += [Failure(name, " ".join(sentence.split())) for sentence in check()]
        except Exception as error:
            failures.append(_raised(name, error))
    return Outcome(part.name, count, time.perf_counter() - start, tuple(failures))


def run_selftest(parts: Sequence[Part], progress: Callable[[str], None] | None = None) -> list[Outcome]:
    """Run parts one after another.

    Parameters
    ----------
    parts : sequence of Part
        See `plan`.
    progress : callable, optional
        Called with a short text before every check.

    Returns
    -------
    list of Outcome
    """
    return [run_part(part, progress) for part in parts]


def _raised(check: str, error: Exception) -> Failure:
    text = " ".join(str(error).split())
    return Failure(check, f"{type(error).__name__}: {text}" if text else type(error).__name__,
                   "".join(traceback.format_exception(error)))  # fmt: skip
