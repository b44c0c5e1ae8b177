"""Holds the configuration of services to what BentoML takes of it: with any other, it builds no Bento and serves none.

The kinds are those of `bentoml._internal.configuration.v2`, as its own reader applies them: keys that it does not know
are not looked at, but for those of `resources`; an empty dict is left out wherever it stands; True is a number above 0
and no whole number, and 1 has no point.
"""

from __future__ import annotations

import re

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rules_bento.service.metadata import ServiceInfo


class Kind(NamedTuple):
    """Describes values: in words for people, and by a function that says whether one is of the kind."""

    words: str
    holds: Callable[[Any], bool]

    def __or__(self, other: Kind) -> Kind:
        """Return the kind of both kinds' values."""
        return Kind(f"{self.words} or {other.words}", lambda value: self.holds(value) or other.holds(value))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_address(value: object) -> bool:
    from ipaddress import ip_address

    try:
        return isinstance(value, str) and bool(ip_address(value))
    except ValueError:
        return False


def _is_pattern(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except (re.error, RecursionError, OverflowError):
        return False


def _one_of(*names: str, in_any_case: bool = True) -> Kind:
    words = " or ".join(f'"{name}"' for name in names)
    return Kind(words, lambda value: isinstance(value, str) and (value.lower() if in_any_case else value) in names)


def _list_of(words: str, item: type) -> Kind:
    return Kind(words, lambda value: isinstance(value, list) and all(isinstance(each, item) for each in value))


NONE = Kind("None", lambda value: value is None)
BOOL = Kind("True or False", lambda value: isinstance(value, bool))
TEXT = Kind("a text", lambda value: isinstance(value, str))
TEXTS = _list_of("a list of texts", str)
TABLE = Kind("a dict", lambda value: isinstance(value, dict))
WHOLE = Kind("a whole number", _is_whole)
WHOLE_ABOVE_0 = Kind("a whole number above 0", lambda value: _is_whole(value) and value > 0)
FRACTION_ABOVE_0 = Kind("a number above 0 with a point, as 1.0", lambda value: isinstance(value, float) and value > 0)
ABOVE_0 = Kind("a number above 0", lambda value: isinstance(value, (int, float)) and value > 0)
AMOUNT = Kind('a number, or a text as "500m"', lambda value: _is_whole(value) or isinstance(value, (str, float)))
ADDRESS = Kind("an IP address as a text", _is_address)

_TRACING: Mapping[str, Any] = {
    "exporter_type": _one_of("zipkin", "jaeger", "otlp", "in_memory") | NONE,
    "sample_rate": Kind(
        "a number from 0.0 to 1.0 with a point", lambda rate: isinstance(rate, float) and 0 <= rate <= 1
    )
    | NONE,
    "timeout": WHOLE_ABOVE_0 | NONE,
    "max_tag_value_length": WHOLE | NONE,
    "excluded_urls": TEXTS | TEXT | NONE,
    "zipkin": {
        "endpoint": TEXT | NONE,
        "local_node_ipv4": ADDRESS | WHOLE | NONE,
        "local_node_ipv6": ADDRESS | WHOLE | NONE,
        "local_node_port": WHOLE_ABOVE_0 | NONE,
    },
    "jaeger": {
        "protocol": _one_of("thrift", "grpc") | NONE,
        "collector_endpoint": TEXT | NONE,
        "thrift": {
            "agent_host_name": TEXT | NONE,
            "agent_port": WHOLE | NONE,
            "udp_split_oversized_batches": BOOL | NONE,
        },
        "grpc": {"insecure": BOOL | NONE},
    },
    "otlp": {
        "protocol": _one_of("grpc", "http") | NONE,
        "endpoint": TEXT | NONE,
        "compression": _one_of("gzip", "none", "deflate", in_any_case=False) | NONE,
        "http": {"certificate_file": TEXT | NONE, "headers": TABLE | NONE},
        "grpc": {
            "insecure": BOOL | NONE,
            "headers": Kind("a list", lambda value: isinstance(value, (list, str))) | NONE,
        },
    },
}
_ENABLED = {"enabled": BOOL}
KINDS: Mapping[str, Any] = {
    "batching": {**_ENABLED, "max_batch_size": WHOLE_ABOVE_0, "max_latency_ms": WHOLE_ABOVE_0},
    "resources": {"cpu": AMOUNT, "memory": AMOUNT, "gpu": ABOVE_0, "gpu_type": TEXT, "tpu_type": TEXT},
    "extra_ports": Kind("a list of whole numbers", lambda ports: isinstance(ports, list) and all(map(_is_whole, ports)))
    | NONE,
    "replicate_process": BOOL,
    "workers": _one_of("cpu_count", in_any_case=False) | WHOLE_ABOVE_0 | NONE,
    "threads": WHOLE_ABOVE_0,
    "traffic": {
        "timeout": ABOVE_0,
        "max_concurrency": WHOLE_ABOVE_0 | NONE,
        "external_queue": BOOL,
        "concurrency": WHOLE_ABOVE_0 | NONE,
    },
    "backlog": Kind("a whole number above 64", lambda value: _is_whole(value) and value > 64),
    "max_runner_connections": WHOLE_ABOVE_0,
    "runner_connection": {"max_requests": WHOLE_ABOVE_0, "max_age": FRACTION_ABOVE_0},
    "metrics": {
        **_ENABLED,
        "namespace": TEXT,
        "duration": {
            "buckets": _list_of("a list of numbers with a point", float) | NONE,
            "min": FRACTION_ABOVE_0 | NONE,
            "max": FRACTION_ABOVE_0 | NONE,
            "factor": Kind("a number above 1.0 with a point", lambda value: isinstance(value, float) and value > 1)
            | NONE,
        },
    },
    "logging": {
        "access": {
            **_ENABLED,
            "request_content_length": BOOL | NONE,
            "request_content_type": BOOL | NONE,
            "response_content_length": BOOL | NONE,
            "response_content_type": BOOL | NONE,
            "skip_paths": TEXTS,
            "format": {"trace_id": TEXT, "span_id": TEXT},
        },
    },
    "http": {
        "host": ADDRESS,
        "port": WHOLE_ABOVE_0,
        "proxy_port": WHOLE_ABOVE_0,
        "cors": {
            **_ENABLED,
            "access_control_allow_origins": TEXTS | TEXT | NONE,
            "access_control_allow_origin_regex": Kind("a pattern", _is_pattern) | NONE,
            "access_control_allow_credentials": BOOL | NONE,
            "access_control_allow_headers": TEXTS | TEXT | NONE,
            "access_control_allow_methods": TEXTS | TEXT | NONE,
            "access_control_max_age": WHOLE | NONE,
            "access_control_expose_headers": TEXTS | TEXT | NONE,
        },
        "response": {"trace_id": BOOL},
    },
    "grpc": {
        "host": ADDRESS,
        "port": WHOLE_ABOVE_0,
        "metrics": {"port": WHOLE_ABOVE_0, "host": ADDRESS},
        "reflection": _ENABLED,
        "channelz": _ENABLED,
        "max_concurrent_streams": WHOLE | NONE,
        "max_message_length": WHOLE | NONE,
        "maximum_concurrent_rpcs": WHOLE | NONE,
    },
    "ssl": {
        **_ENABLED,
        "certfile": TEXT | NONE,
        "keyfile": TEXT | NONE,
        "keyfile_password": TEXT | NONE,
        "version": WHOLE_ABOVE_0 | NONE,
        "cert_reqs": WHOLE | NONE,
        "ca_certs": TEXT | NONE,
        "ciphers": TEXT | NONE,
    },
    "runner_probe": {**_ENABLED, "timeout": WHOLE, "period": WHOLE},
    "monitoring": {**_ENABLED, "type": TEXT | NONE, "options": TABLE | NONE},
    "tracing": _TRACING,
}
# Of all tables, this one may be None, and has no other keys.
_CLOSED = "resources"


def check(info: ServiceInfo) -> None:
    """Raise BentoError for the first value of a service's configuration that BentoML refuses."""
    for service in info.services:
        for key, value, kind in _wrong(service.config, KINDS, ""):
            raise BentoError(
                f"{service.path}:{service.line}: service `{service.name or service.class_name}`: `{key}` of its "
                f"configuration is {value!r}, and BentoML takes {kind}. Correct it."
            )
    is_open = any(unknown.attribute in ("config", "services") for unknown in info.unknowns)
    for service in info.services[:1]:
        if service.config and _is_empty(service.config) and not is_open:
            raise BentoError(
                f"{service.path}:{service.line}: service `{service.name or service.class_name}`: its configuration "
                f"has nothing but empty dicts ({', '.join(service.config)}), at which BentoML fails with a KeyError. "
                "Leave them out, or put a value in one."
            )


def _is_empty(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration has no value in it at any depth."""
    return all(isinstance(value, dict) and _is_empty(value) for value in config.values())


def _wrong(config: Mapping[str, Any], kinds: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any, str]]:
    """Yield the values of another kind, each with its key and what would be right."""
    for key, value in config.items():
        kind = kinds.get(key)
        if value == {} and isinstance(value, dict):
            continue
        if kind is None:
            if path == f"{_CLOSED}.":
                yield path + key, value, f"no such key there, but {', '.join(kinds)}"
        elif isinstance(kind, Kind):
            if not kind.holds(value):
                yield path + key, value, kind.words
        elif isinstance(value, dict):
            yield from _wrong(value, kind, f"{path}{key}.")
        elif not (path + key == _CLOSED and value is None):
            yield path + key, value, TABLE.words
