"""Runs the checks of images. Each front (rule, backend, command) calls these functions, and only remedies differ."""

from __future__ import annotations

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Collection, Mapping, Sequence

if TYPE_CHECKING:
    from rules_bento.base.formats.oci import Layer
    from rules_bento.bentos.service.loaded_modules import MissingModule
    from rules_bento.images.entrypoint import ContainerCommand
    from rules_bento.images.validation.base_compatibility import Base
    from rules_bento.images.validation.bento_requirements import ImageSystem
    from rules_bento.images.validation.remedies import Remedies
    from rules_bento.images.wheels.libraries import Libraries


def check_packages(
    base: Base,
    wheels: Sequence[str],
    packages: Sequence[Libraries],
    ignored: Collection[str],
    remedies: Remedies,
    machines: Mapping[str, str] | None = None,
    command: ContainerCommand | None = None,
    own: Collection[str] = (),
) -> tuple[str, ...]:
    """Raise BentoError if wheels can't run on a base, contradict each other, or lack what they or `command` run.

    `wheels` contains file names, `ignored` names of files that the checks ignore, and `machines` the machine types of
    other files by path. `own` contains the file names of wheels of the user's sources. Returns notes on missing
    optional libraries.
    """
    from rules_bento.bentos.packages.shared_files import PackageFiles, check_shared_files
    from rules_bento.images import entrypoint
    from rules_bento.images.validation import base_compatibility, package_needs

    check_shared_files([PackageFiles(package.distribution, package.files) for package in packages], remedies.exclude)
    result = base_compatibility.check(base, wheels, packages, ignored, machines, remedies)
    need = package_needs.problem(packages, own, base.libraries, ignored, remedies) if base.libraries is not None else ""
    missing = entrypoint.problem(command, base, packages, ignored, remedies) if command else ""
    if problems := [*result.problems, *filter(None, [need, missing])]:
        raise BentoError("\n".join(problems))
    return result.notes


def missing_modules(
    imports: Sequence[MissingModule], env: Mapping[str, str], packages: Callable[[], Sequence[Libraries]]
) -> str:
    """Return an error message if none of `packages` provides some of `imports`, or "". `env` is the base's."""
    from rules_bento.bentos.service.module_table import ModuleTable, modules_of

    if not imports or "PYTHONPATH" in env:
        return ""
    table = ModuleTable({package.distribution: modules_of(package.files) for package in packages()})
    missing = [each for each in imports if table.lacks(each.module)]
    listed = ", ".join(dict.fromkeys(f"`{each.module.partition('.')[0]}`" for each in missing))
    remedy = "Add the package, or, if the base provides the module, the comment `# bento: provided` to the line."
    return f"{missing[0].place}: no package of the image provides {listed}. {remedy}" if missing else ""


def bytecode_notes(packages: Sequence[Libraries]) -> list[str]:
    """Return a note for each wheel with bytecode."""
    problem = "the wheel contains bytecode, which can differ from its sources and isn't installed (number of files:"
    return [f"{package.wheel}: {problem} {package.bytecode})." for package in packages if package.bytecode]


def check_system(
    bento: dict[str, Any],
    system: ImageSystem,
    ignored: Collection[str],
    wheels: Sequence[tuple[str, int]],
    remedies: Remedies,
) -> str:
    """Raise BentoError if an image lacks the distribution, system packages, or CUDA version that its Bento requires.

    `ignored` contains names of requirements, and `wheels` file names and sizes. Returns a note, or "".
    """
    from rules_bento.images.validation import bento_requirements

    requirements = bento_requirements.read_requirements(bento)
    if problems := list(bento_requirements.problems(requirements, system, remedies, ignored)):
        raise BentoError("\n".join(problems))
    return bento_requirements.gpu_note(requirements, wheels, ignored, remedies)


def check_layers(layers: Sequence[Layer], compression: str, remedies: Remedies, python: str = "") -> None:
    """Raise BentoError for too many layers, or for a zstd layer if `compression` is gzip.

    Also raises BentoError for bytecode of another version of Python than `python` (X.Y.Z), the base's, if it is known.
    """
    from rules_bento.images import oci_image

    oci_image.check_layers(layers, remedies.fewer_layers)
    others = [layer.name for layer in layers if layer.media_type.endswith("+zstd")]
    if compression == "gzip" and others:
        setting, alternative = remedies.gzip
        problem = f"every layer must use gzip, but these layers use zstd: {', '.join(others)}"
        remedy = f"Convert the base image with `skopeo copy --dest-compress-format gzip`, or {alternative}."
        raise BentoError(problem, place=setting, remedy=remedy)
    other = max([layer.python for layer in layers if layer.python != python], default="")
    if other and python.count(".") == 2:
        problem = f"the base has Python {python}, but the bytecode is compiled by Python {other}"
        raise BentoError(problem, place="bytecode", remedy=remedies.bytecode.format(python))


def check_size(layers: Sequence[Layer], limit: int, remedies: Remedies) -> None:
    """Raise BentoError if the total size of an image's layers exceeds the limit in bytes."""
    from rules_bento.images.validation.base_compatibility import too_large

    for problem in too_large(layers, limit, remedies):
        raise BentoError(problem)
