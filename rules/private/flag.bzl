"""Defines rules for build flags, and for values that a `select` determines."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load(":providers.bzl", "BentoFlagInfo")

_DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
_DIGITS = "0123456789"

def normalize_time(text):
    """Validates a time, and normalizes its time zone.

    Args:
      text: an RFC 3339 time with a precision of seconds, milliseconds, or microseconds.

    Returns:
      The time with the time zone as `+HH:MM` or `-HH:MM`, or None for an invalid time.
    """
    text = text.removesuffix("Z") + "+00:00" if text.endswith("Z") else text
    form = "".join(["0" if char in _DIGITS else char for char in text.elems()])
    fraction = form.removeprefix("0000-00-00T00:00:00")[:-6]
    if form not in ["0000-00-00T00:00:00{}{}00:00".format(fraction, sign) for sign in "+-".elems()]:
        return None
    if fraction not in ["", ".000", ".000000"]:
        return None
    year, month, day, hour, minute, second = [int(text[at:end]) for at, end in [(0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)]]
    if not year or month not in range(1, 13) or day not in range(1, _DAYS[month - 1] + 1):
        return None
    if (month, day) == (2, 29) and (year % 4 or (not year % 100 and year % 400)):
        return None
    if max(hour, int(text[-5:-3])) > 23 or max(minute, second, int(text[-2:])) > 59:
        return None
    return text

bento_string_flag = rule(
    implementation = lambda ctx: BentoFlagInfo(value = ctx.build_setting_value),
    doc = "Defines a string flag: `--@rules_bento//rules:<name>=<value>`.",
    build_setting = config.string(flag = True),
    provides = [BentoFlagInfo],
)

def _bento_time_flag_impl(ctx):
    value = normalize_time(ctx.build_setting_value)
    if not value:
        fail("--@rules_bento//{}:{}: invalid time \"{}\". Use a time with a time zone, such as 2026-01-31T12:00:00+00:00.".format(
            ctx.label.package,
            ctx.label.name,
            ctx.build_setting_value,
        ))
    return BentoFlagInfo(value = value)

bento_time_flag = rule(
    implementation = _bento_time_flag_impl,
    doc = "Defines a flag whose value is a time (RFC 3339).",
    build_setting = config.string(flag = True),
    provides = [BentoFlagInfo],
)

bento_bool_flag = rule(
    implementation = lambda ctx: BentoFlagInfo(value = "yes" if ctx.build_setting_value else ""),
    doc = "Defines a Boolean flag: `--@rules_bento//rules:<name>`.",
    build_setting = config.bool(flag = True),
    provides = [BentoFlagInfo],
)

bento_string_list_flag = rule(
    implementation = lambda ctx: BentoFlagInfo(value = tuple(ctx.build_setting_value)),
    doc = "Defines a string flag that users can repeat.",
    build_setting = config.string_list(flag = True, repeatable = True),
    provides = [BentoFlagInfo],
)

bento_string_setting = rule(
    implementation = lambda ctx: BentoFlagInfo(value = ctx.attr.value),
    doc = "Provides the string that a `select` resolves to.",
    attrs = {"value": attr.string(doc = "Value of the target: a string, usually a `select`.", mandatory = True)},
    provides = [BentoFlagInfo],
)

# Rules can't read flags of Bazel directly. Only a `select` can read the flags.
bento_condition = rule(
    implementation = lambda ctx: BentoFlagInfo(value = "yes" if ctx.attr.holds else ""),
    doc = "Provides the Boolean value that a `select` resolves to.",
    attrs = {"holds": attr.bool(doc = "Value of the target: a Boolean value, usually a `select`.", mandatory = True)},
    provides = [BentoFlagInfo],
)

def _bento_python_version_impl(ctx):
    own = ctx.attr.own[BentoFlagInfo].value
    mode = ctx.attr.wheels[BentoFlagInfo].value
    is_tool = mode in ("import", "metadata") and not ctx.attr.stated

    # rules_python has a default version, so its flag doesn't show whether a target or the command line set the version. Bentos and images don't use
    # its flag, because their Python is the package hub's.
    version = ctx.attr.rules_python[BuildSettingInfo].value if is_tool or (mode == "auto" and not own) else own
    return config_common.FeatureFlagInfo(value = ".".join(version.split(".")[:2]))

bento_python_version = rule(
    implementation = _bento_python_version_impl,
    doc = "Provides the Python version (`X.Y`) of a configuration's packages, for `config_setting`. An empty string selects the default of the package hub.",
    attrs = {
        "own": attr.label(doc = "The version that Bentos and images set.", mandatory = True, providers = [BentoFlagInfo]),
        "rules_python": attr.label(doc = "The version with which targets of rules_python run, such as `py_test`.", mandatory = True, providers = [BuildSettingInfo]),
        "stated": attr.bool(doc = "Whether a Bento declares the packages. False for packages of tools.", mandatory = True),
        "wheels": attr.label(doc = "The files that packages provide.", mandatory = True, providers = [BentoFlagInfo]),
    },
)
