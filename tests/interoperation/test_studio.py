"""A Bento of two services, three models, mounted pages and a task: imported and served by real BentoML."""

import json
import time
import urllib.request

from tests.conftest import built, post

ARCHIVE = str(built("examples/studio/studio_bento.bento"))
DRAWING = [float(pixel % 17) for pixel in range(64)]


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=600) as response:
        return response.read()


def test_it_is_imported_and_all_of_it_is_served(bentoml):
    bentoml.run("import", ARCHIVE)
    [listed] = bentoml.json("list")
    models = {model["tag"].partition(":")[0] for model in bentoml.json("models", "list")}
    assert models == {"digit_names", "digits_clf", "digits_index"}
    with bentoml.serve(listed["tag"]) as address:
        assert post(f"{address}/size", {}) == 2048
        assert len(post(f"{address}/read", {"drawings": [DRAWING]})) == 1
        task = post(f"{address}/search/submit", {"drawing": DRAWING, "count": 2})["task_id"]
        while json.loads(get(f"{address}/search/status?task_id={task}"))["status"] == "in_progress":
            time.sleep(0.1)
        assert len(json.loads(get(f"{address}/search/get?task_id={task}"))) == 2
        assert b"Draw a 7" in get(f"{address}/gallery/7")
