"""Typed exceptions. The command line turns each into one sentence and exit code 2."""

from __future__ import annotations


class MsnvisError(Exception):
    """Base of every error that a user can cause and mend; its text is one clear sentence with the remedy."""


class InputError(MsnvisError):
    """A video, image, folder or annotation file cannot be read."""


class OutputError(MsnvisError):
    """Results cannot be written (disk full, no permission)."""


class WeightsError(MsnvisError):
    """A weights file is missing, broken or belongs to another model."""


class TensorsError(WeightsError):
    """The tensors of a weights file are not those of the network.

    Attributes:
        missing, unknown, reshaped: names of all tensors that the file lacks, that the network lacks, and that
            have another shape; the text shows the first of them.
    """

    def __init__(self, text: str, missing: list[str], unknown: list[str], reshaped: list[str]) -> None:
        super().__init__(text)
        self.missing, self.unknown, self.reshaped = missing, unknown, reshaped


class UnknownPartError(MsnvisError, ValueError):
    """No part (segmenter, propagator, selector, classifier, label space, format) has this name."""


class OptionError(MsnvisError, ValueError):
    """An option has a value that makes no sense."""


class MissingExtraError(MsnvisError, ImportError):
    """A part needs a package that is not installed; the text names the extra to install."""
