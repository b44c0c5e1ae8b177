"""The Bento serves with what its libraries generate."""


def test_generated_modules_are_served(client):
    assert client.name() == "iris"


def test_the_bento_has_them_where_python_finds_them(bento):
    names = sorted(
        path.relative_to(bento.path / "src").as_posix() for path in bento.path.glob("src/**/*") if path.is_file()
    )
    assert names == [
        "bentofile.yaml", "greeting.txt", "made.py", "schemas/iris.json", "schemas/iris_pb2.py", "service.py",
    ]  # fmt: skip
