"""Subcommand that writes the image definition of a target."""

from __future__ import annotations

from pathlib import Path

from rules_bento.arguments import Pairs, Request
from rules_bento.bento import image_steps as images
from rules_bento.build_options.project import ProjectFiles
from rules_bento.dataclasses_lite import replace
from rules_bento.errors import BentoError
from rules_bento.packages.requirements import join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.bento.image_steps import Step


class _EnvironmentRequest(Request):
    extends: Pairs  # JSON of an image, label
    image: str  # JSON: fields, and steps whose files are relative to the package
    output: Path
    package: str
    source: Pairs  # path relative to the root of the workspace, path to read


def environment(request: _EnvironmentRequest) -> None:
    """Write the image definition of a target. With `--extends`, extends another image definition."""
    place = request.target
    files = ProjectFiles(dict(request.source))
    own = images.from_json(request.image, place)
    image = own = replace(own, steps=tuple(_resolve_step(step, request.package, files, place) for step in own.steps))
    for path, label in request.extends:
        image = images.from_json(Path(path).read_text("utf-8"), label).extend(own)
    images.check(image)
    request.output.write_text(image.to_json(), "utf-8")


def _resolve_step(step: Step, package: str, files: ProjectFiles, place: str) -> Step:
    """Resolve paths, and replace requirements files with their contents. Raises BentoError for an invalid file."""
    at = f"{place}: {step.kind}"

    def path(written: str) -> str:
        resolved = files.path(f"{package}/{written}" if package else written, at)
        if not files.has(resolved):
            raise BentoError(f"{at}: {written!r} isn't in srcs. Add the file to srcs, or correct the path.")
        return resolved

    match step.kind:
        case "run_script":
            [script] = map(path, step.values)
            images.check_script(script, files.read(script, at), at)
            return images.Step("run_script", (script,))
        case "wheels":
            for wheel in map(path, step.values):
                files.read(wheel, at)
            return images.Step("wheels", tuple(map(path, step.values)))
        case "requirements_file" | "pyproject_toml":
            written = step.values or ("pyproject.toml",)
            lines = images.step_requirements(images.Step(step.kind, tuple(map(path, written))), files, place)
            if not any(line.text and not line.flag for line in lines):
                raise BentoError(f"{at}: {written[0]} lists no packages. Add packages to the file, or remove the step.")
            return images.Step("requirements", (join(lines),))
    return step
