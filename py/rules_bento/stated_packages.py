"""The Python packages that options and an image ask for, for whoever has a lock to hold them against."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from rules_bento.image import Image
    from rules_bento.options import BuildOptions
    from rules_bento.project import ProjectFiles


@dataclass(frozen=True)
class StatedPackages:
    """Requirements (PEP 508), and how a message begins that is about them. Travels between actions as JSON."""

    place: str
    requirements: list[str]

    def dumps(self) -> str:
        """The text of the JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"

    @staticmethod
    def loads(text: str) -> StatedPackages:
        """Read what `dumps` gave."""
        return StatedPackages(**json.loads(text))

    def require(self, names: Collection[str]) -> None:
        """Raise BentoError for a package that is not among the normalized names of a lock's, unless it has a marker."""
        import re

        from rules_bento.requirements import normalized

        plain = [text for text in self.requirements if ";" not in text]
        missing = [text for text in plain if normalized(re.split(r"[^-._A-Za-z0-9]", text)[0]) not in names]
        if missing:
            raise BentoError(
                f"{self.place}: {', '.join(missing)} is not among the packages that the lock gives the Bento. Add it "
                f"to the target's requirements."
            )


def stated_packages(options: BuildOptions, image: Image, files: ProjectFiles) -> StatedPackages:
    """What is asked for. Raises BentoError for a file that is named and not declared, and for what cannot be read."""
    from rules_bento.env.python import packages_place, with_nested
    from rules_bento.image import requirements_of
    from rules_bento.requirements import parse

    place = packages_place(options)
    text = "".join(requirements_of(step, files, image.place) for step in image.steps)
    if options.python.requirements_txt:
        text += with_nested(options.python.requirements_txt, files, place)
    else:
        text += "".join(f"{package}\n" for package in options.python.packages or ())
    found, _ = parse(text, place)
    # Addresses and commits are the lock's to say; the name tells that the package is wanted.
    named = [item.name if item.is_direct else item.text for item in found if not item.text.startswith(".")]
    return StatedPackages(place, [text for text in named if text])
