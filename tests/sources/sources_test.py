"""The Bento serves with what its libraries generate."""


def test_generated_modules_are_served(client):
    assert client.name() == "iris"


def test_the_bento_has_them_where_python_finds_them(bento):
    source = bento.path / "src"
    names = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    made = {f"_virtual_imports/iris_schema/schemas/{name}" for name in ("iris.json", "iris_pb2.py")}
    made |= {"greeting.txt", "made.py"}
    in_repository = {f"tests/sources/{name}" for name in made}
    assert names == made | in_repository | {"bentofile.yaml", "service/__init__.py", "service.py"}
