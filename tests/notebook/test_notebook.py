"""One notebook from its first cell to its last, as Jupyter runs it."""

import nbclient
import nbformat
import pytest

METHOD = '''
from dataclasses import dataclass
import sfnbench
from sfnbench import Optimizer, Positive, register

SHARE = 0.5

def half(g):
    return SHARE * g

@register("halved")
@dataclass(frozen=True, kw_only=True)
class Halved(Optimizer):
    """Half a gradient."""

    lr: Positive = 0.2

    def step(self, oracle, theta, state):
        return theta - self.lr * half(oracle.grad(theta)), state
'''
RUN = """
results = sfnbench.run_suite(
    "toy", optimizers=["halved", "gradient_descent"], problems=["5x^2 - y^2"], seeds=2
)
results
"""
# as Jupyter warns about itself
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The outputs of each cell."""
    cells = [
        METHOD,
        RUN,
        "results.plot('loss')",
        "results.figure('5x^2 - y^2_trajectories')"
        " if '5x^2 - y^2_trajectories' in results.figures else results.figure(results.figures[0])",
        "results.to_pandas().shape, results.to_polars(curves=True).columns[:3]",
        "print(*results.statuses.items(), 'halved' in list(results)[0].environment['source'])",
        METHOD.replace("0.5", "open('/dev/null')"),
        "sfnbench.run_suite('toy', optimizers=['halved'], seeds=1)",
    ]
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(c) for c in cells]
    )
    folder = tmp_path_factory.mktemp("notebook")
    client = nbclient.NotebookClient(
        book,
        timeout=120,
        allow_errors=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    return [cell.outputs for cell in book.cells]


def data(cell):
    return {
        kind: text for out in cell for kind, text in out.get("data", {}).items()
    }


def test_a_method_of_a_cell_runs_and_its_table_stands_below(outputs):
    assert "<table" in data(outputs[1])["text/html"]
    assert "halved" in data(outputs[1])["text/html"]
    assert "('ok', 2)" in "".join(out["text"] for out in outputs[5])
    assert "True" in "".join(out["text"] for out in outputs[5])


def test_a_bar_shows_how_far_it_is(outputs):
    bars = [out["data"].get("text/html", "") for out in outputs[1] if "data" in out]
    assert any("<progress" in bar and "2 of 2 runs done" in bar for bar in bars)


@pytest.mark.parametrize("cell", [2, 3])
def test_figures_stand_inline(outputs, cell):
    assert "image/png" in data(outputs[cell])


def test_rows_and_curves_are_data_frames(outputs):
    shown = data(outputs[4])["text/plain"]
    assert shown.startswith("((4,")  # two methods of two seeds
    assert "suite" in shown


def test_a_method_that_no_result_can_be_traced_to_is_refused(outputs):
    (error,) = outputs[7]
    assert error["ename"] == "SuiteError"
    assert "halved uses SHARE" in error["evalue"]


@pytest.mark.timeout(1800)
def test_a_card_of_a_method_of_a_cell_stands_inline(tmp_path):
    """Its suites take some three minutes on two quiet cores."""
    cells = [METHOD, "card = sfnbench.make_card('halved')\ncard"]
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(c) for c in cells]
    )
    client = nbclient.NotebookClient(
        book, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    page = data(book.cells[1].outputs)["text/html"]
    assert page.count("<table") == 6
    for title in ("What caught it", "Cost and memory of a step", "Steps in other"):
        assert f"<h3>{title}" in page
    assert "halved" in page
