"""Validates and normalizes times."""

_DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
_DIGITS = "0123456789"

def normalize_time(text):
    """Returns an RFC 3339 time with the time zone as `+HH:MM` or `-HH:MM`, or None for an invalid time.

    Rejects the years 1 and 9999, whose times can be out of range in another time zone.
    """
    text = text.removesuffix("Z") + "+00:00" if text.endswith("Z") else text
    form = "".join(["0" if char in _DIGITS else char for char in text.elems()])
    fraction = form.removeprefix("0000-00-00T00:00:00")[:-6]
    if form not in ["0000-00-00T00:00:00{}{}00:00".format(fraction, sign) for sign in "+-".elems()]:
        return None
    if fraction not in ["", ".000", ".000000"]:
        return None
    year, month, day, hour, minute, second = [
        int(text[at:end])
        for at, end in [(0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)]
    ]
    if year not in range(2, 9999) or month not in range(1, 13) or day not in range(1, _DAYS[month - 1] + 1):
        return None
    if (month, day) == (2, 29) and (year % 4 or (not year % 100 and year % 400)):
        return None
    if max(hour, int(text[-5:-3])) > 23 or max(minute, second, int(text[-2:])) > 59:
        return None
    return text
