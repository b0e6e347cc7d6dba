"""The report of run logs."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from infra_gym.definitions.catalog import definition_file
from infra_gym.environments.make import make
from infra_gym.errors import UsageError
from infra_gym.evaluation.report import number, render, write_report
from infra_gym.evaluation.report_runs import definition_of, read_contenders

RECORDED = Path(__file__).parent / "recorded" / "hpa-bursty.jsonl"
NASTY = "</script><img src=x onerror=alert(1)> $x^2$ \u0000 \ud800 'quoted' & \"double\""


class Page(HTMLParser):
    """What elements a page has, and what its tables say."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same seed, by two agents: one grows to six replicas, one stays."""
    folder = tmp_path_factory.mktemp("logs")
    paths = []
    for agent, actions in (("grows", [2] * 4 + [1] * 8), ("stays", [1] * 12)):
        paths.append(folder / f"{agent}.jsonl")
        env = make("SimpleK8sWebApp-v0", target="sim", log=paths[-1], log_info={"agent": agent})
        env.reset(seed=5)
        for action in actions:
            env.step(action)
        env.close()
    return paths


@pytest.fixture(scope="module")
def one(logs: list[Path]) -> str:
    return render(logs[:1])


@pytest.fixture(scope="module")
def both(logs: list[Path]) -> str:
    return render(logs)


def changed(log: Path, folder: Path, change: Any) -> Path:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        change(line)
    path = folder / "changed.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_one_run_has_every_chart(one: str) -> None:
    page = Page(one)
    for title in ("Load", "Replicas", "Latency", "Cost", "Reward", "Actions", "Utilisation"):
        assert f"\n{title}" in page.text or f"{title}," in page.text
    assert page.tags.count("figure") == 9
    assert page.tags.count("svg") == 2 * 9
    assert page.tags.count("details") == 9 + 1  # a table for each chart, and one of every step
    assert "12 of 12 steps" in page.text
    assert "SLO 0.25" in page.text


def test_several_runs_are_compared(logs: list[Path], both: str) -> None:
    page = Page(both)
    assert "2 runs compared" in page.text
    assert "grows on sim" in page.text
    first, second = read_contenders(logs)
    assert (first.mean("moves"), second.mean("moves")) == (4, 0)
    for contender in (first, second):
        assert number(contender.mean("reward")) in page.text
    assert "Every step" not in page.text
    assert "differ in seed or target" not in page.text


def test_figures_are_those_of_the_log(logs: list[Path], one: str) -> None:
    lines = [json.loads(line) for line in logs[0].read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "step"]
    (contender,) = read_contenders(logs[:1])
    assert contender.mean("reward") == pytest.approx(sum(step["reward"] for step in steps))
    assert contender.mean("cost_usd") == pytest.approx(
        sum(step["info"]["cost_usd"] for step in steps)
    )
    shares = [sum(step["metrics"][name] for step in steps) for name in ("within_slo", "requests")]
    assert contender.mean("slo_share") == pytest.approx(shares[0] / shares[1])
    most = max(step["metrics"]["latency_p95"] for step in steps)
    assert f"at most {number(most * 1000)} ms" in Page(one).text


def test_it_needs_no_network_and_runs_no_script(both: str) -> None:
    page = Page(both)
    assert {"script", "link", "img", "iframe", "object"} & set(page.tags) == {"link"}
    named = [value for name, value in page.attributes if name in ("src", "href") and value]
    assert [value for value in named if not value.startswith(("#", "data:"))] == []
    assert "url(http" not in both


def test_texts_of_a_log_are_escaped(logs: list[Path], tmp_path: Path) -> None:
    def nasty(line: dict[str, Any]) -> None:
        if line["kind"] == "header":
            line["id"] = line["package_version"] = NASTY
            line["info"] |= {
                "agent": NASTY,
                "layers": [NASTY],
                "workload": {NASTY: NASTY},
                "reward_unit": NASTY,
                "system": NASTY,
                "slo": NASTY,
            }
        elif line["kind"] == "step":
            line["metrics"][f"latency_{NASTY}"] = 1.0
            line["terms"][NASTY] = 0.5
            line["info"] |= {"controls": {NASTY: 3}, "truncated_because": NASTY}

    log = changed(logs[0], tmp_path, nasty)
    out = write_report([log, logs[1]], tmp_path / "nasty.html")
    page = Page(out.read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "</script><img src=x onerror=alert(1)> $x^2$" in page.text


@pytest.mark.slow
def test_a_live_run_has_timings(tmp_path: Path) -> None:
    page = Page(write_report([RECORDED], tmp_path / "deep" / "live.html").read_text())
    assert "Seconds of a step" in page.text
    assert "seconds of apply" in page.text


def test_what_failed_and_was_cut_off_is_said(logs: list[Path], tmp_path: Path) -> None:
    def fail(line: dict[str, Any]) -> None:
        if line.get("step") == 11:
            line |= {"metrics": {}, "terms": {}, "reward": 0.0, "info": {"invalid": "no answer"}}

    path = changed(logs[0], tmp_path, fail)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:50])
    page = Page(render([path]))
    assert "failed: no answer" in page.text
    assert "1 steps failed" in page.text
    assert "its last line is cut off" in page.text


def test_a_step_that_failed_is_no_move(logs: list[Path], tmp_path: Path) -> None:
    def fail(line: dict[str, Any]) -> None:
        if line.get("step") == 3:
            line |= {"metrics": {}, "terms": {}, "reward": 0.0, "info": {"invalid": "no answer"}}

    path = changed(logs[0], tmp_path, fail)
    lines = path.read_text().splitlines(keepends=True)
    moves = []
    for last in (4, 5):
        path.write_text("".join(lines[:last]))
        (contender,) = read_contenders([path])
        moves.append(contender.tracks[0].moves)
    assert moves[0] == moves[1]


def test_a_run_whose_first_step_failed(logs: list[Path], tmp_path: Path) -> None:
    def fail(line: dict[str, Any]) -> None:
        if line.get("step") == 1:
            line |= {"metrics": {}, "terms": {}, "reward": 0.0, "info": {"invalid": "no answer"}}

    path = changed(logs[0], tmp_path, fail)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    assert "failed: no answer" in Page(render([path])).text


def test_what_a_log_may_say_and_nobody_can_draw(logs: list[Path], tmp_path: Path) -> None:
    info = {
        "workload": ["daily"],
        "layers": 3,
        "slo": {"latency_s": float("inf"), "share": 10**400},
        "controls": {"replicas": 10**400, "others": float("nan")},
        "seconds": 5,
    }
    path = changed(logs[0], tmp_path, lambda line: line.setdefault("info", {}).update(info))
    assert "Load, requests a second" in render([path])


@pytest.mark.parametrize("lines", [1, 2])
def test_a_log_without_steps_is_refused(logs: list[Path], tmp_path: Path, lines: int) -> None:
    path = tmp_path / "short.jsonl"
    path.write_text("".join(logs[0].read_text().splitlines(keepends=True)[:lines]))
    with pytest.raises(UsageError, match="has no steps to report"):
        render([path])


def test_the_same_name_twice_is_told_apart(logs: list[Path]) -> None:
    labels = [one.label for one in read_contenders([logs[0], logs[0], logs[1]])]
    assert len(set(labels)) == 3
    assert labels[2] == "stays on sim"


def test_runs_by_id_and_by_file_have_the_same_definition(logs: list[Path], tmp_path: Path) -> None:
    def header(**told: Any) -> Any:
        def change(line: dict[str, Any]) -> None:
            if line["kind"] == "header":
                line["info"] |= {name: told[name] for name in told.keys() & {"file"}}
                line |= {name: told[name] for name in told.keys() - {"file"}}

        return read_contenders([changed(logs[0], tmp_path, change)])

    by_id, file = header(), definition_file("SimpleK8sWebApp-v0")
    for source in (str(file), str(tmp_path / "gone.yaml")):
        by_file = header(file=source)
        for both in ([*by_id, *by_file], [*by_file, *by_id]):
            found = definition_of(both)
            assert found is not None
            assert found.id == "SimpleK8sWebApp-v0"
    (tmp_path / "Broken-v0.yaml").write_text("id: [")
    assert definition_of([*header(file=str(tmp_path / "Broken-v0.yaml")), *by_id]) is not None
    assert definition_of([*by_id, *header(definition_sha256="0" * 64)]) is None
    assert definition_of(header(id="Nobodys-v1")) is None


def test_a_page_that_cannot_be_written(logs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(logs[:1], tmp_path / "file" / "report.html")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (float("nan"), "\N{EN DASH}"),
        (0.0, "0"),
        (-12.0, "\N{MINUS SIGN}12"),
        (1234567.0, "1,234,567"),
        (0.034567, "0.03457"),
        (123.456, "123.5"),
        (-0.5, "\N{MINUS SIGN}0.5000"),
        (1e-9, "0.000000"),
    ],
)
def test_numbers_for_people(value: float | None, text: str) -> None:
    assert number(value) == text
