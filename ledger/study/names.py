"""The check of a study's name."""

from pydantic import ValidationError

from ledger.errors import UsageError
from ledger.study.file import StudyTable


def check_name(name: str) -> None:
    """Raise a UsageError if `name` is no valid name of a study.

    Examples
    --------
    >>> check_name("svm-42")
    >>> check_name("two words")
    Traceback (most recent call last):
    ledger.errors.UsageError: name "two words" must consist of 1 to 100 letters, digits, ...
    """
    try:
        StudyTable(name=name)
    except ValidationError as error:
        raise UsageError(str(error.errors()[0]["ctx"]["error"])) from None
