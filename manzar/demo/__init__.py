"""The loop around the model that ships, small, in one go."""

from manzar.demo.loop import run_demo

__all__ = ["run_demo"]
