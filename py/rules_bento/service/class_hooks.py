"""Lists the methods that Python or a library runs although no code mentions them, by the event that runs them.

Sources: "Data model" and the modules `abc`, `enum`, `functools`, and `typing` in the documentation of Python; "Models",
"Custom types", and "Configuration" in the documentation of pydantic; `attrs.define` in the documentation of attrs.
"""

from __future__ import annotations

from rules_bento.service.sdk_names import words

# Names in the body of a class, by the event that runs the methods. Subclasses inherit the events.
HOOKS = {
    # A subclass is created. `__pydantic_on_complete__` also runs for the class itself.
    "subclass": words("__attrs_init_subclass__ __init_subclass__ __pydantic_init_subclass__ __pydantic_on_complete__"),
    # A class of this metaclass is created, assigned in the body of another class, or deleted.
    "metaclass": words("__del__ __init__ __new__ __prepare__ __set_name__ mro"),
    # A class is created, and this is the metaclass of its metaclass.
    "call": words("__call__"),
    # A class of this metaclass is in an annotation, or a library creates or decorates the class.
    "lookup": words(
        "__bool__ __delattr__ __eq__ __ge__ __getattr__ __getattribute__ __gt__ __hash__ __le__ __len__ __lt__ __ne__ "
        "__repr__ __setattr__ __str__"
    ),
    # A class of this metaclass is an operand in an annotation, or in the expression of a base class.
    "operator": words(
        "__add__ __and__ __divmod__ __floordiv__ __getitem__ __lshift__ __matmul__ __missing__ __mod__ __mul__ __or__ "
        "__pow__ __radd__ __rand__ __rdivmod__ __rfloordiv__ __rlshift__ __rmatmul__ __rmod__ __rmul__ __ror__ "
        "__rpow__ __rrshift__ __rshift__ __rsub__ __rtruediv__ __rxor__ __sub__ __truediv__ __xor__"
    ),
    # `isinstance` or `issubclass` checks a base class, which asks the subclasses.
    "check": words("__instancecheck__ __subclasscheck__ __subclasshook__"),
    # The class is in an annotation, or pydantic completes it.
    "schema": words(
        "__annotate__ __class_getitem__ __get_pydantic_core_schema__ __get_pydantic_json_schema__ __get_validators__ "
        "__modify_schema__ model_parametrized_name"
    ),
}
# Ways to mention a class without using it, and the methods of the metaclass that run.
MENTIONS = {"annotated": "lookup", "operand": "operator", "checked": "check"}
# The events of a metaclass that are events of its classes.
OF_METACLASS = {"call": "metaclass", "enum": "enum", "foreign": "foreign"}
OF_METACLASS |= {name: f"typed {name}" for name in MENTIONS.values()}
INHERITED = (*HOOKS, *OF_METACLASS.values(), "escaped", "managed", "modeled")

# Class decorators of libraries that make objects from data, if a field has the class as its type.
RECORDS = words(
    "attr.attrs attr.dataclass attr.define attr.frozen attr.mutable attr.s attrs.define attrs.frozen attrs.mutable "
    "dataclasses.dataclass pydantic.dataclasses.dataclass"
)
# Packages whose classes aren't made from data.
NOT_MODELS = words(
    "abc asyncio collections contextlib enum fastapi keras lightning logging pytorch_lightning sklearn starlette "
    "tensorflow threading torch transformers typing typing_extensions"
)
# Decorators of methods that a library calls for an object, and of functions that make objects from data.
VALIDATORS = words("computed_field field_validator model_validator root_validator validator")
# Decorators of methods that a library calls if it serializes an object, and attributes that do so.
SERIALIZERS = words("field_serializer model_serializer")
DUMPS = words("dict json model_dump model_dump_json")
VALIDATED = words("pydantic.validate_arguments pydantic.validate_call")
# Names that lead from a class or function to the classes in its annotations.
REFLECTION = words("__annotations__ get_annotations get_type_hints")
FIELDS_OF = words("attr.fields attr.fields_dict attrs.fields attrs.fields_dict dataclasses.fields")
# Packages that make objects of the classes in annotations.
CONTAINERS = words("dependency_injector dishka fast_depends injector kink lagom punq svcs wireup")
_NOT_SPECIAL = words("__doc__ __module__ __slots__")


def is_special(name: str) -> bool:
    """Return whether Python or a library calls a method by its name, as it calls `__init__` or `_missing_`."""
    return name == "model_post_init" or (name.startswith("_") and name.endswith("_") and name not in _NOT_SPECIAL)
