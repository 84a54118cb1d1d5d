"""The page's server: right numbers, and an answer for its own page alone."""

import base64
import http.client
import io
import json
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explainer.cli.options import serve_options
from explainer.cli.serving.answer import MOST_CLASSES, SIDE, answer_of, explain_bytes
from explainer.cli.serving.server import server_of, site_of
from explainer.errors import InputError
from explainer.inference.explain import Explainer
from explainer.inference.explanation import Explanation
from tests.support.small_checkpoints import CLASSES, save_explainer
from tests.support.trees import photo


@pytest.fixture(scope="module")
def explainer(tmp_path_factory):
    return Explainer(save_explainer(tmp_path_factory.mktemp("serving") / "small.ckpt"), "cpu")


@pytest.fixture(scope="module")
def port(explainer):
    """Port of a server that runs while the tests of this file do."""
    options = serve_options(["--port", "0", "--most_megabytes", "1", "--top", "2", "--threshold", "1"])
    with server_of(site_of(explainer, options), 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def ask(port):
    """(status, headers, content) of a request."""

    def request(method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, dict(response.getheaders()), content

    return request


def sent(folder):
    photo(folder / "a.jpg")
    return (folder / "a.jpg").read_bytes()


def decoded(address):
    head, data = address.split(",", 1)
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_page_and_its_files_are_served_under_strict_headers(ask):
    for path, kind, words in (
        ("/", "text/html", "Explain a photograph"),
        ("/page.css", "text/css", "--accent"),
        ("/page.js", "text/javascript", "fetch"),
    ):
        status, headers, content = ask("GET", path)
        assert status == 200
        assert headers["Content-Type"].startswith(kind)
        assert words in content.decode()
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
    assert json.loads(ask("GET", "/about")[2])["classes"] == list(CLASSES)


def test_a_photograph_is_answered_with_the_explainers_own_numbers(ask, explainer, tmp_path):
    content = sent(tmp_path)
    status, _, body = ask("POST", "/explain", content)
    answer = json.loads(body)
    expected = explainer.explain(tmp_path / "a.jpg", threshold=1, top=2)
    assert status == 200
    assert (answer["height"], answer["width"]) == expected.size
    assert not answer["reached"]  # the threshold is 1
    assert [each["name"] for each in answer["classes"] if each["present"]] == [CLASSES[i] for i in expected.predicted]
    assert len(answer["classes"]) == answer["of_classes"] == len(CLASSES)
    for each in answer["classes"]:
        index = CLASSES.index(each["name"])
        assert each["probability"] == pytest.approx(float(expected.probabilities[index]))
        assert each["area"] == pytest.approx(float(expected.mask(each["name"]).mean()), abs=1e-6)
        assert decoded(each["map"]).size == (40, 30)
    captions = [each["caption"] for each in answer["overview"]]
    assert captions[0] == "target mask"
    assert captions[1] == f"kept: {CLASSES[expected.predicted[0]]} {expected.through_mask[expected.predicted[0]]:.2f}"
    target = np.asarray(decoded(answer["overview"][0]["picture"]).convert("L")) / 255
    assert np.abs(target - expected.target[0, 0].numpy()).max() < 0.05


def test_a_class_above_the_threshold_is_present(explainer, tmp_path):
    expected = explainer.explain(Image.open(io.BytesIO(sent(tmp_path))))
    lowest = float(expected.probabilities.min())
    answer = explain_bytes(explainer, sent(tmp_path), threshold=lowest, top=1)
    assert answer["reached"]
    assert [each["present"] for each in answer["classes"]] == [True] * len(CLASSES)


def test_nothing_is_left_on_the_disk(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    assert ask("POST", "/explain", sent(tmp_path))[0] == 200
    assert {path.name for path in tmp_path.rglob("*")} == {"temporary", "a.jpg"}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "localhost.evil:8765", ""]
)
def test_another_name_of_this_machine_is_refused(ask, host):
    """A name that somebody else's server gives out may lead here: DNS rebinding."""
    for method in ("GET", "POST"):
        status, _, content = ask(method, "/" if method == "GET" else "/explain", b"x", Host=host)
        assert status == 403
        assert "error" in json.loads(content)


def test_localhost_is_this_machine(ask, port, tmp_path):
    assert ask("GET", "/", Host=f"localhost:{port}")[0] == 200
    origin = f"http://127.0.0.1:{port}"
    assert ask("POST", "/explain", sent(tmp_path), Origin=origin)[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1"])
def test_another_page_sends_no_photographs(ask, tmp_path, origin):
    status, _, content = ask("POST", "/explain", sent(tmp_path), Origin=origin)
    assert status == 403
    assert json.loads(content) == {"error": "photographs are taken only from the page itself"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"no picture", {}, 400, "cannot read image: it is no picture, or its beginning is damaged"),
        (b"", {}, 400, "cannot read image"),
        (b"x", {"Content_Length": str(2**20 + 1)}, 413, "the file is larger than 1 MB: shrink it"),
        (b"x", {"Content_Length": "-1"}, 411, "the size of the photograph is missing"),
        (b"x", {"Content_Length": "many"}, 411, "the size of the photograph is missing"),
    ],
)
def test_what_is_no_photograph_is_refused_in_one_line(ask, body, headers, status, words):
    answered, _, content = ask("POST", "/explain", body, **headers)
    message = json.loads(content)["error"]
    assert answered == status
    assert words in message
    assert "\n" not in message
    assert tempfile.gettempdir() not in message


def test_a_torn_photograph_does_not_stop_the_next_one(ask, tmp_path):
    content = sent(tmp_path)
    assert ask("POST", "/explain", content[: len(content) // 2])[0] == 400
    assert ask("POST", "/explain", content)[0] == 200


def test_other_paths_and_methods_are_refused(ask):
    assert ask("GET", "/../server.py")[0] == 404
    assert ask("POST", "/", b"x")[0] == 404
    assert ask("PUT", "/", b"x")[0] == 501


def test_a_taken_port_is_one_line(explainer, port):
    site = site_of(explainer, serve_options([]))
    with pytest.raises(InputError, match=rf"port {port} cannot be used \(Address already in use\): .* --port"):
        server_of(site, port)


def test_of_a_thousand_classes_the_most_probable_are_sent(explainer):
    generator = np.random.default_rng(0)
    whole = explainer.explain(Image.new("RGB", (2000, 1000), "brown"))
    count = 50
    probabilities = whole.probabilities.new_tensor(generator.permutation(count) / count)
    logits = whole.logits[:, :1].expand(1, count, *whole.logits.shape[-2:])
    many = Explanation(
        whole.pixels, tuple(map(str, range(count))), probabilities, logits, (3,), probabilities, probabilities
    )
    answer = answer_of(many, Image.new("RGB", (1, 1)), reached=True)
    shown = [each["probability"] for each in answer["classes"]]
    assert len(shown) == MOST_CLASSES
    assert answer["of_classes"] == count
    assert answer["classes"][0]["name"] == "3"
    assert shown[1:] == sorted(shown[1:], reverse=True)
    assert decoded(answer["photograph"]).size == (SIDE, SIDE // 2)


def test_a_checkpoint_that_is_not_there_is_one_line(tmp_path, capsys):
    from explainer.__main__ import main

    assert main(["serve", "--ckpt_path", str(tmp_path / "none.ckpt"), "--device", "cpu"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not Path("none.ckpt").exists()
