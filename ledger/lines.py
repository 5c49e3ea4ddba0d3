"""Text that others wrote, as a line that a terminal shows as it is."""


def one_line(text: str, longest: int = 200) -> str:
    """Return `text` on one line, what cannot be printed escaped as in a Python string, the middle cut out of it.

    Parameters
    ----------
    longest : int
        How many characters are kept, at least 5.
    """
    # the first cut is for speed; an escape is at most 10 characters long, so the second has enough to choose from
    line = " ".join(part.strip() for part in _cut(text, 10 * longest).splitlines() if part.strip())
    if not line.isprintable():
        line = "".join(one if one.isprintable() else _escaped(one) for one in line)
    return _cut(line, longest)


def last_line(text: str | None) -> str:
    """Return the last line of an error's text, which is what a person reads first."""
    lines = (text or "").strip().splitlines()
    return one_line(lines[-1]) if lines else "no reason was given"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    kept = longest - len("...")
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
