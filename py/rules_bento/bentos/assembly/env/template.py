"""Renders `docker.dockerfile_template`, a project's Jinja2 template that replaces blocks of the Dockerfile.

Jinja2's sandbox protects Python's internals only if all values that the template can use are standard Python objects. A
Jinja2 object, such as a compiled template, gives access to the environment and to arbitrary code.
"""

from __future__ import annotations

import re
import shlex

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any
from rules_bento.bentos.assembly.env import dockerfile

# The name that templates extend.
_BASE = "bento_base_template"
_PLACEHOLDERS = dockerfile.ContainerLayout(
    user="\0user\0",
    uid_gid="\0uid_gid\0",
    home="\0home\0",
    path="\0path\0",
    entrypoint="\0entrypoint\0",
    owner="\0user\0",
    login="\0uid_gid\0",
)


def render(text: str, recipe: dockerfile.Recipe, options: dict[str, Any], origin: str) -> str:
    """Render a template that extends the default Dockerfile, and return the resulting Dockerfile.

    The template can refer to the `docker` options as `__options__<key>`. Raises BentoError for an invalid template. The
    message begins with `origin`. For a syntax error, the line number follows.
    """
    dockerfile_text = _render_template(text, recipe, options, origin)
    if not re.search(r"^FROM\s", dockerfile_text, re.MULTILINE | re.IGNORECASE):
        remedy = "Start the template with '{% extends bento_base_template %}'."
        raise BentoError("the rendered Dockerfile has no FROM", place=origin, remedy=remedy)
    return re.sub(r"\n{3,}", "\n\n", dockerfile_text).rstrip("\n") + "\n"


def _render_template(text: str, recipe: dockerfile.Recipe, options: dict[str, Any], origin: str) -> str:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        extensions=["jinja2.ext.loopcontrols"],
        keep_trailing_newline=True,
        loader=jinja2.DictLoader({_BASE: _base_template(recipe)}),
        lstrip_blocks=True,
        trim_blocks=True,
    )
    environment.filters["bash_quote"] = shlex.quote
    environment.filters["normalize_line"] = lambda text: " ".join(text.split())
    environment.globals["expands_bento_path"] = _join_bento_path
    # The name, not a template object: see above.
    environment.globals[_BASE] = _BASE
    try:
        dockerfile_text = environment.from_string(text).render(**_variables(recipe, options))
        dockerfile_text.encode()  # raises UnicodeEncodeError, a ValueError, for a lone surrogate
        return dockerfile_text
    except jinja2.TemplateNotFound as error:
        problem = f"can't include {error.name!r}, because a Bento contains only the template itself"
        raise BentoError(problem, place=origin, remedy="Move the included content into the template.") from None
    except jinja2.TemplateSyntaxError as error:
        raise BentoError(f"{origin}:{error.lineno}: invalid template: {str(error.message).rstrip('.')}.") from None
    except (MemoryError, RecursionError):
        raise BentoError("the template needs too much memory", place=origin, remedy="Simplify the template.") from None
    except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        remedy = "Correct the template."
        raise BentoError(f"cannot render the template: {str(error).rstrip('.')}", place=origin, remedy=remedy) from None


def _base_template(recipe: dockerfile.Recipe) -> str:
    """Return the default Dockerfile as a Jinja2 template with a block for each section."""
    parts = [dockerfile.HEADER]
    for name, text in dockerfile.blocks(recipe, _PLACEHOLDERS).items():
        parts.append(f"{{% block {name} %}}\n{_escape(text)}\n{{% endblock %}}\n")
    return "\n".join(parts)


def _escape(text: str) -> str:
    """Escape Jinja2's delimiters, and replace the placeholders with template variables."""
    literal = re.sub(r"\{[{%#]", lambda mark: f"{{{{ '{mark[0]}' }}}}", text)
    return re.sub(r"\0(\w+)\0", r"{{ bento__\1 }}", literal)


def _variables(recipe: dockerfile.Recipe, options: dict[str, Any]) -> dict[str, Any]:
    names = dockerfile.ContainerLayout()
    return {
        "bento__user": names.user,
        "bento__uid_gid": int(names.uid_gid),
        "bento__home": names.home,
        "bento__path": names.path,
        "bento__entrypoint": names.entrypoint,
        "bento__add_header": True,
        "bento__buildkit_frontend": "docker/dockerfile:1",
        "bento__enable_buildkit": True,
        "__enable_buildkit__": True,
        "__base_image__": recipe.base_image,
        "__conda_python_version__": recipe.python_version,
        "__is_cuda__": bool(options.get("cuda_version")),
        "__prometheus_port__": 3001,
        **{f"__options__{key}": value for key, value in options.items()},
    }


def _join_bento_path(*parts: str, bento_path: str = dockerfile.ContainerLayout.path) -> str:
    return "/".join([bento_path, *parts])
