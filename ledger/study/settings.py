"""A base class for pydantic models of a study's settings, and a constraint for the values of settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ledger.text import show


@dataclass(frozen=True)
class AllowedTexts:
    """A constraint that allows only the given texts.

    The constraint ignores the difference between upper case and lower case.

    Attributes
    ----------
    choices : tuple of str
        The allowed texts, in the spelling that the ledger records.
    not_usable : mapping of str to str
        The reasons for refused texts. Each key is a refused text that a user may try to use. Each value is the reason
        for the refusal. The error message contains the reason.

    Examples
    --------
    >>> AllowedTexts(("GP", "RF")).match("rf")
    'RF'
    """

    choices: tuple[str, ...]
    not_usable: Mapping[str, str] = field(default_factory=dict)

    def match(self, value: str) -> str:
        """Return the choice that equals `value`, or raise a ValueError that lists all choices."""
        for choice in self.choices:
            if choice.lower() == value.lower():
                return choice
        choose = f"choose {', '.join(self.choices)}"
        for name, reason in self.not_usable.items():
            if name.lower() == value.lower():
                raise ValueError(f"{show(value)} cannot be used: {reason}; {choose}")
        raise ValueError(f"unknown {show(value)}; {choose}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def match(value: Any) -> Any:
            # When pydantic checks the field's type, pydantic refuses a value that is not a text.
            return self.match(value) if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(match, handler(source))


@dataclass(frozen=True)
class NamedCounts:
    """A constraint for a setting whose value is a count or one of several words. A word can stand for None (no limit).

    Attributes
    ----------
    names : mapping of str to int or None
        A dict that maps each word to the count that the ledger records instead of the word.

    Examples
    --------
    >>> NamedCounts({"best": 1, "all": None}).match("best")
    1
    """

    names: Mapping[str, int | None]

    def match(self, value: str) -> int | None:
        """Return the count for a word, or raise a ValueError that lists all words."""
        if value.lower() in self.names:
            return self.names[value.lower()]
        raise ValueError(f"unknown {show(value)}; choose {', '.join(self.names)} or a number")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def match(value: Any) -> Any:
            return self.match(value) if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(match, handler(source))


class SettingsModel(BaseModel):
    """Base class of the pydantic models that contain settings of a study. The models are immutable.

    Each subclass accepts only the keys and the types that the subclass declares.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
