"""The Bento serves with what its libraries generate."""


def test_generated_modules_are_served(client):
    assert client.name() == "iris"


def test_the_bento_has_them_where_python_finds_them(bento):
    source = bento.path / "src"
    names = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    made = {"schemas/iris.json", "schemas/iris_pb2.py"}
    in_repository = {f"tests/sources/_virtual_imports/iris_schema/{name}" for name in made}
    assert names == made | in_repository | {"bentofile.yaml", "greeting.txt", "made.py", "service.py"}
