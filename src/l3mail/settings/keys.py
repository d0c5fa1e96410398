"""How a table of l3mail.toml and its keys are declared: defaults, bounds, words for who errs."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def key(default: Any, expected: str, example: Any = None, **bounds: Any) -> Any:
    """Declare a key: its default, what its error line says is expected, and how to write it."""
    shown = default if example is None else example
    return Field(default, description=expected, examples=[shown], **bounds)


def text_key(example: str) -> Any:
    """Declare a text that may be left out."""
    return key("", "text", example)


def choice(default: Any, *words: str) -> Any:
    """Declare a key that is one of a few words."""
    return key(default, "one of " + ", ".join(f'"{word}"' for word in words), default or words[0])


def seconds(default: float) -> Any:
    """Declare a span of time."""
    return key(default, "a number of seconds above 0", gt=0, allow_inf_nan=False)


class Section(BaseModel):
    """A table of `l3mail.toml`: an unknown key is a fault, a type is taken at its word."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)
