"""`docker.dockerfile_template`: a user's Jinja2 template that replaces blocks of the Dockerfile, in a sandbox."""

from __future__ import annotations

import re
import shlex
from typing import Any

from rules_bento.env import dockerfile
from rules_bento.errors import BentoError

_MARKS = dockerfile.Names(
    user="\0user\0",
    uid_gid="\0uid_gid\0",
    home="\0home\0",
    path="\0path\0",
    entrypoint="\0entrypoint\0",
    owner="\0user\0",
    login="\0uid_gid\0",
)


def render(text: str, recipe: dockerfile.Recipe, options: dict[str, Any], origin: str) -> str:
    """The Dockerfile that the template makes of ours.

    `options` are those of `docker`, which the template sees as `__options__<key>`. Raises BentoError, naming
    `origin` and the line where it is known, for a template that does not work.
    """
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(
        extensions=["jinja2.ext.loopcontrols"],
        keep_trailing_newline=True,
        loader=jinja2.DictLoader({}),
        lstrip_blocks=True,
        trim_blocks=True,
    )
    environment.filters["bash_quote"] = shlex.quote
    environment.filters["normalize_line"] = _normalized
    environment.globals["expands_bento_path"] = _expanded
    environment.globals["bento_base_template"] = environment.from_string(_base(recipe))
    try:
        made = environment.from_string(text).render(**_variables(recipe, options))
    except jinja2.TemplateNotFound as error:
        raise BentoError(
            f"{origin}: the template takes {error.name!r} from another file, but a Bento holds the template alone. "
            f"Put the text into it."
        ) from None
    except jinja2.TemplateSyntaxError as error:
        raise BentoError(f"{origin}:{error.lineno}: {error.message}. Correct the template.") from None
    except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise BentoError(f"{origin}: the template cannot be rendered: {error}. Correct it.") from None
    if not re.search(r"^FROM\s", made, re.MULTILINE | re.IGNORECASE):
        raise BentoError(
            f"{origin}: the template makes a Dockerfile without FROM. Begin it with "
            f"'{{% extends bento_base_template %}}'."
        )
    return re.sub(r"\n{3,}", "\n\n", made).rstrip("\n") + "\n"


def _base(recipe: dockerfile.Recipe) -> str:
    """Our Dockerfile as the template that others extend."""
    parts = [dockerfile.HEADER]
    for name, text in dockerfile.blocks(recipe, _MARKS).items():
        parts.append(f"{{% block {name} %}}\n{_as_template(text)}\n{{% endblock %}}\n")
    return "\n".join(parts)


def _as_template(text: str) -> str:
    """Text in which Jinja2 finds nothing but the names that a template may set."""
    literal = re.sub(r"\{[{%#]", lambda found: f"{{{{ '{found[0]}' }}}}", text)
    return re.sub(r"\0(\w+)\0", r"{{ bento__\1 }}", literal)


def _variables(recipe: dockerfile.Recipe, options: dict[str, Any]) -> dict[str, Any]:
    names = dockerfile.Names()
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


def _normalized(text: str) -> str:
    return " ".join(text.split())


def _expanded(*parts: str, bento_path: str = dockerfile.Names.path) -> str:
    return "/".join([bento_path, *parts])
