"""Resolves the conflict markers of a `uv.lock` (`tool.uv.conflicts`) for selected members, extras, and groups.

uv locks conflicting members, extras, and groups (items) in one file. Dependencies (edges) of these items have markers
such as `extra == 'extra-4-proj-cpu'`, `extra != 'group-4-proj-dev'`, or `extra == 'project-4-proj'`. This module
replaces each such marker with the condition under which the item is active:

- true for selected items;
- a marker for extras that packages require only on some platforms;
- false for other items.
"""

from __future__ import annotations

import json
import re

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.shapes import MAX_MARKER
from rules_bento.base.typing_lite import Any, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.packages.requirement_syntax import normalize_name
from rules_bento.bentos.packages.uv_lock_markers import canonical_atom, contains, format_condition, is_range

Document = dict[str, Any]  # a uv.lock, or a table of it
Item = tuple[str, str, str]  # kind (`project`, `extra`, or `group`), package, and name of the extra or group
Atom = tuple[str, str, str]  # left, operator, right
Condition = frozenset[frozenset[Atom]]  # a disjunction of conjunctions of atoms

TRUE: Condition = frozenset([frozenset()])
FALSE: Condition = frozenset()

_MAX_STEPS = 4_000_000  # in one lock: atoms in combined clauses, and comparisons of clauses; a few seconds
_MAX_DEPTH = 50
_OPERAND = r"[a-z_]+|'[^']*'|\"[^\"]*\""
# Comparisons with other text than a version, which uv ignores with a warning.
_IGNORED = re.compile(r"python_(full_)?version [<>=!~]+ ['\"]\s*[^\d\s].*")
_TOKEN = re.compile(
    rf"\s*(?:([()]|and\b|or\b)|({_OPERAND})\s*(===?|!=|~=|<=|>=|<|>|not\s+in\b|in\b)\s*({_OPERAND}))\s*"
)
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "in": "not in", "not in": "in"}
_LOCK_AGAIN = "Run `uv lock` again."
_ATTRIBUTES = {"project": "members", "extra": "extras", "group": "groups"}  # attributes of bento.pypi
_TABLES = {"extra": "optional-dependencies", "group": "dev-dependencies"}


@dataclass(frozen=True)
class Choice:
    """The selected workspace members, extras, and groups. A field that is None selects all names."""

    members: Collection[str] | None = None
    extras: Collection[str] | None = None
    groups: Collection[str] | None = None
    only_groups: bool = False  # omits the members and their dependencies
    selector: str = "bento.pypi"  # what selects, for messages

    def items(self, document: Document) -> list[Item]:
        """Return the selected members, extras, and groups in the lock `document`."""
        items: list[Item] = []
        for package in filter(is_member, document["package"]):
            name = package["name"]
            if self.members is None or name in self.members:
                items += [] if self.only_groups else [("project", name, "")]
                for kind, names in (("extra", self.extras), ("group", self.groups)):
                    table = package.get(_TABLES[kind], {})
                    items += [(kind, name, each) for each in table if names is None or each in names]
        return items

    def has(self, item: Item) -> bool:
        """Return whether `item` is selected. Assumes that the item's package is selected."""
        names = {"extra": self.extras, "group": self.groups}.get(item[0])
        return names is None or item[2] in names

    def check(self, document: Document, origin: str) -> None:
        """Raise BentoError if a selected name isn't in the lock."""
        members = list(filter(is_member, document["package"]))
        for attribute, names, known in (
            ("members", self.members, [member["name"] for member in members]),
            ("extras", self.extras, [name for each in members for name in declared(each, "extra")]),
            ("groups", self.groups, [name for each in members for name in declared(each, "group")]),
        ):
            for name in names or ():
                if name not in known:
                    remedy = f"Valid values: {', '.join(sorted(set(known))) or 'none'}."
                    raise BentoError(f"{attribute}: the lock doesn't contain {name!r}", place=origin, remedy=remedy)


class PackageSelection(NamedTuple):
    """The extras and groups of a project, as the options of `uv sync`."""

    extras: Sequence[str] = ()
    groups: Sequence[str] = ()
    no_groups: Sequence[str] = ()
    only_groups: Sequence[str] = ()
    all_extras: bool = False
    all_packages: bool = False

    def choice(self, document: Document, project: str, defaults: Sequence[str]) -> Choice:
        """Return what is selected for a project of the lock `document`, whose `default-groups` are `defaults`.

        The group `dev` is selected only if an option names it. Raises BentoError for an unknown name, and for options
        that exclude each other.
        """
        remedy = "Remove one of the options."
        if self.only_groups and (self.groups or self.extras or self.all_extras):
            problem = "not supported with --group, --extra, or --all-extras"
            raise BentoError(problem, place="--only-group", remedy=remedy)
        if self.extras and self.all_extras:
            raise BentoError("not supported with --all-extras", place="--extra", remedy=remedy)
        member = next((each for each in document["package"] if each["name"] == project), None)
        if member is None:
            raise BentoError(f"the lock doesn't contain {project}", place="uv.lock", remedy="Run `uv lock`.")
        extras = declared(member, "extra")
        groups = [*declared(member, "group"), *document.get("manifest", {}).get("dependency-groups", ())]
        for option, names, known in (
            ("--extra", self.extras, extras),
            ("--group", self.groups, groups),
            ("--no-group", self.no_groups, groups),
            ("--only-group", self.only_groups, groups),
        ):
            for name in names:
                if normalize_name(name) not in known:
                    remedy = f"Valid values: {', '.join(sorted({*known})) or 'none'}."
                    raise BentoError(f"{project} has no {name!r}", place=option, remedy=remedy)
        chosen = self.only_groups or [*self.groups, *(groups if defaults == "all" else defaults)]
        named = {normalize_name(name) for name in (*self.only_groups, *self.groups)}
        excluded = {normalize_name(name) for name in self.no_groups} | ({"dev"} - named)
        return Choice(
            members=[each["name"] for each in filter(is_member, document["package"]) if self.all_packages] or [project],
            extras={normalize_name(name) for name in (extras if self.all_extras else self.extras)},
            groups={normalize_name(name) for name in chosen} - excluded,
            only_groups=bool(self.only_groups),
            selector="the options",
        )


def declared(member: Document, kind: str) -> list[str]:
    """Return the extras or groups that a member declares, including empty extras and groups."""
    field = {"extra": "provides-extras", "group": "requires-dev"}[kind]
    return [*member.get(_TABLES[kind], {}), *member.get("metadata", {}).get(field, ())]


def is_member(package: Document) -> bool:
    """Return whether a locked package is the project or a workspace member."""
    return bool(package["source"].keys() & {"virtual", "editable"})


def is_target(edge: Document, package: Document) -> bool:
    """Return whether an edge refers to a package. Ignores the version and the source if the edge lacks these fields."""
    return all(edge.get(key, package.get(key)) == package.get(key) for key in ("name", "version", "source"))


def dependencies(package: Document, kind: str, name: str) -> list[Document]:
    """Return the edges of a package, or of one of its extras or groups."""
    table = package.get(_TABLES[kind], {}) if kind in _TABLES else {"": package.get("dependencies", [])}
    edges: list[Document] = table.get(name, [])
    return edges


def resolve(document: Document, choice: Choice, origin: str) -> Document:
    """Return the lock with only active edges. Raises BentoError if `choice` has unknown or conflicting items."""
    choice.check(document, origin)
    if not document.get("conflicts"):
        return document
    active = _activate(document, choice, choice.items(document), Work(origin))
    return document | {"package": [_map_edges(package, active.resolve_edges) for package in document["package"]]}


def installed(
    document: Document, choice: Choice, origin: str, environment: Mapping[str, str] | None = None
) -> list[tuple[Document, Condition]]:
    """Return the packages that `choice` installs, as `uv sync` does, each with the condition of the installation.

    The members are among the packages. In `environment`, the variables of markers, each condition is true. Raises
    BentoError for conflicting items.
    """
    root = {"name": "", "source": {"virtual": ""}, "dev-dependencies": _root_groups(document)}
    document = document | {"package": [*document["package"], root]}
    chosen = choice.items(document)
    chosen += [item for name in choice.groups or () if (item := ("group", "", name))[2] in root["dev-dependencies"]]
    work = Work(origin, environment)
    limit = TRUE if not document.get("supported-markers") else FALSE
    for marker in document.get("supported-markers", ()):
        limit |= _replace(parse_marker(marker, work), work.condition, work)
    if not limit:
        remedy = "Change tool.uv.environments, and run `uv lock`."
        raise BentoError("the lock doesn't support the platform and Python version", place=origin, remedy=remedy)
    reached = _activate(document, choice, chosen, work).walk(document, chosen, limit)
    found = [(package, reached.get((id(package), ("project", package["name"], "")))) for package in document["package"]]
    return [(package, condition) for package, condition in found if condition]


def _root_groups(document: Document) -> dict[str, list[Document]]:
    """Return the edges of the groups in a root of a workspace that isn't a project."""
    groups: dict[str, list[Document]] = {}
    for name, requirements in document.get("manifest", {}).get("dependency-groups", {}).items():
        edges = groups.setdefault(name, [])
        for one in requirements:
            for package in document["package"]:
                if package["name"] == one["name"]:
                    forks = " or ".join(f"({marker})" for marker in package.get("resolution-markers", ()))
                    marker = " and ".join(f"({each})" for each in (one.get("marker"), forks) if each)
                    edge = {key: package[key] for key in ("name", "version", "source") if key in package}
                    edges.append(edge | {"marker": marker, "extra": one.get("extras", [])})
    return groups


def _activate(document: Document, choice: Choice, chosen: Collection[Item], work: Work) -> _Active:
    """Return the active items for the items `chosen`. Raises BentoError if the items conflict."""
    active = _Active(dict.fromkeys(chosen, TRUE), work)
    if not document.get("conflicts"):
        return active
    sets = [[_conflict_item(item) for item in together] for together in document["conflicts"]]
    members = _required_members(_by_name(document), chosen)
    for together in sets:
        found = [item for item in together if item[1] in members and choice.has(item)]
        _reject_conflict(found, sets, chosen, choice.selector, work.origin)
    items = {item for together in sets for item in together}
    if any(("extra", edge["name"], extra) in items for edge in _all_edges(document) for extra in edge.get("extra", ())):
        active.add_required(document, chosen)
        for together in sets:
            _reject_conflict(active.active_conflict(together), sets, chosen, choice.selector, work.origin)
    return active


def _by_name(document: Document) -> dict[str, list[Document]]:
    by_name: dict[str, list[Document]] = {}
    for package in document["package"]:
        by_name.setdefault(package["name"], []).append(package)
    return by_name


def _marker_name(kind: str, package: str, name: str) -> str:
    """Return the name that markers use for a member, an extra, or a group, such as `extra-4-proj-cpu`."""
    return f"{kind}-{len(package)}-{package}" + (f"-{name}" if name else "")


def _all_edges(document: Document) -> Iterator[Document]:
    for package in document["package"]:
        yield from package.get("dependencies", [])
        for table in _TABLES.values():
            for edges in package.get(table, {}).values():
                yield from edges


def _map_edges(package: Document, change: Any) -> Document:
    """Return `package` with `change` applied to each list of edges."""
    result = package | {"dependencies": change(package, package.get("dependencies", []))}
    for table in _TABLES.values():
        result[table] = {name: change(package, edges) for name, edges in package.get(table, {}).items()}
    return result


class Work:
    """Counts the steps for one lock before they run, because markers can have exponentially many clauses.

    If `environment` is set, markers are evaluated for these variables.
    """

    def __init__(self, origin: str, environment: Mapping[str, str] | None = None) -> None:
        self.origin = origin
        self.left = _MAX_STEPS
        self._environment = environment
        self._conditions: dict[Atom, Condition] = {}

    def condition(self, atom: Atom) -> Condition:
        """Return the condition of an atom that isn't an extra."""
        if self._environment is None:
            return frozenset([frozenset([atom])])
        if atom not in self._conditions:
            left, operator, right = atom
            if left in self._environment and operator in ("==", "!=") and "version" not in left:
                is_true = (self._environment[left] == right[1:-1]) == (operator == "==")
            elif is_range(atom):
                is_true = contains(atom, self._environment[left])
            else:
                from packaging.markers import Marker

                is_true = Marker(" ".join(atom)).evaluate({**self._environment})
            self._conditions[atom] = TRUE if is_true else FALSE
        return self._conditions[atom]

    def spend(self, steps: int) -> None:
        """Raise BentoError if the lock requires too many steps."""
        self.left -= steps
        if self.left < 0:
            remedy = "Simplify the markers of the requirements."
            raise BentoError("the markers are too complex", place=self.origin, remedy=remedy)


@dataclass
class _Active:
    """Maps the selected items, and the extras that these items require, to the conditions that activate them."""

    items: dict[Item, Condition]
    work: Work

    def active_conflict(self, together: list[Item]) -> list[Item]:
        """Return two extras in `together` that can be active at the same time, or [] if there are no such extras."""
        found = [item for item in together if item[0] == "extra" and item in self.items]
        pairs = ([one, other] for at, other in enumerate(found) for one in found[:at])
        both = ((pair, conjunction(*(self.items[item] for item in pair), work=self.work)) for pair in pairs)
        return next((pair for pair, condition in both if condition), [])

    def add_required(self, document: Document, chosen: Iterable[Item]) -> None:
        """Add the extras that selected items require, directly or indirectly."""
        before: dict[Item, Condition] = {}
        while before != self.items:
            before = dict(self.items)
            self.walk(document, chosen)

    def walk(
        self, document: Document, roots: Iterable[Item], limit: Condition = TRUE
    ) -> dict[tuple[int, Item], Condition]:
        """Return the conditions of the reached items, by the `id` of the package and the item. Adds required extras.

        `limit` is the condition of the roots.
        """
        by_name = _by_name(document)
        reached: dict[tuple[int, Item], Condition] = {}
        queue: list[tuple[Document, Item, Condition]] = [(by_name[item[1]][0], item, limit) for item in roots]
        while queue:
            package, item, reach = queue.pop()
            key = (id(package), item)
            joined = self._simplify(reached.get(key, FALSE) | reach)
            if joined == reached.get(key):
                continue
            reached[key] = joined
            for edge in dependencies(package, item[0], item[2]):
                extras: list[Item] = [("extra", edge["name"], extra) for extra in edge.get("extra", ())]
                # An edge activates its own extras, so its marker can refer to them.
                own = self._edge_condition(package, edge, extras)
                if condition := self._simplify(conjunction(joined, own, work=self.work)):
                    for extra in extras:
                        self.items[extra] = self._simplify(self.items.get(extra, FALSE) | condition)
                    for target in by_name.get(edge["name"], []):
                        if is_target(edge, target):
                            queue += [(target, one, condition) for one in (("project", target["name"], ""), *extras)]
        return reached

    def resolve_edges(self, package: Document, edges: list[Document]) -> list[Document]:
        """Resolve extras in the markers of `edges`. Omits inactive edges."""
        result = []
        for edge in edges:
            if "extra" not in edge.get("marker", ""):
                result.append(edge)
            elif condition := self._edge_condition(package, edge):
                plain = {key: value for key, value in edge.items() if key != "marker"}
                result.append(plain | ({} if condition == TRUE else {"marker": format_condition(condition)}))
        return result

    def _edge_condition(self, package: Document, edge: Document, extras: Collection[Item] = ()) -> Condition:
        """Return the condition under which an edge is active. Treats the items in `extras` as active."""
        named = {_marker_name(*item): condition for item, condition in self.items.items()}
        named |= dict.fromkeys((_marker_name(*item) for item in extras), TRUE)

        def resolve(atom: Atom) -> Condition:
            left, operator, right = atom
            if left != "extra":
                return self.work.condition(atom)
            # Any other extra belongs to the package.
            name = right[1:-1]
            item = named.get(name, named.get(_marker_name("extra", package["name"], name), FALSE))
            return item if operator == "==" else negation(item, self.work)

        return self._simplify(_replace(parse_marker(edge.get("marker", ""), self.work), resolve, self.work))

    def _simplify(self, condition: Condition) -> Condition:
        """Return a condition without redundant clauses."""
        self.work.spend(len(condition) ** 2)
        return frozenset(clause for clause in condition if not any(other < clause for other in condition))


def _required_members(by_name: Mapping[str, list[Document]], chosen: Iterable[Item]) -> set[str]:
    """Return the members that contain the selected items, and the members that these items require. Ignores markers."""
    queue, seen = list(chosen), set(chosen)
    while queue:
        kind, name, each = queue.pop()
        for package in by_name.get(name, []):
            for edge in dependencies(package, kind, each):
                extras = [("extra", edge["name"], extra) for extra in edge.get("extra", ())]
                new = {("project", edge["name"], ""), *extras} - seen
                seen |= new
                queue += new
    return {name for _, name, _ in seen if any(map(is_member, by_name.get(name, [])))}


def _reject_conflict(
    items: list[Item], sets: Iterable[Iterable[Item]], chosen: Iterable[Item], selector: str, origin: str
) -> None:
    """Raise BentoError if `items`, the active items of a conflict set, contains more than one item."""
    if len(items) > 1:
        is_hub = selector == Choice.selector
        raise BentoError(
            f"{_describe_item(items[0])} and {_describe_item(items[1])} conflict (tool.uv.conflicts), but {selector} "
            f"select{'s' * is_hub} both. {_advice(sets, chosen) if is_hub else 'Select only one.'}",
            place=origin,
        )


def _describe_item(item: Item) -> str:
    kind, package, name = item
    return f"the {kind} {name or package!r}" + (f" of {package}" if name else "")


def _conflict_item(item: Document) -> Item:
    kind = next((kind for kind in _TABLES if kind in item), "project")
    return (kind, item["package"], item.get(kind, ""))


def _selection(sets: Iterable[Iterable[Item]], chosen: Iterable[Item]) -> dict[str, list[str]]:
    kept = dict.fromkeys(chosen)
    dropped = set()
    for together in sets:
        for item in [item for item in together if item in kept][1:]:
            dropped |= {other for other in kept if (other[0], other[2] or other[1]) == (item[0], item[2] or item[1])}
            kept = {other: None for other in kept if other not in dropped}
    return {
        attribute: sorted({item[2] or item[1] for item in kept if item[0] == kind})
        for kind, attribute in _ATTRIBUTES.items()
        if any(item[0] == kind for item in dropped)
    }


def _advice(sets: Iterable[Iterable[Item]], chosen: Iterable[Item]) -> str:
    """Return a remedy: attribute values that select only one item of each conflict set."""
    selection = _selection(sets, chosen)
    values = [f"{attribute} = {json.dumps(names)}" for attribute, names in selection.items()]
    if not values:
        return "Select members, extras, and groups without this conflict in bento.pypi."
    text = f"Select only one, for example with {', '.join(values)} in bento.pypi, and use a second package hub for the "
    return text + "other."


def parse_marker(marker: str, work: Work) -> Condition:
    """Parse a marker as a condition on the variables that uv writes. Raises BentoError for an invalid marker."""
    # For each open parenthesis: the alternatives so far, and the current conjunction.
    frames: list[tuple[Condition, Condition]] = [(FALSE, TRUE)]
    at, expects = 0, bool(marker)
    while at < len(marker) <= MAX_MARKER:
        match = _TOKEN.match(marker, at)
        if not match or len(frames) > _MAX_DEPTH or (match[1] in (None, "(")) != expects:
            break
        at = match.end()
        any_of, all_of = frames[-1]
        if match[1] == "(":
            frames.append((FALSE, TRUE))
            continue
        if match[1] == "or":
            work.spend(len(any_of) + len(all_of))
            frames[-1] = (any_of | all_of, TRUE)
        elif match[1] == ")":
            frames.pop()
            if not frames:
                break
            frames[-1] = (frames[-1][0], conjunction(frames[-1][1], any_of | all_of, work=work))
            continue
        elif match[1] is None:
            operator = " ".join(match[3].split()).replace("===", "==")
            if "extra" in (match[2], match[4]) and (match[2] != "extra" or operator not in ("==", "!=")):
                break
            if operator == "~=" and not match[2].isidentifier():
                break
            frames[-1] = (any_of, conjunction(all_of, _condition((match[2], operator, match[4])), work=work))
        expects = match[1] is not None
    else:
        if len(frames) == 1 and not expects:
            return frames[0][0] | frames[0][1]
    raise BentoError(f"unsupported marker {marker[:200]!r}. {_LOCK_AGAIN}", place=work.origin)


def _condition(atom: Atom) -> Condition:
    left, operator, right = atom
    if _IGNORED.fullmatch(" ".join(atom)):
        return TRUE
    if left == "python_version" and operator in ("in", "not in"):
        versions = re.split(r"[\s,]+", right.strip("'\" "))
        union = FALSE.union(*(_condition((left, "==", f"'{each}'")) for each in versions))
        return union if operator == "in" else negation(union)
    if operator == "~=":
        numbers = [int(each) for each in re.findall("[0-9]+", right)] or [0]
        *series, last = numbers[:-1] or numbers
        end = ".".join(map(str, (*series, last + 1)))
        return conjunction(_condition((left, ">=", right)), _condition((left, "<", f"'{end}'")))
    if left == "extra":
        right = repr(normalize_name(right.strip("'\"")))
    return frozenset([frozenset([canonical_atom((left, operator, right))])])


def _replace(condition: Condition, change: Callable[[Atom], Condition], work: Work) -> Condition:
    """Return a condition in which `change` has replaced each atom."""
    return FALSE.union(*(conjunction(*map(change, clause), work=work) for clause in condition))


def conjunction(*conditions: Condition, work: Work | None = None) -> Condition:
    """Return the condition that is true if all conditions are true."""
    result, work = TRUE, work or Work("")
    for each in conditions:
        work.spend(len(each) * _size(result) + len(result) * _size(each))
        result = frozenset(left | right for left in result for right in each if _is_possible(left | right))
    return result


def _size(condition: Condition) -> int:
    return sum(10 + len(clause) for clause in condition)


def _is_possible(clause: Collection[Atom]) -> bool:
    values: dict[str, str] = {}  # not for versions: `== '3.12.*'` and `== '3.12.1'` can both be true
    return all(
        (left, _OPPOSITE[operator], right) not in clause
        and (operator != "==" or not left.endswith(("platform", "machine")) or values.setdefault(left, right) == right)
        for left, operator, right in clause
    )


def negation(condition: Condition, work: Work | None = None) -> Condition:
    """Return the opposite of a condition."""
    result = TRUE
    for clause in condition:
        opposite = [frozenset([(left, _OPPOSITE[operator], right)]) for left, operator, right in clause]
        result = conjunction(result, frozenset(opposite), work=work)
    return result
