"""Functions of programs that read cells and make x of them, as texts."""

from __future__ import annotations

from typing import Final

PLAIN_CELLS: Final = '''\
def numbers(name, values):
    """A column as float64. Raises ValueError with the row where one is no number."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return np.array([number(name, i, value) for i, value in enumerate(values)])


def number(name, i, value):
    """One cell as a float."""
    try:
        return float(value)
    except (TypeError, ValueError):
        message = f"row {i}, column {name!r}: expected a number, found {value!r}"
        raise ValueError(message) from None
'''

CELLS: Final = '''\
def numbers(name, values):
    """A column as float64, nan where it is missing; categories as their numbers."""
    if name not in READERS:
        try:
            return np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            pass  # some cells are texts, or missing
    kind, read = READERS.get(name, ("a number", float))
    found = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        try:
            found[i] = np.nan if missing(value) else read(value)
        except (KeyError, TypeError, ValueError):
            message = f"row {i}, column {name!r}: expected {kind}, found {value!r}"
            raise ValueError(message) from None
    return found


def missing(value):
    """Whether a cell stands for nothing."""
    if isinstance(value, str):
        return value.strip() in MISSING
    return value is None or str(value) in ("nan", "NaT", "<NA>")
'''

LABEL: Final = '''\
def label(value):
    """A cell as a category is written: 2 for 2.0, true for True."""
    text = str(value).strip()
    if NUMBER.fullmatch(text):
        read = float(text)
        return str(int(read)) if read.is_integer() else str(read)
    return text.lower() if text.lower() in TRUTH else text
'''

CATEGORY: Final = '''\
def category(names):
    """What reads the numbers of these categories, -1 for others."""
    known = {}
    for number, name in enumerate(names):
        known.setdefault(label(name), number)
    known |= {name: number for number, name in enumerate(names)}
    return lambda value: known.get(str(value).strip(), known.get(label(value), -1))
'''

TRUTH: Final = '''\
def truth(value):
    """1 for true and yes, 0 for false and no."""
    text = label(value)
    return float(text) if text in ("0", "1") else TRUTH[text]
'''

DATE: Final = '''\
def date(value):
    """Days since 1970 of a date in ISO 8601; a time without a zone is UTC."""
    moment = datetime.fromisoformat(str(value).strip())
    past = moment.replace(tzinfo=moment.tzinfo or timezone.utc) - EPOCH
    return past.days + (past.seconds * 10**6 + past.microseconds) / 86_400_000_000
'''

PARTS: Final = '''\
def part(days, name):
    """A part of dates; Monday is 0."""
    if name == "days":
        return days
    known = np.abs(days) <= 1e8
    moment = np.rint(np.where(known, days, 0) * 86_400_000).astype("datetime64[ms]")
    day, number = moment.astype("datetime64[D]"), moment.astype(np.int64)
    month, year = day.astype("datetime64[M]"), day.astype("datetime64[Y]")
    found = {
        "year": year.astype(np.int64) + 1970,
        "month": month.astype(np.int64) % 12 + 1,
        "day": (day - month).astype(np.int64) + 1,
        "weekday": (day.astype(np.int64) + 3) % 7,
        "yearday": (day - year).astype(np.int64) + 1,
        "hour": number // 3_600_000 % 24,
        "minute": number // 60_000 % 60,
    }[name]
    return np.where(known, found, np.nan)
'''

ONE_HOT: Final = '''\
def one_hot(numbers, count):
    """A 0/1 column for each category; nan where there is no number."""
    found = (numbers[:, None] == np.arange(count)).astype(np.float64)
    found[np.isnan(numbers)] = np.nan
    return found
'''

KNOWN: Final = '''\
def known(numbers, count, exempt):
    """The numbers of categories; nan for others, unless they are exempt."""
    inside = (numbers >= 0) & (numbers < count)
    return np.where(inside | exempt, numbers, np.nan)
'''

RANK: Final = '''\
def rank(values, quantiles):
    """Where values stand among the quantiles, from 0 to 1."""
    ranks = np.linspace(0, 1, len(quantiles))
    last = np.interp(values, quantiles, ranks)
    first = -np.interp(-values, -quantiles[::-1], -ranks[::-1])
    found = 0.5 * (last + first)
    found[values >= quantiles[-1]] = 1
    found[values <= quantiles[0]] = 0
    return found
'''

CHECK_PLAIN: Final = """\
    for i, j in np.argwhere(~np.isfinite(x))[:1]:
        message = f"expected a number that is finite in {DTYPE}, found {raw[i, j]}"
        raise ValueError(f"row {i}, column {FEATURES[j]!r}: {message}")
"""

CHECK: Final = """\
    for i, j in np.argwhere(~np.isfinite(x))[:1]:
        name = FEATURES[PLACES[j]]
        value = raw[i, PLACES[j]]
        message = f"expected a number that is finite in {DTYPE}, found {value}"
        if np.isnan(value):
            message = "expected a value, found an empty cell"
        elif name in READERS:
            message = f"expected {READERS[name][0]} that the model knows"
        raise ValueError(f"row {i}, column {name!r}: {message}")
"""
