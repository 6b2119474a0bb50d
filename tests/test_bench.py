"""``labkit bench``: which tables it prints, and that their rows say what was measured."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import need

from labkit import icosphere, save_mesh
from labkit.cli import bench as bench_raster
from labkit.cli import bench_adversarial, bench_fractals, bench_implicit, bench_renderers, bench_sorting, main
from labkit.cli.bench_sorting import CURES, Contender, accuracy, rows
from labkit.errors import BackendError
from labkit.render.external import ExternalRenderer
from labkit.train import udr_loss
from labkit.train.udr import PRESETS

ROW = re.compile(
    r" *(?P<n>\d+) +(?P<lists>\d+) (?P<name>\w+(?:, matrix)?) +\| +(?P<forward>[\d.]+) ms +(?P<both>[\d.]+) ms"
    r" +(?P<ratio>[\d.]+)x \| (?P<error>[\d.]+) +(?P<right>[\d.]+)%"
)


def measured(lines: Iterator[str]) -> list[dict[str, str]]:
    """The fields of the lines that are rows of numbers."""
    return [found.groupdict() for found in map(ROW.fullmatch, lines) if found]


@pytest.mark.parametrize("name", ["all", "raster", "renderers", "sorting", "fractals", "implicit", "adversarial"])
def test_only_chooses_the_tables(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each table by its name, in one order, with --quick handed on."""
    tables = {
        "raster": bench_raster,
        "renderers": bench_renderers,
        "sorting": bench_sorting,
        "fractals": bench_fractals,
        "implicit": bench_implicit,
        "adversarial": bench_adversarial,
    }
    for table, module in tables.items():
        monkeypatch.setattr(module, "rows", lambda quick, mesh=None, table=table: iter([f"{table} {quick}"]))
    assert main(["bench", "--quick", "--only", name]) == 0
    wanted = [f"{table} True" for table in tables if name in ("all", table)]
    assert capsys.readouterr().out.splitlines() == wanted


def test_sorting_rows_without_the_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said, with the cure; labkit's rows come all the same."""
    monkeypatch.setattr(bench_sorting, "find_spec", lambda name: None)
    monkeypatch.setattr(bench_sorting, "BATCHES", {4: 3, 65: 1})
    lines = list(rows(quick=True))
    for name, cure in CURES.items():
        assert f"{name} is not installed: {cure}" in lines
    found = measured(iter(lines))
    assert [(row["n"], row["lists"], row["name"]) for row in found] == [
        ("4", "3", "labkit"),
        ("4", "3", "labkit, matrix"),
    ]
    assert all(float(row["both"]) > float(row["forward"]) > 0 for row in found)


def test_sorting_rows_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same network, so the same accuracy; a ratio is that of the times beside it, each to labkit's of its kind."""
    need("diffsort", "diffsort" not in missing(), CURES["diffsort"])
    monkeypatch.setattr(bench_sorting, "BATCHES", {6: 4, 9: 2})
    found = measured(rows(quick=False))
    for n in ("6", "9"):
        by_name = {row["name"]: row for row in found if row["n"] == n}
        for kind in ("", ", matrix"):
            ours, theirs = by_name[f"labkit{kind}"], by_name[f"diffsort{kind}"]
            assert float(theirs["ratio"]) == pytest.approx(
                float(theirs["both"]) / float(ours["both"]), rel=0.1, abs=1e-3
            )
            assert float(theirs["error"]) == pytest.approx(float(ours["error"]), abs=2e-5)  # five digits are printed
            assert theirs["right"] == ours["right"]
        assert by_name["labkit"]["ratio"] == "1"


def test_torchsort_is_measured() -> None:
    """Sharp enough to be right on a few values."""
    need("torchsort", "torchsort" not in missing(), CURES["torchsort"])
    by_name = {contender.name: contender for contender in bench_sorting.contenders(4, {"diffsort"})}
    error, right = accuracy(by_name["torchsort"], torch.tensor([[3.0, 1.0, 2.0, 9.0]]))
    assert error < 1e-3
    assert right == 1


def test_diffsort_is_left_out_where_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run foretells the second by the fourth power of n."""
    need("diffsort", "diffsort" not in missing(), CURES["diffsort"])
    monkeypatch.setattr(bench_sorting, "BATCHES", {4: 2, 8: 2})
    monkeypatch.setattr(bench_sorting, "SECONDS", 1e-9)
    lines = list(rows(quick=False))
    assert {row["n"] for row in measured(iter(lines)) if "diffsort" in row["name"]} == {"4"}
    assert any(re.fullmatch(r" +8 +2 diffsort left out: about \d+ s, [\d.]+ GB", line) for line in lines)


def missing() -> list[str]:
    """The optional packages that are not here."""
    return [name for name in CURES if not bench_sorting.find_spec(name)]


def test_accuracy_by_hand() -> None:
    """One of three values off by 3, of standard deviation 2, and one of three ranks right."""
    values = torch.tensor([[2.0, 0.0, 4.0]])
    contender = Contender(
        "off", lambda x: (torch.tensor([[0.0, 5.0, 4.0]]),), lambda x: torch.tensor([[3.1, 0.9, 2.0]])
    )
    assert accuracy(contender, values) == pytest.approx((0.5, 1 / 3))


def test_a_row_of_each_rasterizer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every rasterizer is timed with its reference, and two of them on the user's own mesh."""
    need("numba", importlib.util.find_spec("numba") is not None, 'pip install "labkit[fast]"')
    monkeypatch.setattr(bench_renderers, "REPEATS", 1)
    monkeypatch.setattr(bench_renderers, "COUNTS", (20,))
    monkeypatch.setattr(bench_renderers, "SIDE", 16)
    monkeypatch.setattr(bench_renderers, "LARGE_SIDE", 24)
    path = tmp_path / "ball.obj"
    save_mesh(icosphere(0), path)
    found = list(bench_renderers.rows(quick=True, mesh=path))[3:]
    assert [line.split("|")[0].split(maxsplit=2)[2].strip() for line in found] == [
        *bench_renderers.RASTERIZERS,
        *(f"{name}, {path.name}" for name in bench_renderers.LARGE),
    ]
    assert all(
        0 < float(forward) <= float(both) for line in found for forward, both in [re.findall(r"([\d.]+) ms", line)]
    )


def test_rows_of_implicit_surfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratios are those of the times beside them, compaction saves evaluations, and the shares fill the step."""
    monkeypatch.setattr(bench_implicit, "SIZES", ((24, 10),))
    monkeypatch.setattr(bench_implicit, "PRESETS", {"cpu": PRESETS["tiny"]})
    monkeypatch.setattr(bench_implicit, "WARM_UP", 5)
    monkeypatch.setattr(bench_implicit, "PROFILED", 1)
    found = "\n".join(bench_implicit.rows(quick=True))
    own, twice, ratio = map(float, numbers(r"own +([\d.]+) ms, autograd twice +([\d.]+) ms, ([\d.]+)x", found)[0])
    assert ratio == pytest.approx(twice / own, rel=0.1)
    (few, fast, ahead), (many, slow, _) = (
        (int(points.replace(",", "")), float(time), float(times))
        for points, time, times in numbers(r"([\d,]+) evaluations +([\d.]+) ms +([\d.]+)x", found)
    )
    assert few < many
    assert ahead == pytest.approx(slow / fast, rel=0.1)
    (per_second, ahead), (masked, _) = (
        tuple(map(float, row)) for row in numbers(r"([\d.]+) steps/s +([\d.]+)x", found)
    )
    assert ahead == pytest.approx(per_second / masked, rel=0.1)
    shares = {name.strip(): float(share) for name, share in numbers(r"\n  (\D+?) +([\d.]+)%", found)}
    assert set(shares) == {*bench_implicit.PARTS.values(), *bench_implicit.STARTS.values(), "the rest"}
    assert sum(shares.values()) == pytest.approx(100, abs=0.5)
    assert min(shares.values()) > 0


def numbers(pattern: str, text: str) -> list[tuple[str, ...]]:
    """The groups of every match."""
    return [found.groups() for found in re.finditer(pattern, text)]


def test_rows_of_the_adversarial_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part twice, forward before backward; a renderer that is not there is said to be missing."""
    monkeypatch.setattr(bench_adversarial, "SIZES", (16,))
    monkeypatch.setattr(bench_adversarial, "REPEATS", 2)
    monkeypatch.setattr(bench_adversarial, "RENDERERS", ("hard", "pyvista"))
    opened = bench_adversarial.open_renderer

    def without_vtk(name: str) -> ExternalRenderer:
        if name == "pyvista":
            raise BackendError("pyvista", "missing", "its package")
        return opened(name)

    monkeypatch.setattr(bench_adversarial, "open_renderer", without_vtk)
    head, *lines = bench_adversarial.rows(quick=True)
    assert "batches of 4" in head
    times = [found for line in lines if (found := re.fullmatch(r" +16 px  (.+?) +([\d.]+) ms +([\d.]+) ms .*", line))]
    assert [found[1] for found in times] == [*bench_adversarial.parts(16)]
    assert all(float(found[3]) > float(found[2]) for found in times)
    assert re.fullmatch(r"  hard +[\d.]+ pictures/s, the first after [\d.]+ s", lines[-2])
    assert "not measured: pyvista" in lines[-1]


def test_marks_are_taken_off_again() -> None:
    """They are seen from inside only, and an operation belongs to the nearest mark."""
    before = udr_loss.sphere_trace
    with bench_implicit.marked():
        assert udr_loss.sphere_trace is not before
    assert udr_loss.sphere_trace is before
    weight = torch.ones(300, 300)
    found = bench_implicit.shares(lambda: [torch.mm(weight, weight) for _ in range(20)])
    assert set(found) == {"matrix products", "the rest"}
    assert found["matrix products"] > 0.5
