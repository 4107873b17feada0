"""The command `train`: parse, call, print, exit code."""

from trainer.cli.app import main

__all__ = ["main"]
