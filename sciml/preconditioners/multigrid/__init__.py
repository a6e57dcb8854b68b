"""Geometric multigrid with coarse cells split by connectivity."""

from .multigrid import Multigrid

__all__ = ["Multigrid"]
