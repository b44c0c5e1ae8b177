"""What a Dockerfile of a uv project says is in [tool.bento.image], or is named by line, and nothing of it runs."""

import builtins
import os
import subprocess

import pytest
from bento_cli.projects.dockerfile import Translator, copies_from
from rules_bento.base.errors import BentoError

FILES = {"main.py", "web/main.py", "start.sh", "scripts/run.sh", "manage.py", "config.toml"}
DIRECTORIES = {".", "web", "scripts", "scripts/web", "static"}
START = "FROM python:3.13-slim\nWORKDIR /app\n"
UVICORN = "uvicorn main:app --host 0.0.0.0"


def kind(path):
    return "file" if path in FILES else "directory" if path in DIRECTORIES else ""


def read(text, names=None, home="", *, is_package=False):
    return Translator(text, kind, names or {}, home, is_package=is_package).translate()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('CMD ["uvicorn", "main:app", "--host", "0.0.0.0"]', UVICORN),
        ('CMD ["uv", "run", "--no-sync", "--group", "x", "uvicorn", "main:app", "--host", "0.0.0.0"]', UVICORN),
        ('CMD ["/app/.venv/bin/uvicorn", "main:app", "--host", "0.0.0.0"]', UVICORN),
        ("CMD [ '/app/main.py' ]\nCMD exec uv run uvicorn main:app --host 0.0.0.0", UVICORN),
        ('CMD ["sh", "-c", "exec uv run --frozen uvicorn main:app --host 0.0.0.0"]', UVICORN),
        ('ENTRYPOINT ["uv", "run"]\nCMD ["uvicorn", "main:app", "--host", "0.0.0.0"]', UVICORN),
        ('CMD ["lost"]\nENTRYPOINT ["uvicorn"]\nCMD ["main:app", "--host", "0.0.0.0"]', UVICORN),
        ("ENTRYPOINT uvicorn main:app --host 0.0.0.0\nCMD [\"lost\"]", UVICORN),
        ('ENTRYPOINT []\nCMD ["uvicorn", "main:app", "--host", "0.0.0.0"]', UVICORN),
        ("ENV VIRTUAL_ENV=/opt/env\nCMD /opt/env/bin/uvicorn main:app --host 0.0.0.0", UVICORN),
        ("CMD uvicorn main:app \\\n    # comment\n    --host 0.0.0.0", UVICORN),
        ("CMD uvicorn main:app \\\r\n    --host 0.0.0.0\r\n", UVICORN),
        ("CMD [\"uvicorn\", \"main:app\", \"--reload\", \"--host\", \"0.0.0.0\"]\nEXPOSE 80", UVICORN),
        ('CMD ["uv", "run", "main.py"]', "python main.py"),
        ('CMD ["uv", "run", "-m", "web.main"]', "python -m web.main"),
        ('CMD ["uv", "run", "--no-dev", "--module", "web"]', "python -m web"),
        ('CMD ["/bin/uv", "run", "--frozen", "-m", "web"]', "python -m web"),
        ('CMD ["uv", "run", "--group"]', None),
        ('CMD ["uv", "run", "python", "-m", "web"]', "python -m web"),
        ('CMD ["/usr/local/bin/python3", "-m", "web"]', "python3 -m web"),
        ('CMD ["python", "/app/main.py"]', "python /app/_main/main.py"),
        ('CMD ["uv", "run", "fastapi", "run", "web/main.py", "--port", "80"]', "fastapi run web/main.py --port 80"),
        ("CMD uvicorn main:app --port $PORT", "sh -c 'uvicorn main:app --port ${PORT:-8000}'"),
        ("ENV PORT=80\nCMD uvicorn main:app --port $PORT", "sh -c 'uvicorn main:app --port $PORT'"),
        ("CMD uv run alembic upgrade head && uv run --no-dev main.py",
         "sh -c 'alembic upgrade head && python main.py'"),
        ("CMD ./main.py && uv run --group x --no-sync y.py", "sh -c './main.py && python y.py'"),
        ("COPY . /app\nWORKDIR /app/web\nCMD python main.py", "sh -c 'cd web && exec python main.py'"),
        ("COPY web/ .\nCMD uvicorn main:app", "sh -c 'cd web && exec uvicorn main:app'"),
        ("COPY scripts/web ./web\nCMD uvicorn web.main:app", "sh -c 'cd scripts && exec uvicorn web.main:app'"),
        ("COPY web ./web\nCMD uvicorn web.main:app", "uvicorn web.main:app"),
        ("COPY . .\nENTRYPOINT [\"/app/scripts/run.sh\"]", "/app/_main/scripts/run.sh"),
        ("COPY start.sh /start.sh\nENTRYPOINT [\"/start.sh\"]", "/start.sh"),
        ('CMD ["python", "-c", "print(\'a b\')"]', "python -c 'print('\"'\"'a b'\"'\"')'"),
        ('CMD ["uv", "run", "--no-dev", "sh", "-c", "uv run main.py"]', "sh -c 'python main.py'"),
        ('ENTRYPOINT ["tini", "--"]\nCMD ["uv", "run", "main.py"]', "tini -- python main.py"),
        ('ENTRYPOINT ["/bin/sh", "-c"]\nCMD ["uv run main.py"]', "python main.py"),
        ("FROM scratch as other\nCMD x\nFROM python as last\nCMD [\"gunicorn\"]", "gunicorn"),
        ("FROM python AS base\nCMD [\"lost\"]\nFROM base\nENTRYPOINT [\"gunicorn\"]", "gunicorn"),
        ("CMD [\"bash\", \"-c\", \"source .venv/bin/activate && uvicorn main:app --host 0.0.0.0\"]", UVICORN),
        ('CMD ["uvx", "gunicorn"]', None),
        ('CMD ["uv", "tool", "run", "gunicorn"]', None),
        ("CMD 'open", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_command(lines, expected):
    found = read(START + lines)
    assert found.table.get("entrypoint") == expected
    assert expected or not lines or found.left


@pytest.mark.parametrize(
    ("lines", "key", "expected"),
    [
        ("RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg gcc libpq-dev git", "apt", ["ffmpeg", "git"]),
        ("RUN <<EOF\n# a comment's quote\nset -e\napt-get update\napt-get -y install libgl1=1.2-3\nEOF", "apt", ["libgl1=1.2-3"]),
        ("RUN apt-get install -y a\\\n b1 \\\n# no\n b2", "apt", ["b1", "b2"]),
        ("FROM x AS b\nRUN apt-get install lost\nFROM python\nCOPY --from=b /app /app\nRUN apt install kept", "apt", ["kept"]),
        ('ENV A=1 B="two words" UV_LINK_MODE=copy PYTHONUNBUFFERED=1\nENV C 3', "env", {"A": "1", "B": "two words", "C": "3"}),
        ("ARG V=1\nENV A=$V B=${V}x C=${W:-none}", "env", {"A": "1", "B": "1x", "C": "none"}),
        ("ENV PYTHONPATH=/app/web:/app D=/data", "env", {"PYTHONPATH": "/app/_main/web:/app/_main", "D": "/data"}),
        ("ENV PYTHONPATH=/app LANG=C.UTF-8 PATH=/app/.venv/bin:$PATH", "env", None),
        ("RUN uv sync --extra a\nRUN uv sync --locked --extra=a --group b", "extra", ["a"]),
        ("RUN uv sync --all-extras --all-groups", "extra", ["x", "y"]),
        ("RUN uv sync --all-extras --all-groups", "group", ["z"]),
        ('CMD ["uv", "run", "--extra", "x", "main.py"]', "extra", ["x"]),
        ("FROM x AS b\nRUN uv sync --extra x\nFROM python\nCOPY --from=b /app /app", "extra", ["x"]),
        ("FROM x AS lost\nRUN uv sync --extra x\nFROM python", "extra", None),
        ("RUN apt-get install python3.12 python3-pip python3-gi", "apt", ["python3-gi"]),
        ("FROM python\nRUN mkdir -p /srv/api\nWORKDIR /srv/api\nCOPY . .", "writable", None),
        ("FROM python\nCOPY pyproject.toml uv.lock* ./\nWORKDIR /app", "files", None),
        ("VOLUME [\"/data\", \"/srv/logs\"]", "writable", ["/data", "/srv/logs"]),
        ("RUN mkdir -p /data logs /tmp/x /app && chown -R app /data", "writable", ["/app/_main/logs", "/data"]),
        ("RUN mkdir /app/data\nVOLUME /app/x y", "writable", ["/app/_main/data", "/app/_main/x", "/app/_main/y", "/app/data", "/app/x"]),
        ("COPY start.sh /usr/local/bin/start.sh\nCOPY main.py .", "files", {"/usr/local/bin/start.sh": "start.sh"}),
        ("FROM a\nCOPY start.sh /bin/start.sh\nCOPY config.toml .\nWORKDIR /app\nCOPY . .", "files", {"/bin/start.sh": "start.sh"}),
        ("COPY . .\nCOPY web/main.py .", "files", {"/app/_main/main.py": "web/main.py"}),
        ("COPY web/main.py .\nCOPY . .", "files", None),
    ],
)  # fmt: skip
def test_a_key(lines, key, expected):
    assert read(START + lines, names={"extra": ["x", "y"], "group": ["z"]}).table.get(key) == expected


@pytest.mark.parametrize(
    ("lines", "line", "instead"),
    [
        ("RUN npm ci \\\n && true", 3, "run it before"),
        ("RUN true\nRUN uv run manage.py collectstatic", 4, "run it before"),
        ("RUN uv run playwright install --with-deps chromium", 3, "chromium"),
        ("RUN pip install uv && pip install torch", 3, "uv add"),
        ("RUN uv pip install gunicorn", 3, "uv add"),
        ("RUN curl -fsSL https://example.com | bash", 3, "use Docker"),
        ("RUN ./configure", 3, "before"),
        ("RUN apt-get install -y $PACKAGES", 3, "apt"),
        ("RUN apk add git", 3, "Debian"),
        ("RUN locale-gen de_DE", 3, "locales-all"),
        ("FROM node AS n\nRUN npm run build\nFROM python\nCOPY --from=n /x /x", 6, "run it before"),
        ("ENV A=$B", 3, "variable"),
        ("ENV A='$B'", 3, "variable"),
        ("COPY lost.sh /lost.sh", 3, "doesn't have it"),
        ('ENTRYPOINT ["/lost.sh"]', 3, "add it to files"),
        ('ENTRYPOINT ["./start.sh"]', 3, "can't use uv"),
        ('FROM a\nCOPY start.sh /usr/local/bin/run.sh\nWORKDIR /app\nENTRYPOINT ["run.sh"]', 6, "can't use uv"),
        ("RUN uv sync --package api", 3, "--package"),
        ("STOPSIGNAL SIGINT", 3, "deployment"),
        ("CMD main.py", 3, "--writable /app/_main"),
        ("USER 1:1\nUSER root:x\nCMD main.py", 5, "--writable /app/_main"),
        ("RUN curl https://deb.example.com/setup_22.x | bash -\nRUN apt-get install -y nodejs", 4, "a vendor's"),
        ("COPY config.toml /etc/apt/sources.list.d/x.list\nRUN apt-get install -y code", 4, "a vendor's"),
        ("RUN echo deb x >/etc/apt/sources.list.d/x.list && apt-get install -y code", 3, "a vendor's"),
        ("RUN echo 'open", 3, "before"),
        ("COPY <<EOF /etc/x\na\nEOF", 3, "files"),
    ],
)  # fmt: skip
def test_what_is_not_in_the_table_has_its_line(lines, line, instead):
    left = read(START + lines).left
    assert any(number == line and instead in advice for number, _, advice in left), left


@pytest.mark.parametrize(
    "line",
    [
        "RUN pip install --no-cache-dir -i https://example.com/simple --timeout 60 uv",
        "RUN uv sync --locked --no-group dev",
        "RUN install -d -o 1000 /data && apt-get install -y ffmpeg",
        "COPY pyproject.toml uv.lock* ./",
        "FROM ghcr.io/astral-sh/uv:1 AS uv\nFROM python\nCOPY --from=uv /uv /uvx /bin/",
    ],
)
def test_nothing_is_left(line):
    assert read(START + line).left == []


@pytest.mark.parametrize("lines", ["USER app", "USER $NAME", "RUN mkdir /app/_main"])
def test_a_program_without_root_has_no_note(lines):
    assert read(f"{START}ARG NAME\n{lines}\nVOLUME /app/_main\nCMD main.py").left == []


@pytest.mark.parametrize(
    "lines",
    [
        "RUN sed -i s/a/b/ /etc/apt/sources.list && apt-get install -y git",
        "FROM a AS b\nRUN curl https://deb.example.com/setup_22.x | bash -\nFROM c\nRUN apt-get install -y git",
    ],
)
def test_packages_of_debian_are_taken(lines):
    assert read(START + lines).table["apt"] == ["git"]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("FROM web AS test\nCMD uv run pytest -q", "web"),
        ("FROM a AS test\nCMD lost\nENTRYPOINT python -m unittest", "web"),
        ("FROM web AS test\nRUN pytest", "web"),
        ("FROM web AS test\nCMD uvicorn tests.main:app", "uvicorn tests.main:app"),
        ("FROM web AS test\nCMD ./pytest.sh", "./pytest.sh"),
    ],
)
def test_a_stage_of_tests_is_not_the_image(last, expected):
    found = read(f"FROM a AS web\nUSER a\nCMD web\nFROM a AS unused\n{last}")
    assert found.table["entrypoint"] == expected
    assert ("pytest -q" in last or "unittest" in last) == any("stage web" in instead for _, _, instead in found.left)


def test_tests_are_the_command_of_a_dockerfile_without_another():
    assert read("FROM a AS base\nUSER a\nFROM base\nCMD pytest").table == {"entrypoint": "pytest"}


def test_a_script_has_its_path_in_the_project():
    lines = 'FROM a\nCOPY {} /run.sh\nWORKDIR /app\nCOPY . .\nENTRYPOINT ["/run.sh"]'
    assert read(lines.format("start.sh")).left[0][1] == "ENTRYPOINT start.sh isn't read"
    assert read(lines.format("lost.sh")).left[1][1] == "ENTRYPOINT /run.sh isn't in the project"


def test_packages_of_builds_have_a_line():
    left = read(f"{START}RUN apt-get install -y curl git gcc\nRUN apt-get install libpq-dev nano").left
    assert [each[:2] for each in left] == [(3, "RUN apt: curl, gcc"), (4, "RUN apt: libpq-dev, nano")]
    assert "left out" in left[0][2]


@pytest.mark.parametrize(("package", "expected"), [("psycopg", ["libpq5", "ffmpeg"]), ("psycopg2-binary", ["ffmpeg"])])
def test_a_library_that_wheels_lack_is_installed(package, expected):
    found = read(f"{START}RUN apt-get install -y gcc libpq-dev ffmpeg", names={"package": [package]})
    assert found.table["apt"] == expected
    assert ("libpq-dev" in found.left[0][1]) == (package == "psycopg2-binary")


def test_a_repository_can_be_the_context():
    """As in Compose files, whose `context: .` is above the project."""
    lines = "COPY web/pyproject.toml web/uv.lock ./\nCOPY web/main.py scripts /app/\nCOPY config.toml /etc/x.toml\nUSER a\nCMD main.py"
    found = read(START + lines, home="web")
    assert found.left == []
    assert found.table["files"] == {"/app/_main": "../scripts", "/etc/x.toml": "../config.toml"}
    found = read(f'{START}COPY . .\nWORKDIR /app/web\nENV D=/app/web/x\nENTRYPOINT ["/app/web/main.py"]', home="web")
    assert found.table == {"env": {"D": "/app/_main/x"}, "entrypoint": "/app/_main/main.py"}


def test_a_directive_names_the_escape():
    assert read("# syntax=x\n# escape=`\nFROM a\nCMD a `\n  b").table == {"entrypoint": "a b"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY api/pyproject.toml .", True),
        ('COPY ["./api/x", "/app"]', True),
        ("RUN --mount=type=bind,source=api/uv.lock,target=uv.lock uv sync", True),
        ("COPY . api/", False),
        ("COPY apis/x .", False),
        ("RUN cd api && uv sync", False),
    ],
)
def test_what_shows_that_the_context_is_above_the_project(line, expected):
    assert copies_from(START + line, "api") == expected


@pytest.mark.parametrize("command", ["python /app/main.py", "sh start.sh", "fastapi run web/main.py"])
def test_a_package_lacks_the_files_next_to_it(command):
    found = read(f"{START}COPY . .\nCMD {command}", is_package=True)
    assert "entrypoint" not in found.table
    assert found.left[0][0] == 4


def test_a_package_has_a_script_of_files():
    found = read(f'{START}COPY start.sh /start.sh\nENTRYPOINT ["/start.sh"]', is_package=True)
    assert found.table["entrypoint"] == "/start.sh"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARG V=3.12\nFROM python:${V}-slim", "python:3.12-slim"),
        ("FROM --platform=linux/amd64 python:3.12 AS a\nFROM a", "python:3.12"),
        ("FROM python:$V", ""),
        ("FROM", ""),
        ("", ""),
    ],
)
def test_the_base(text, expected):
    assert read(text).base == expected


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ("CMD curl -f http://localhost:8000/health || exit 1", "/health"),
        ('CMD ["python", "-c", "import urllib.request as u; u.urlopen(\'http://127.0.0.1:80/ready\')"]', "/ready"),
        ("CMD curl http://localhost:80", "/"),
        ("CMD curl https://example.com/health", ""),
        ("NONE", ""),
    ],
)
def test_the_probe(probe, expected):
    assert read(f"{START}HEALTHCHECK --interval=30s {probe}").start == expected


HOSTILE = [
    "FROM " + "a" * 10000, "FROM a AS a\nFROM a AS a", "FROM 0\nFROM 1\nFROM 2", "FROM a\nCOPY --from=0 . .", "CMD x",
    "FROM \\\n" * 5000, "FROM a\nRUN " + "(" * 9999, "FROM a\nRUN <<E", "FROM a\nRUN <<E <<E\nE\n", "FROM a\nCMD [" * 99,
    'FROM a\nCMD ["a", 1]', 'FROM a\nCMD [["a"]]', "FROM a\nCMD " + "[" * 9999, "FROM a\nCMD []", 'FROM a\nCMD [""]',
    "FROM a\nENV A=${B:-${C}}", "FROM a\nARG A=$A\nENV B=$A$A", "FROM a\nWORKDIR /../..\nCOPY ../../etc /etc",
    "FROM a\nCOPY /etc/passwd /x", "FROM a\nADD https://example.com/x /x", "FROM a\nCOPY .git/config /x", "FROM a\nENV",
    "FROM a\nENV =x", "FROM a\nCOPY a", "FROM a\nRUN", "FROM a\nHEALTHCHECK CMD " + "http://localhost" * 2000, "\0FROM\0a\0",
    "FROM a\nENTRYPOINT [\"sh\"]\nCMD [\"-c\"]", "FROM a\nCMD uv run", "FROM a\nCMD uv run --group", "FROM a\nRUN uv sync --extra",
    "FROM a\nRUN $(touch ran) `touch ran`; touch ran", "FROM a\nRUN --mount=from=1,from=0 x", "FROM a\nRUN pip install", "\ufeffFROM a",
    "FROM a\nCMD " + "uv run " * 5000, "FROM a\nCMD sh -c '" + "../" * 9000 + ".venv/bin/x'", "FROM a\nRUN A=1", "FROM a\nRUN apt install",
    *(f"FROM a\nENV A=x\nENV A={'$A' * 10}" + "\nENV A=$A$A$A$A$A$A$A$A$A$A" * depth for depth in (1, 20)),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_dockerfile_runs_and_opens_nothing(number, monkeypatch):
    def refuse(*words, **_):
        raise AssertionError(words)

    for module, name in ((builtins, "open"), (os, "open"), (subprocess, "Popen"), (os, "system"), (os, "posix_spawn")):
        monkeypatch.setattr(module, name, refuse)
    try:
        found = read(HOSTILE[number])
    except BentoError:
        return
    finally:
        monkeypatch.undo()
    assert len(str(found)) < 10**6
    paths = found.table.get("files", {}).values()
    assert not [path for path in paths if path.startswith(("/", "..", ".git"))]
