"""Validates the configuration and the variables of services as BentoML does when it builds or serves a Bento.

The types of values come from `bentoml._internal.configuration.v2`. Unknown keys are ignored, except in `resources`. As
in BentoML, True is valid as a positive number but not as an integer, and 1 isn't valid as a float.
"""

from __future__ import annotations

import re

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, Mapping

if TYPE_CHECKING:
    from rules_bento.service.metadata import ServiceInfo


class ValueType(NamedTuple):
    """A configuration type. `words` describes the type in messages. `holds` returns whether a value has the type."""

    words: str
    holds: Callable[[Any], bool]

    def __or__(self, other: ValueType) -> ValueType:
        """Return a type that accepts the values of either type."""
        return ValueType(f"{self.words} or {other.words}", lambda value: self.holds(value) or other.holds(value))


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


def _one_of(*names: str, in_any_case: bool = True) -> ValueType:
    words = " or ".join(f'"{name}"' for name in names)
    return ValueType(words, lambda value: isinstance(value, str) and (value.lower() if in_any_case else value) in names)


def _list_of(words: str, holds: Callable[[Any], bool]) -> ValueType:
    return ValueType(words, lambda value: isinstance(value, list) and all(map(holds, value)))


def _above(words: str, limit: int, kind: type[int | float]) -> ValueType:
    return ValueType(words, lambda value: type(value) is kind and value > limit)


def _is_rate(value: object) -> bool:
    return isinstance(value, float) and 0 <= value <= 1


NONE = ValueType("None", lambda value: value is None)
BOOL = ValueType("True or False", lambda value: isinstance(value, bool))
TEXT = ValueType("a string", lambda value: isinstance(value, str))
TEXTS = _list_of("a list of strings", TEXT.holds)
LIST = ValueType("a list", lambda value: isinstance(value, list))
TABLE = ValueType("a dict", lambda value: isinstance(value, dict))
WHOLE = ValueType("a whole number", _is_whole)
WHOLE_ABOVE_0 = _above("a whole number above 0", 0, int)
FRACTION_ABOVE_0 = _above("a float above 0, such as 1.0", 0, float)
ABOVE_0 = ValueType("a number above 0", lambda value: isinstance(value, (int, float)) and value > 0)
AMOUNT = ValueType('a number or text such as "500m"', lambda value: _is_whole(value) or isinstance(value, (str, float)))
ADDRESS = ValueType("an IP address as a string", _is_address)

# Kinds to the keys of a configuration that have them.
_KEYS: Mapping[ValueType, str] = {
    BOOL: "batching.enabled replicate_process traffic.external_queue metrics.enabled logging.access.enabled "
    "http.cors.enabled http.response.trace_id grpc.reflection.enabled grpc.channelz.enabled ssl.enabled "
    "runner_probe.enabled monitoring.enabled",
    BOOL | NONE: "tracing.jaeger.thrift.udp_split_oversized_batches tracing.jaeger.grpc.insecure "
    "tracing.otlp.grpc.insecure logging.access.request_content_length logging.access.request_content_type "
    "logging.access.response_content_length logging.access.response_content_type "
    "http.cors.access_control_allow_credentials",
    WHOLE_ABOVE_0: "batching.max_batch_size batching.max_latency_ms threads max_runner_connections "
    "runner_connection.max_requests http.port http.proxy_port grpc.port grpc.metrics.port",
    WHOLE_ABOVE_0 | NONE: "traffic.max_concurrency traffic.concurrency ssl.version tracing.timeout "
    "tracing.zipkin.local_node_port",
    WHOLE: "runner_probe.timeout runner_probe.period",
    WHOLE | NONE: "http.cors.access_control_max_age grpc.max_concurrent_streams grpc.max_message_length "
    "grpc.maximum_concurrent_rpcs ssl.cert_reqs tracing.max_tag_value_length tracing.jaeger.thrift.agent_port",
    _above("a whole number above 64", 64, int): "backlog",
    ABOVE_0: "resources.gpu traffic.timeout",
    FRACTION_ABOVE_0: "runner_connection.max_age",
    FRACTION_ABOVE_0 | NONE: "metrics.duration.min metrics.duration.max",
    _above("a float above 1.0", 1, float) | NONE: "metrics.duration.factor",
    _list_of("a list of floats", lambda value: type(value) is float) | NONE: "metrics.duration.buckets",
    ValueType("a float from 0.0 to 1.0", _is_rate) | NONE: "tracing.sample_rate",
    _list_of("a list of whole numbers", _is_whole) | NONE: "extra_ports",
    _one_of("cpu_count", in_any_case=False) | WHOLE_ABOVE_0 | NONE: "workers",
    AMOUNT: "resources.cpu resources.memory",
    TEXT: "resources.gpu_type resources.tpu_type metrics.namespace logging.access.format.trace_id "
    "logging.access.format.span_id",
    TEXT | NONE: "ssl.certfile ssl.keyfile ssl.keyfile_password ssl.ca_certs ssl.ciphers monitoring.type "
    "tracing.zipkin.endpoint tracing.jaeger.collector_endpoint tracing.jaeger.thrift.agent_host_name "
    "tracing.otlp.endpoint tracing.otlp.http.certificate_file",
    TEXTS: "logging.access.skip_paths",
    TEXTS | TEXT | NONE: "http.cors.access_control_allow_origins http.cors.access_control_allow_headers "
    "http.cors.access_control_allow_methods http.cors.access_control_expose_headers tracing.excluded_urls",
    ValueType("a regular expression", _is_pattern) | NONE: "http.cors.access_control_allow_origin_regex",
    ADDRESS: "http.host grpc.host grpc.metrics.host",
    ADDRESS | WHOLE | NONE: "tracing.zipkin.local_node_ipv4 tracing.zipkin.local_node_ipv6",
    TABLE | NONE: "monitoring.options tracing.otlp.http.headers",
    ValueType("a list", lambda value: isinstance(value, (list, str))) | NONE: "tracing.otlp.grpc.headers",
    _one_of("zipkin", "jaeger", "otlp", "in_memory") | NONE: "tracing.exporter_type",
    _one_of("thrift", "grpc") | NONE: "tracing.jaeger.protocol",
    _one_of("grpc", "http") | NONE: "tracing.otlp.protocol",
    _one_of("gzip", "none", "deflate", in_any_case=False) | NONE: "tracing.otlp.compression",
}


KINDS = {path: kind for kind, paths in _KEYS.items() for path in paths.split()}
TABLES = {path[: match.start()] for path in KINDS for match in re.finditer(r"\.", path)}
# Only this table may be None, and rejects other keys.
_CLOSED = "resources"


def check(info: ServiceInfo) -> None:
    """Raise BentoError if the configuration of a service contains a value that BentoML rejects."""
    for service in info.services:
        for key, value, kind in _wrong(service.config):
            raise BentoError(
                f"{service.path}:{service.line}: service `{service.name}`: `{key}`: expected {kind}, got {value!r}."
            )


def env_problem(name: object, value: object) -> str:
    """Return why BentoML rejects an environment variable of a service when it builds or serves it, or ""."""
    if not isinstance(name, str) or not name:
        return f"the name of a variable must be a nonempty string, got {name!r}"
    if value is None or isinstance(value, str):
        return ""
    is_scalar = isinstance(value, (bool, int, float))
    got = f", such as '{value}', got {value!r}" if is_scalar else f", got a {type(value).__name__}"
    return f"the value of {name} must be a string{got}"


def _wrong(config: Mapping[str, Any], table: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield the path, value, and expected type of each invalid value in `config`."""
    for key, value in config.items():
        path = f"{table}.{key}" if table else key
        kind = KINDS.get(path)
        if value == {} and isinstance(value, dict):
            yield path, value, "a dict with values"
        elif kind:
            if not kind.holds(value):
                yield path, value, kind.words
        elif table == _CLOSED:
            known = (name.removeprefix(f"{table}.") for name in KINDS if name.startswith(f"{table}."))
            yield path, value, f"one of the keys {', '.join(known)}"
        elif isinstance(value, dict):
            yield from _wrong(value, path)
        elif path in TABLES and not (path == _CLOSED and value is None):
            yield path, value, TABLE.words
