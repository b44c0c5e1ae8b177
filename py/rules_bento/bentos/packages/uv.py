"""Starts uv. `start` alone determines uv's directory, configuration, interpreter, variables, logins, and errors.

uv replaces `${NAME}` in URLs of requirements, also in the metadata of a package. So a stranger's server can get each
variable of uv whose name is uppercase. Therefore uv gets logins and what git and keyring need in files, addresses in
options, and proxies in variables whose names are lowercase.

uv has no terminal, and runs no code of packages (`build_hooks`).

A test finds any other start of uv in py/. Exceptions are a program in the isolation of builds, and repository
rules, which have no packages.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

from rules_bento.base import landlock
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.display import printable, without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file, schema
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.landlock import Reach
from rules_bento.base.net.secret_hosts import accepts_secrets, are_safe
from rules_bento.base.net.urls import Origin
from rules_bento.base.own_files import OwnDirectory, TreeWriter, own_directory
from rules_bento.base.programs import which
from rules_bento.base.typing_lite import Any, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.packages.build_hooks import Call, answering, write_stand_in
from rules_bento.bentos.packages.indexes import Indexes, split_index
from rules_bento.bentos.packages.virtualenv import Interpreter

# Variables of the user that uv receives: settings without secrets, addresses, and paths.
_SETTINGS = (
    r"LANG|LC_ALL|UV_((HTTP|CONCURRENT)_\w+|EXCLUDE_NEWER|FORK_STRATEGY|INDEX_STRATEGY|KEYRING_PROVIDER|LINK_MODE|"
    r"NATIVE_TLS|NO_CACHE|NO_CONFIG|NO_PROGRESS|OFFLINE|PRERELEASE|REQUEST_TIMEOUT|RESOLUTION|SYSTEM_CERTS|"
    r"TORCH_BACKEND)"
)
# If uv uses build back ends: settings that change a lock.
_OF_LOCKS = (
    r"UV_(BUILD_CONSTRAINT|CONSTRAINT|EXCLUDE|GIT_LFS|NO_BINARY\w*|NO_BUILD\w*|NO_SOURCES\w*|OVERRIDE|PREVIEW\w*)"
)
# If code of packages runs as the user in any case: what compilers read, too.
_OF_BUILDS = (
    r"UV_(MANAGED_PYTHON|NO_MANAGED_PYTHON|PYTHON(_DOWNLOADS|_PREFERENCE)?)|AR|ARCHFLAGS|CC|CPATH|CPP|CXX|LD|LDSHARED|"
    r"\w*FLAGS|(LD_|DYLD_)?LIBRARY_PATH|MACOSX_DEPLOYMENT_TARGET|SDKROOT|PKG_CONFIG\w*|SOURCE_DATE_EPOCH|"
    r"\w*_PRETEND_VERSION\w*|(CARGO|CMAKE|CUDA|JAVA|LIBCLANG|LLVM|OPENSSL|RUSTUP)_(?!\w*(KEY|PASSWORD|SECRET|TOKEN))\w+"
)
_PROXIES = ("all_proxy", "http_proxy", "https_proxy", "no_proxy")
_CERTIFICATES = ("SSL_CERT_DIR", "SSL_CERT_FILE", "SSL_CLIENT_CERT")
_DIRECTORIES = {"XDG_CACHE_HOME": ".cache", "XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".local/share"}
_ADDRESSES = {
    "UV_DEFAULT_INDEX": "--default-index",
    "UV_EXTRA_INDEX_URL": "--extra-index-url",
    "UV_FIND_LINKS": "--find-links",
    "UV_INDEX": "--index",
    "UV_INDEX_URL": "--index-url",
    "UV_INSECURE_HOST": "--allow-insecure-host",
}
# git and keyring are programs of the user, and get the user's variables. uv sets those of git's repositories.
_OF_PROGRAMS = r"(?a)(?!(HOME|NETRC|GIT_(?!ASKPASS|CONFIG|SSH|SSL_CA)\w*)$)[A-Za-z_]\w*"
_CONFIGURATION = {"index?": [{"name?": str, "url?": str}], "cache-dir?": str, "keyring-provider?": str}
_CONFIGURATION |= {"index-url?": str, "extra-index-url?": [str], "find-links?": [str]}
LAST_PARENT = "[tool.uv.workspace]\n"
"""The pyproject.toml of a directory of whose parents uv reads no settings."""
# uv's message for an unknown certificate authority, and its flag to trust the system's certificates, as pip does.
_UNTRUSTED_CERTIFICATE, _SYSTEM_CERTIFICATES = "UnknownIssuer", "--system-certs"
_DESCRIBE = "import os, sys; print(sys.version.split()[0], os.path.realpath(sys.executable))"
CACHE_FIRST = ("--offline", "", _SYSTEM_CERTIFICATES)
"""Attempts with the cache, with the indexes, and with the system's certificates."""
BUILD_FAILURE = re.compile(r"Failed to (?:download and )?build `([^`]+)`")
"""uv's message for a package that it can't build, for example with a stand-in for an interpreter."""
REFUSED = re.compile(r"(?:credentials|error)\s+\(40[13] |returned (?:a|error:) 40[13]\b|could not read Username")
"""The messages of uv, and of its Git, for a server that requires a login."""


class Access(NamedTuple):
    """What uv can use of the user's logins and programs."""

    indexes: Sequence[tuple[str, str]] = ()  # names and addresses that the project or the target chooses
    is_trusted: bool = False  # whether variables such as UV_INDEX_<NAME>_PASSWORD are for `indexes`
    is_safe: bool = True  # whether all addresses accept secrets; otherwise, uv gets only logins in the user's addresses
    builds: bool = False  # whether uv itself runs code of packages, to serve a Bento, which runs it in any case

    @staticmethod
    def to(indexes: Indexes, *, is_trusted: bool = True) -> Access:
        """Return the access to `indexes`, for example of a target."""
        addresses = (indexes.default, *indexes.extra, *indexes.find_links)
        named = [split_index(entry) for entry in (indexes.default, *indexes.extra)]
        return Access(named, is_trusted, are_safe(addresses, indexes.trusted_hosts))


class Run(NamedTuple):
    """A run of uv. By default, the directory is empty, and uv reads no configuration.

    `config` is "", "directory" (of a directory whose pyproject.toml contains `LAST_PARENT`, and of the user), "project"
    (all that uv finds), or the path of a file.
    """

    command: Sequence[str]
    access: Access | None = None  # None: the command needs no network
    directory: Path | None = None
    config: str = ""
    text: str = ""  # the standard input
    python: str = ""  # version of a stand-in for an interpreter, which builds nothing unless `call` calls hooks
    variables: Mapping[str, str] = os.environ  # for a command without `access`
    attempts: Sequence[str] = ("", _SYSTEM_CERTIFICATES)
    is_shown: bool = False  # prints errors unless another attempt solves them
    seconds: float | None = None
    reach: Reach | None = None  # None: all that the user has
    call: Call | None = None


def find_uv(path: str | None = None) -> str | None:
    """Return the path of uv in the environment of this interpreter, otherwise on PATH, or None."""
    return which("uv", sys.executable.rpartition("/")[0]) or which("uv", path)


def require_uv(purpose: str) -> str:
    """Return the path of uv. Raises BentoError, with the purpose such as `reads the lock`, if uv isn't installed."""
    if uv := find_uv():
        return uv
    raise BentoError(f"uv, which {purpose}, isn't installed", remedy="Install uv, for example with `pip install uv`.")


def version_of(uv: str) -> str:
    """Return the version of the uv at a path."""
    return checked(start(Run([uv, "--version"], reach=reach(())))).split()[1]


def find_python(version: str) -> str:
    """Return the interpreter of a version (X.Y or X.Y.Z) that uv finds. Raises BentoError if there is none."""
    program = require_uv("finds interpreters")
    words = ["python", "find", "--no-project", "--system", "--no-python-downloads", "--color=never"]
    home = Path("~").expanduser()
    named = [Path(each) for each in os.environ.get("PATH", os.defpath).split(os.pathsep) if each.startswith("/")]
    reads = [each if each.parent in (home, Path("/")) else each.parent for each in named]
    found = checked(start(Run([program, *words, f"cpython@{version}"], reach=reach(reads))))
    return found.strip()


def find_interpreter(version: str) -> Interpreter:
    """Return an interpreter of a version (X.Y): this one, or one that uv finds. Without one, returns this one."""
    own = Interpreter.own()
    if own.release(2) == version:
        return own
    with suppress(BentoError, OSError):
        words = [find_python(version), "-I", "-S", "-B", "-c", _DESCRIBE]
        done = landlock.outside(
            subprocess.run, words, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        release, _, path = done.stdout.strip().partition(" ")
        found = Interpreter(Path(path), release)
        if found.release(2) == version:
            return found
    return own


def start(run: Run) -> subprocess.CompletedProcess[str]:
    """Run uv, and return the result of the first successful or of the last attempt.

    Raises BentoError if uv can't be run, or doesn't end within `run.seconds`.
    """
    access, reach, variables, program = run.access, run.reach, run.variables, run.command[0]
    with own_directory("rules_bento-uv-") as own, TreeWriter(own) as files, ExitStack() as stack:
        if run.call:
            stack.enter_context(answering(own, run.call))
        files.file("empty/pyproject.toml", [LAST_PARENT.encode()])
        stand_in = find_interpreter(minor(run.python)) if run.call else None
        words = _words(own, run, stand_in)
        if access:
            words, variables = landlock.outside(_with_user, own, files, words, access, has_hooks=bool(run.call))
        if access and run.config == "project":  # otherwise, uv runs the interpreter in `.venv`
            variables = {**variables, "UV_PROJECT_ENVIRONMENT": f"{own}/environment"}
        pipe, no_file = subprocess.PIPE, subprocess.DEVNULL  # never a terminal, to which programs could write commands
        settings: Any = {"stdin": no_file, "stdout": no_file} if run.is_shown else {"stdin": pipe, "stdout": pipe}
        settings |= {"cwd": run.directory or own / "empty", "env": variables, "stderr": pipe}
        if reach:
            reads = [*(reach.reads or ()), os.path.realpath(words[0])]
            reads += [stand_in.path.parents[1]] if stand_in else []
            reach = reach._replace(writes=[own, *reach.writes], reads=reads)
        for attempt in run.attempts:
            attempted, output, held = [*words, *filter(None, [attempt])], b"", b""
            try:
                with _start(reach, attempted, settings) as uv, _ending(uv):
                    if run.is_shown:
                        errors, held = _show(uv.stderr or (), os.fsencode(own))
                    else:
                        output, errors = uv.communicate(run.text.encode(), run.seconds)
            except subprocess.TimeoutExpired:
                raise BentoError(f"{program}: no result after {run.seconds:g} seconds. Check the network.") from None
            except (OSError, subprocess.SubprocessError) as error:
                remedy = "Install uv again, for example with `pip install uv`."
                problem = getattr(error, "strerror", "") or error
                raise BentoError(f"cannot run {program}: {problem}", remedy=remedy) from None
            found = errors.decode(errors="replace")
            status = uv.returncode or int(ignores_settings(found))
            if not status or not (attempt or _UNTRUSTED_CERTIFICATE in found) or attempt == run.attempts[-1]:
                break
        _print(held)
        return subprocess.CompletedProcess(attempted, status, output.decode(errors="replace"), found)


def _words(own: OwnDirectory, run: Run, stand_in: Interpreter | None) -> list[str]:
    """Return a command with the options for its configuration and interpreter. Writes a stand-in for the latter."""
    command, config = run.command, run.config
    words = [str(Path(command[0]).absolute()), *command[1:]]
    if config not in ("directory", "project"):
        words += ["--config-file", config] if config else ["--no-config"]
    elif run.access and (file := os.environ.get("UV_CONFIG_FILE")):
        words += ["--config-file", str(Path(file).absolute())]
    if run.python:
        from rules_bento.bentos.packages.fake_interpreter import write_fake_interpreter

        if stand_in:
            write_stand_in(own, run.python, stand_in)
        else:
            write_fake_interpreter(own / "python", run.python)
        words += ["--no-python-downloads", "--python", f"{own}/python"]
    elif command[1] in ("lock", "pip") and "--python" not in command and config != "project":
        words += ["--python", sys.executable]
    return words


def minor(version: str) -> str:
    """Return X.Y of a version."""
    return ".".join(version.split(".")[:2])


def _start(reach: Reach | None, words: Sequence[str], settings: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """Start uv in a new session, so without a terminal. Its programs are in its process group."""
    if reach:
        return landlock.outside(landlock.call, reach, _start, None, words, settings)
    return subprocess.Popen(words, **settings, start_new_session=True)


@contextmanager
def _ending(uv: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the programs that uv started if the block fails. A limited thread can't send signals to uv."""
    landlock.on_interrupt(partial(_kill, uv))
    try:
        yield
    except BaseException:
        landlock.outside(_kill, uv)
        raise


def _kill(uv: subprocess.Popen[bytes]) -> None:
    """End uv and its process group. Does nothing after `uv.wait`, when another process can have the number."""
    if uv.returncode is None:
        with suppress(ProcessLookupError, PermissionError):  # on macOS, EPERM for a process that has ended
            os.killpg(uv.pid, signal.SIGKILL)


def reach(
    reads: Sequence[str | os.PathLike[str]], access: Access | None = None, writes: Sequence[str | os.PathLike[str]] = ()
) -> Reach:
    """Return what a run of uv can reach: the user's cache and settings, the system, `reads`, and what git needs."""
    home, kept = Path("~").expanduser(), _cache(user_configuration())
    settings = _directory("XDG_CONFIG_HOME") / "uv"
    own: list[str | os.PathLike[str]] = [sys.prefix, sys.base_prefix, _directory("XDG_DATA_HOME") / "uv", settings]
    linked = Path(sys.executable).parents[1]  # with Bazel, its files are links to those in `base_prefix`
    own += [linked] if (linked / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}").is_dir() else []
    own += [address.removeprefix("file://") for _, address in indexes_of_user() if "/" in address[:8]]
    own += [path for path, _ in _configurations()]
    for name in filter(os.environ.get, (*_CERTIFICATES, "UV_PYTHON_INSTALL_DIR")):
        own += os.environ[name].split(":")
    with suppress(OSError):  # uv says why
        landlock.outside(kept.mkdir, parents=True, exist_ok=True)  # writes: own, the user's cache
    if access:
        own += [home / ".gitconfig", settings.parent / "git", home / ".git-credentials", settings.parent / "gh"]
        own += [home / ".ssh"]
        provider = os.environ.get("UV_KEYRING_PROVIDER") or user_configuration().get("keyring-provider", "disabled")
        own += [home] if provider != "disabled" else []
    return Reach([tempfile.gettempdir(), kept, *writes], [*own, *landlock.SYSTEM, *reads])


def checked(done: subprocess.CompletedProcess[str]) -> str:
    """Return the output of uv. Raises BentoError with the error output if uv failed."""
    if done.returncode:
        raise BentoError(done.stderr.strip())
    return done.stdout


def ignores_settings(errors: str) -> bool:
    """Return whether uv ignored the settings of a project, because one of them is invalid."""
    return "during settings discovery" in errors


def _show(stream: Iterable[bytes], run: bytes) -> tuple[bytes, bytes]:
    """Print the errors of uv up to the first one that another attempt can solve. Return all errors, and the others.

    Omits lines that name the directory `run`, such as the path of a stand-in for an interpreter.
    """
    errors = held = b""
    for line in stream:  # complete, so that a secret in an address is found
        errors = (errors + line)[-(1 << 16) :]
        if held or re.match(rb"error:|  \xc3\x97", line):
            held += line
        elif run not in line:
            _print(line)
    return errors, held


def _print(text: bytes) -> None:
    sys.stderr.write(printable(without_credentials(text.decode(errors="replace"))))
    sys.stderr.flush()


def _with_user(
    run: Path, files: TreeWriter, words: Sequence[str], access: Access, *, has_hooks: bool
) -> tuple[list[str], dict[str, str]]:
    """Return a command with the user's addresses, and its variables. Writes to `run` what uv gets from the user."""
    known = f"{_SETTINGS}|{_OF_LOCKS if has_hooks or access.builds else 'LANG'}"
    known += f"|{_OF_BUILDS}" if access.builds else ""
    variables = {name: os.environ[name] for name in os.environ if re.fullmatch(known, name)} | dict(_proxies())
    path = os.pathsep.join([f"{run}/bin", *([os.environ.get("PATH", os.defpath)] if access.builds else [])])
    variables |= {"PATH": path, "HOME": f"{run}/home", "TMPDIR": f"{run}/empty"}
    configuration = user_configuration()
    provider = os.environ.get("UV_KEYRING_PROVIDER") or configuration.get("keyring-provider") or "disabled"
    has_keyring = access.is_safe and provider != "disabled"
    if not has_keyring:
        variables["UV_KEYRING_PROVIDER"] = "disabled"
    elif access.is_trusted:
        variables |= {name: os.environ[name] for name in os.environ if re.fullmatch(r"UV_INDEX_\w+_USERNAME", name)}
    variables["UV_CREDENTIALS_DIR"] = f"{run}/logins"
    _write_programs(files)
    _write_logins(files, access, has_keyring)
    for name, place in _DIRECTORIES.items():
        files.link(f"home/{place}", str(_directory(name).absolute()))
    with suppress(OSError):
        for entry in Path("~").expanduser().iterdir():
            with suppress(FileExistsError):
                files.link(f"home/{entry.name}", str(entry.absolute()))
    # uv sees links to the user's files, so that no variable contains the name of the user.
    for name in filter(os.environ.get, _CERTIFICATES):
        paths = os.environ[name].split(":" if name == "SSL_CERT_DIR" else "\0")
        variables[name] = ":".join(f"{run}/{name}{number}" for number in range(len(paths)))
        for number, each in enumerate(paths):
            files.link(f"{name}{number}", str(Path(each).absolute()))
    options = ["--cache-dir", str(_cache(configuration))]
    for name, option in _ADDRESSES.items():
        if option not in words and (value := os.environ.get(name, "").strip()):
            # A keyring requires the user.
            address = re.sub("://([^/ ]+)@", lambda at: at[0] if has_keyring and ":" not in at[1] else "://", value)
            if has_keyring:
                address = re.sub(r"([\w.-]+)=\w+://(?![^/\s]*@)", _with_user_name, address)
            options.append(f"{option}={address}")
    return [*words, *options], variables


def _proxies() -> Iterator[tuple[str, str]]:
    """Yield the lowercase names and the values of the user's variables of proxies."""
    yield from (
        (name, value) for name in _PROXIES if (value := os.environ.get(name) or os.environ.get(name.upper(), ""))
    )


def _write_programs(files: TreeWriter) -> None:
    """Write scripts that run programs of the user with the user's variables."""
    import shlex

    names = filter(partial(re.fullmatch, _OF_PROGRAMS), os.environ)
    exports = "".join(f"export {name}={shlex.quote(os.environ[name])}\n" for name in names)
    for program in filter(None, map(which, ("git", "keyring"))):
        script = f'#!/bin/sh\n{exports}exec {shlex.quote(program)} "$@"\n'
        files.file(f"bin/{Path(program).name}", [os.fsencode(script)], 0o700)


def cache_directory() -> Path:
    """Return the directory of the user's cache of uv."""
    return _cache(user_configuration())


def _cache(configuration: Mapping[str, Any]) -> Path:
    cache = os.environ.get("UV_CACHE_DIR") or configuration.get("cache-dir") or _directory("XDG_CACHE_HOME") / "uv"
    return Path(cache).absolute()


def _directory(variable: str) -> Path:
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else Path("~", _DIRECTORIES[variable]).expanduser()


def _with_user_name(index: re.Match[str]) -> str:
    user = os.environ.get(f"UV_INDEX_{_variable_name(index[1])}_USERNAME", "")
    return f"{index[0]}{quote(user, safe='')}@" if user else index[0]


def _write_logins(files: TreeWriter, access: Access, has_keyring: bool) -> None:
    """Write the user's logins for addresses to uv's store, and those for hosts to netrc."""
    services: dict[str, tuple[str, str]] = {}
    hosts = _logins_of_hosts() if access.is_safe else {}
    logins = [login for login in _logins(access) if login[2] or not has_keyring]
    for end in ("/.*", r"/(\+?simple)?/*$"):  # of other files on the server, and of the index, which has priority
        for parts, user, password in reversed(logins):
            if user and (parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1")):
                hosts.pop(parts.hostname or "", None)
                host = parts.netloc.rpartition("@")[2]
                services[f"{parts.scheme}://{host}{re.sub(end, '', parts.path)}/"] = user, password
            else:
                hosts[parts.hostname or ""] = user, password
    quoted = partial(json.dumps, ensure_ascii=False)
    lines = [f"machine {host} login {quoted(user)} password {quoted(word)}\n" for host, (user, word) in hosts.items()]
    files.file("home/.netrc", map(str.encode, lines), 0o600)
    text = _stored_logins()
    for service, (user, password) in services.items():
        text += f"\n[[credential]]\nservice = {quoted(service)}\n"
        text += f"username = {quoted(user)}\npassword = {quoted(password)}\n"
    files.file("logins/credentials.toml", [text.encode()], 0o600)


def _logins_of_hosts() -> dict[str, tuple[str, str]]:
    """Return the users and passwords in the user's netrc."""
    from netrc import NetrcParseError, netrc

    with suppress(NetrcParseError, OSError, ValueError):
        paths = (os.environ.get("NETRC", ""), Path("~/.netrc").expanduser())
        path = next((path for path in paths if Path(path).exists() and path), os.devnull)
        found = netrc(path).hosts.items()
        return {host: (user, password or "") for host, (user, _, password) in found if host != "default"}
    return {}


def _stored_logins() -> str:
    """Return the content of uv's store of logins, or an empty string."""
    store = Path(os.environ.get("UV_CREDENTIALS_DIR") or _directory("XDG_DATA_HOME") / "uv/credentials")
    with suppress(OSError, ValueError):
        return (store / "credentials.toml").read_text("utf-8")
    return ""


def _logins(access: Access) -> Iterator[tuple[SplitResult, str, str]]:
    """Yield the address, the user, and the password of each index of the user, and of `access`, with a login.

    The login is in the index's address, or in the variables of the index's name.
    """
    for name, address in (*indexes_of_user(), *(access.indexes if access.is_trusted else ())):
        with suppress(ValueError):
            parts, variable = urlsplit(address), f"UV_INDEX_{_variable_name(name)}" if access.is_safe else ""
            user = os.environ.get(f"{variable}_USERNAME") or unquote(parts.username or "")
            password = os.environ.get(f"{variable}_PASSWORD") or unquote(parts.password or "")
            if parts.scheme in ("http", "https") and (user or password):
                yield parts, user, password


def login_of_index(url: str) -> tuple[str, str]:
    """Return the user and password for a file on the server of an index that the user declares outside of projects.

    Missing values are "".
    """
    origin = Origin.from_url(url)
    for parts, user, password in _logins(Access()):
        if Origin.from_url(parts.geturl()) == origin and accepts_secrets(origin.scheme, origin.host):
            return user, password
    return "", ""


def login_remedy(indexes: Iterable[tuple[str, str]]) -> str:
    """Return the advice for an index that a project chooses, and that requires a login."""
    remedy = "Add the login for the host of the index to ~/.netrc."
    for name, address in indexes:
        if name:
            variable = f"UV_INDEX_{_variable_name(name)}"
            remedy += f" Or set UV_INDEX={name}={address}, {variable}_USERNAME, and {variable}_PASSWORD."
    return remedy


def _variable_name(index: str) -> str:
    return re.sub("[^A-Z0-9]", "_", index.upper())


def indexes_of_user() -> Iterator[tuple[str, str]]:
    """Yield names and addresses, which can contain logins, of indexes that the user declares outside of projects."""
    for variable in ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_FIND_LINKS"):
        for entry in re.split(r"[\s,]+" if variable == "UV_FIND_LINKS" else r"\s+", os.environ.get(variable, "")):
            yield split_index(entry)
    found = user_configuration()
    for index in found["index"]:
        yield index.get("name", ""), index.get("url", "")
    addresses = (found.get("index-url", ""), *found.get("extra-index-url", ()), *found.get("find-links", ()))
    yield from (("", address) for address in addresses)


def user_configuration() -> dict[str, Any]:
    """Return the user's settings of uv outside of projects. Raises BentoError for an invalid file."""
    merged: dict[str, Any] = {"index": []}
    for path, content in _configurations():
        document: Any = read_toml(content, str(path))
        schema.validate(document, _CONFIGURATION, str(path), "Correct the file.")
        merged |= {**document, "index": [*document.get("index", ()), *merged["index"]]}
    return merged


def _configurations() -> Iterator[tuple[Path, bytes]]:
    """Yield the paths and contents of the user's settings of uv outside of projects, the most important last."""
    user = Path(os.environ.get("UV_CONFIG_FILE") or _directory("XDG_CONFIG_HOME") / "uv/uv.toml")
    for path in (Path("/etc/uv/uv.toml"), Path("/etc/xdg/uv/uv.toml"), user):
        yield path, landlock.outside(read_file, path) if path.is_file() else b""
