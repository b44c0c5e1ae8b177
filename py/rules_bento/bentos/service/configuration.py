"""Types of the configuration and variables of services that static analysis supports. BentoML accepts these values.

They are part of `bentoml._internal.configuration.v2`. As in BentoML, True is valid as a positive number but not as an
integer.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import nearest
from rules_bento.base.typing_lite import Any, Callable, Mapping


class ValueType(NamedTuple):
    """A type of values. `words` describes the type in messages. `holds` returns whether a value has the type."""

    words: str
    holds: Callable[[Any], bool]

    def __or__(self, other: ValueType) -> ValueType:
        """Return a type that accepts the values of either type."""
        return ValueType(f"{self.words} or {other.words}", lambda value: self.holds(value) or other.holds(value))


NONE = ValueType("None", lambda value: value is None)
BOOL = ValueType("True or False", lambda value: isinstance(value, bool))
TEXT = ValueType("a string", lambda value: isinstance(value, str))
LIST = ValueType("a list", lambda value: isinstance(value, list))
TEXTS = ValueType("a list of strings", lambda value: isinstance(value, list) and all(map(TEXT.holds, value)))
_ABOVE_0 = ValueType("a number above 0", lambda value: isinstance(value, (int, float)) and value > 0)
_WHOLE = ValueType("a whole number", lambda value: type(value) is int)
_FLOAT = ValueType("a number with a point", lambda value: type(value) is float)
_SHARE = ValueType("a number from 0.0 to 1.0", lambda value: _FLOAT.holds(value) and 0 <= value <= 1)
_AMOUNT = ValueType('a number or text such as "500m"', lambda value: type(value) in (int, float, str))
_SCALAR = TEXT | BOOL | _WHOLE | _FLOAT | NONE


def _list_of(kind: ValueType, words: str) -> ValueType:
    return ValueType(f"a list of {words}", lambda value: LIST.holds(value) and all(map(kind.holds, value)))


def _above(low: int, kind: ValueType) -> ValueType:
    return ValueType(f"{kind.words} above {low}", lambda value: kind.holds(value) and value > low)


def _is_options(value: object) -> bool:
    """Return whether a value is a nonempty dictionary, because BentoML drops an empty one, without others in it."""
    return isinstance(value, dict) and bool(value) and TEXTS.holds([*value]) and all(map(_SCALAR.holds, value.values()))


def _one_of(*words: str) -> ValueType:
    return ValueType(" or ".join(f'"{word}"' for word in words), lambda value: value in words)


def _parsed_by(parse: Callable[[str], object], words: str) -> ValueType:
    def holds(value: object) -> bool:
        try:
            return isinstance(value, str) and bool(parse(value))
        except (ValueError, re.error):
            return False

    return ValueType(words, holds)


_OPTIONS = ValueType("a nonempty dictionary of strings and numbers", _is_options)
_WHOLE_ABOVE_0, _FLOAT_ABOVE_0 = _above(0, _WHOLE), _above(0, _FLOAT)
_ADDRESS = _parsed_by(ip_address, "an IP address")
_KEYS = {  # types by keys of BentoML's `ServiceConfig`
    """grpc.channelz.enabled grpc.reflection.enabled http.cors.enabled http.response.trace_id logging.access.enabled
    metrics.enabled monitoring.enabled replicate_process runner_probe.enabled ssl.enabled
    traffic.external_queue""": BOOL,
    """http.cors.access_control_allow_credentials logging.access.request_content_length tracing.otlp.grpc.insecure
    logging.access.request_content_type logging.access.response_content_length logging.access.response_content_type
    tracing.jaeger.grpc.insecure tracing.jaeger.thrift.udp_split_oversized_batches""": BOOL | NONE,
    """endpoints.livez endpoints.readyz logging.access.format.span_id logging.access.format.trace_id metrics.namespace
    resources.gpu_type resources.tpu_type""": TEXT,
    """monitoring.type ssl.ca_certs ssl.certfile ssl.ciphers ssl.keyfile ssl.keyfile_password tracing.otlp.endpoint
    tracing.jaeger.collector_endpoint tracing.jaeger.thrift.agent_host_name tracing.otlp.http.certificate_file
    tracing.zipkin.endpoint""": TEXT | NONE,
    "logging.access.skip_paths": TEXTS,
    """http.cors.access_control_allow_headers http.cors.access_control_allow_methods tracing.excluded_urls
    http.cors.access_control_allow_origins http.cors.access_control_expose_headers""": TEXTS | TEXT | NONE,
    "runner_probe.period runner_probe.timeout": _WHOLE,
    """grpc.max_concurrent_streams grpc.max_message_length grpc.maximum_concurrent_rpcs ssl.cert_reqs
    http.cors.access_control_max_age tracing.jaeger.thrift.agent_port tracing.max_tag_value_length""": _WHOLE | NONE,
    """grpc.metrics.port grpc.port http.port http.proxy_port max_runner_connections runner_connection.max_requests
    threads""": _WHOLE_ABOVE_0,
    """ssl.version tracing.timeout tracing.zipkin.local_node_port traffic.concurrency
    traffic.max_concurrency""": _WHOLE_ABOVE_0 | NONE,
    "workers": _WHOLE_ABOVE_0 | NONE | _one_of("cpu_count"),
    "resources.gpu traffic.timeout": _ABOVE_0,
    "resources.cpu resources.memory": _AMOUNT,
    "runner_connection.max_age": _FLOAT_ABOVE_0,
    "metrics.duration.max metrics.duration.min": _FLOAT_ABOVE_0 | NONE,
    "tracing.sample_rate": _SHARE | NONE,
    "metrics.duration.factor": _above(1, _FLOAT) | NONE,
    "backlog": _above(64, _WHOLE),
    "metrics.duration.buckets": _list_of(_FLOAT, "numbers with a point") | NONE,
    "extra_ports": _list_of(_WHOLE, "whole numbers") | NONE,
    "tracing.otlp.grpc.headers": _list_of(TEXTS, "lists of strings") | NONE,
    "http.cors.access_control_allow_origin_regex": _parsed_by(re.compile, "a regular expression") | NONE,
    "grpc.host grpc.metrics.host http.host": _ADDRESS,
    "tracing.zipkin.local_node_ipv4 tracing.zipkin.local_node_ipv6": _ADDRESS | _WHOLE | NONE,
    "tracing.exporter_type": _one_of("zipkin", "jaeger", "otlp", "in_memory") | NONE,
    "tracing.jaeger.protocol": _one_of("grpc", "thrift") | NONE,
    "tracing.otlp.compression": _one_of("gzip", "none", "deflate") | NONE,
    "tracing.otlp.protocol": _one_of("grpc", "http") | NONE,
    "monitoring.options tracing.otlp.http.headers": _OPTIONS | NONE,
}
_SIMILAR = 0.85  # the sections in front of a key are similar, too
KEYS: Mapping[str, ValueType] = {key: kind for keys, kind in _KEYS.items() for key in keys.split()}


def config_problem(path: str, value: object) -> str:
    """Return why static analysis doesn't support a value of a service's configuration, or an empty string."""
    if kind := KEYS.get(path):
        return "" if kind.holds(value) else f"`{path}`: expected {kind.words}, got {value!r}"
    if isinstance(value, dict) and value:
        return next(filter(None, (config_problem(f"{path}.{key}", each) for key, each in value.items())), "")
    near = nearest(path, KEYS, _SIMILAR)
    hint = f" (did you mean `{near}`?)" if near else ""
    return f"`{path}` isn't a supported key of the configuration{hint}"


def env_problem(name: object, value: object) -> str:
    """Return why BentoML rejects an environment variable of a service when it builds or serves it, or ""."""
    if not isinstance(name, str) or not name:
        return f"the name of a variable must be a nonempty string, got {name!r}"
    if value is None or isinstance(value, str):
        return ""
    is_scalar = isinstance(value, (bool, int, float))
    got = f", such as '{value}', got {value!r}" if is_scalar else f", got a {type(value).__name__}"
    return f"the value of {name} must be a string{got}"
