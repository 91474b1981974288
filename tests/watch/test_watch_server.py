"""The server of `dlproj watch`: what it hands out, to whom, and what it keeps to itself."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from ctrl_c import heed
from folders import write_run
from typer.testing import CliRunner

from dlproj.cli.app import app
from dlproj.config.checks import UserError
from dlproj.watch.server import Server


@contextmanager
def serving(root, host="127.0.0.1"):
    with Server(root, host, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("watch") / "logs"
    folder = write_run(root / "runs/a b")
    (folder / "report.html").write_text("<h1>report</h1>")
    (folder / "figures").mkdir()
    (folder / "figures/one.png").write_bytes(b"\x89PNG")
    (folder / "weights.ckpt").write_text("secret")
    (folder / ".hidden.txt").write_text("secret")
    (folder / "folder.txt").mkdir()
    os.mkfifo(folder / "pipe.txt")
    (root.parent / "outside.txt").write_text("secret")
    (root / "link.txt").symlink_to(root.parent / "outside.txt")
    (root / "out").symlink_to(root.parent)
    (root / "inside.md").symlink_to(root / "runs/a b/report.html")
    (root / "innocent.txt").symlink_to(folder / ".hidden.txt")
    (root / "weights.txt").symlink_to(folder / "weights.ckpt")
    (root / "circle.txt").symlink_to("circle.txt")
    return root


@pytest.fixture(scope="module")
def server(root):
    with serving(root) as server:
        yield server


def ask(server, path, method="GET", **headers):
    """The response and its body; the path is sent as it is, as no browser would."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def test_it_serves_the_page_and_the_runs(server):
    response, body = ask(server, "/")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"<title>dlproj watch</title>" in body
    assert b"--paper: #" in body  # the look of the reports
    response, body = ask(server, "/runs.json")
    assert [run["id"] for run in json.loads(body)["runs"]] == ["runs/a%20b"]
    response, body = ask(server, "/history/runs/a%20b")
    assert json.loads(body)["metrics"]["val/loss"] == [0.5, 0.75]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("runs/a%20b/report.html", "text/html; charset=utf-8"),
        ("runs/a%20b/figures/one.png", "image/png"),
        ("runs/a%20b/metrics.csv", "text/csv; charset=utf-8"),
        ("runs/a%20b/summary.json", "application/json"),
        ("runs/a%20b/config.yaml", "text/plain; charset=utf-8"),
        ("inside.md", "text/plain; charset=utf-8"),
    ],
)
def test_files_of_runs_have_their_type_and_may_do_nothing(server, root, path, kind):
    response, body = ask(server, f"/files/{path}")
    assert response.headers["Content-Type"] == kind
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("sandbox allow-scripts; default-src 'none';")
    assert body == (root / path.replace("%20", " ")).read_bytes()


SECRETS = [
    "../outside.txt",
    "runs/../../outside.txt",
    "%2e%2e/outside.txt",
    "%2e%2e%2foutside.txt",
    "..%2foutside.txt",
    "%252e%252e/outside.txt",
    "..\\outside.txt",
    "/{root}/../outside.txt",
    "{parent}/outside.txt",
    "%2f{parent}/outside.txt",
    "link.txt",
    "innocent.txt",
    "weights.txt",
    "out/outside.txt",
    "circle.txt",
    "runs/a%20b/weights.ckpt",
    "runs/a%20b/.hidden.txt",
    "runs/a%20b/pipe.txt",
    "runs/a%20b/folder.txt",
    "runs/a%20b/metrics.csv%00.txt",
    "runs/a%20b/metrics.csv/x.txt",
    "runs//a%20b/metrics.csv",
    "x" * 5000 + ".txt",
    "",
    "runs",
]


@pytest.mark.parametrize("path", SECRETS)
def test_nothing_else_is_handed_out(server, root, path):
    response, body = ask(server, "/files/" + path.format(root=root, parent=root.parent))
    assert response.status == 404
    assert b"secret" not in body


@pytest.mark.parametrize("path", ["/x", "/runs.json/x", "/history/x", "/history/../runs", "/sweep/", "*", "files/x"])
def test_what_there_is_not_is_404(server, path):
    assert ask(server, path)[0].status == 404


def test_head_is_get_without_the_body(server):
    got, body = ask(server, "/files/runs/a%20b/report.html")
    head, nothing = ask(server, "/files/runs/a%20b/report.html", "HEAD")
    assert (head.status, nothing) == (200, b"")
    differing = {"Date"}
    assert {key: value for key, value in head.headers.items() if key not in differing} == {
        key: value for key, value in got.headers.items() if key not in differing
    }
    assert int(head.headers["Content-Length"]) == len(body)


@pytest.mark.parametrize("path", ["/", "/runs.json", "/history/runs/a%20b", "/files/runs/a%20b/report.html"])
def test_what_the_browser_has_is_not_sent_again(server, path):
    first, _ = ask(server, path)
    assert first.headers["Cache-Control"] == "no-cache"
    again, body = ask(server, path, If_None_Match=first.headers["ETag"])
    assert (again.status, body) == (304, b"")
    other, body = ask(server, path, If_None_Match='"other"')
    assert other.status == 200
    assert body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(server, method):
    response, _ = ask(server, "/", method, Content_Length="9")
    assert (response.status, response.headers["Connection"]) == (501, "close")


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:1", "LOCALHOST", "[::1]:80"])
def test_this_machine_by_its_names(server, host):
    assert ask(server, "/runs.json", Host=host)[0].status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "[::2]"])
def test_another_name_of_this_machine_is_refused(server, host):
    """A page of another site may have its name lead here, and its script could then read what it asks for."""
    for path in ("/", "/runs.json", "/files/runs/a%20b/report.html"):
        assert ask(server, path, Host=host)[0].status == 403


def test_the_page_runs_its_own_script_alone(server):
    policy = ask(server, "/")[0].headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "frame-ancestors 'none'" in policy


def test_here_it_takes_no_token(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.port}/"


@pytest.fixture(scope="module")
def open_server(root):
    """One that other machines reach."""
    with serving(root, "0.0.0.0") as server:
        yield server


def test_where_other_machines_reach_it_it_asks_for_the_token_it_prints(open_server):
    token = open_server.url.partition("?token=")[2]
    assert len(token) >= 32
    for path in (
        "/",
        "/runs.json",
        "/files/runs/a%20b/report.html",
        "/?token=wrong",
        f"/?token={token[:-1]}",
        "/?token=%C3%A9%FF",
    ):
        response, body = ask(open_server, path)
        assert response.status == 403
        assert b"token" in body
        assert "Set-Cookie" not in response.headers


def test_the_token_becomes_a_cookie_that_opens_everything(open_server):
    token = open_server.url.partition("?token=")[2]
    response, _ = ask(open_server, f"/?token={token}", Host="any.name:80")
    assert (response.status, response.headers["Location"]) == (303, "/")
    cookie, *flags = response.headers["Set-Cookie"].split("; ")
    assert flags == ["HttpOnly", "SameSite=Lax", "Path=/"]
    for path in ("/", "/runs.json", "/files/runs/a%20b/report.html"):
        assert ask(open_server, path, Cookie=f"other=1; {cookie}")[0].status == 200
        assert ask(open_server, path, Cookie=f"{cookie}x")[0].status == 403


def test_each_server_has_its_own_token(open_server, root):
    with serving(root, "0.0.0.0") as other:
        assert other.token != open_server.token


def test_a_browser_that_leaves_is_not_worth_a_word(server, capfd):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHo")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset, not closed
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert ask(server, "/")[0].status == 200
    assert capfd.readouterr() == ("", "")


def test_a_port_in_use_is_one_line_with_the_way_out(server, root):
    with pytest.raises(UserError, match=rf"^port {server.port} is in use: set another with --port, or --port 0"):
        Server(root, "127.0.0.1", server.port)


@pytest.mark.parametrize("host", ["192.0.2.1", "a b", "x" * 300])
def test_an_address_of_no_machine_is_one_line_too(root, host):
    with pytest.raises(UserError, match=r"^cannot serve at .*: set --host to an address of this machine"):
        Server(root, host, 0)


def test_a_file_is_no_folder_of_runs(tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["watch", str(tmp_path / "file")])
    assert str(result.exception) == f"{tmp_path / 'file'} is not a folder: name one above the runs, such as logs"


def test_ctrl_c_ends_it_at_once(tmp_path):
    code = "from dlproj.cli.app import main; main()"
    command = [sys.executable, "-c", code, "watch", str(tmp_path / "logs"), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    ) as process:
        line = process.stdout.readline()
        port = int(line.split("http://127.0.0.1:")[1].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)):  # an open page does not keep it
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in out + err


def test_open_shows_it_in_a_browser(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(Server, "serve_forever", lambda server: None)
    result = CliRunner().invoke(app, ["watch", str(tmp_path), "--port", "0", "--open"])
    assert len(opened) == 1
    assert opened[0] in result.output


def test_a_folder_that_does_not_exist_is_one_line_and_latest_is_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Server, "serve_forever", lambda server: None)
    result = CliRunner().invoke(app, ["watch", "nowhere", "--port", "0"])
    assert str(result.exception) == "nowhere does not exist: name one above the runs, such as logs"
    assert CliRunner().invoke(app, ["watch", "--port", "0"]).output.startswith("logs is shown at ")
    result = CliRunner().invoke(app, ["watch", "latest", "--port", "0"])
    assert str(result.exception) == "logs holds no run: train one, or name a run's folder"
    write_run(tmp_path / "logs/runs/one")
    assert CliRunner().invoke(app, ["watch", "latest", "--port", "0"]).output.startswith("logs/runs/one is shown at ")
