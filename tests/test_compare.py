"""The parts of bench/compare that need no measurement: the shapes, the groups, the arithmetic and the tables."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from bench.compare import cases, counting, layers, report, rounds, training, with_fastnn, worker
from bench.compare.cases import Case, Group
from bench.compare.report import (
    Ceilings,
    Result,
    Summary,
    geometric_mean,
    markdown,
    summaries,
)

from fastnn import models, ops

GROUPS = cases.groups(Path("nowhere"))


def result(name: str, fastnn: float, **peers: float) -> Result:
    return Result(Case("matmul", tuple(int(n) for n in name.split(","))), fastnn, peers)


def test_every_row_of_the_shapes_fits_its_struct():
    source = cases.SHAPES.read_text()
    tables = re.findall(r"constexpr (\w+) (\w+)\[\] = \{", source)
    assert len(tables) > 15
    assert {name for _, name in tables} == set(cases.tables())
    for struct, name in tables:
        fields = re.search(rf"struct {struct} {{\s*int64_t ([^;]*);", source).group(1).split(",")
        required = sum("=" not in field for field in fields)
        for row in cases.tables()[name]:
            assert required <= len(row) <= len(fields), (name, row)


def test_every_table_of_kernel_shapes_is_compared():
    compared = {case.args for group in GROUPS for case in group.cases}
    for name, rows in cases.tables().items():
        assert compared >= set(rows), name


def test_every_case_stands_once_and_is_implemented():
    names = [case.name for group in GROUPS for case in group.cases]
    assert len(names) == len(set(names))
    for op in {case.op for group in GROUPS for case in group.cases}:
        assert any(hasattr(module, op) for module in (with_fastnn, layers, training)), op
    torch_side = pytest.importorskip("bench.compare.with_torch", reason="PyTorch is not installed")
    for op in {case.op for group in GROUPS for case in group.cases}:
        assert hasattr(with_fastnn, op) == hasattr(torch_side, op), op


def test_3x3_group_holds_what_its_name_says():
    for group in GROUPS:
        if group.name.startswith("3x3 stride 1"):
            assert len(group.cases) >= 15
            for case in group.cases:
                _, C, _, K, R, stride, pad = case.args
                assert (R, stride, pad) == (3, 1, 1)
                assert min(C, K) >= 64


def test_costs():
    assert Case("matmul", (2, 3, 4)).cost == (48, 4 * (8 + 12 + 6))
    flops, moved = Case("conv2d_forward", (1, 4, 5, 8, 3, 2, 1, 2)).cost
    assert flops == 2 * 8 * 3 * 3 * 2 * 9
    assert moved == 4 * (4 * 25 + 8 * 2 * 9 + 8 * 9)
    assert Case("relu", (10,)).cost == (0, 200)
    assert Case("adam", (2, 5)).cost == (0, 280)
    assert Case("max_pool2d", (1, 1, 4, 2, 2, 0)).cost == (0, 8 * 16 + 10 * 4)
    assert Case("overhead_relu").cost == (0, 0)


def test_a_training_step_is_counted_call_by_call():
    costs = counting.count(training.lenet5_step(with_fastnn, 2)[""])
    products = [(6, 1, 28), (16, 6, 10)]  # filters, channels, pixels in a row of the output
    of_convolutions = [2 * 2 * pixels**2 * filters * channels * 25 for filters, channels, pixels in products]
    of_linear = [2 * 2 * inputs * outputs for inputs, outputs in ((400, 120), (120, 84), (84, 10))]
    # The gradient of the images is not made.
    assert sum(flops for flops, _ in costs) == 2 * of_convolutions[0] + 3 * of_convolutions[1] + 3 * sum(of_linear)
    assert all(moved > 0 for _, moved in costs)
    parameters = sum(p.numel() for p in models.lenet5().parameters())
    assert costs[-1] == (0, 20 * parameters)  # SGD reads three arrays and writes two
    assert ops.linear_forward.__module__ == ops.__name__  # nothing is counted any more


def test_counting_knows_winograd_recurrence_and_what_moves_nothing():
    x, w = np.ones((2, 16, 10, 9), np.float32), np.ones((8, 16, 3, 3), np.float32)
    (cost,) = counting.count(lambda: ops.conv2d_forward(x, w, None, 1, 1))
    assert cost == (2 * 36 * 2 * 3 * 3 * 8 * 16, 4 * (x.size + w.size + 2 * 8 * 90))
    dy = np.ones((2, 8, 5, 5), np.float32)
    (cost,) = counting.count(lambda: ops.conv2d_backward_input(dy, w, x.shape, 2, 1))
    assert cost[0] == 2 * dy.size * 16 * 9
    last = ops.to_channels_last(x)
    assert counting.count(lambda: ops.to_channels_last(last)) == ()
    assert counting.count(lambda: ops.to_channels_last(x)) == ((0, 8 * x.size),)
    weights = np.ones((12, 5), np.float32), np.ones((12, 3), np.float32)
    (cost,) = counting.count(lambda: ops.lstm_forward(np.ones((7, 2, 5), np.float32), None, None, *weights))
    assert cost[0] == 2 * 14 * 12 * 8


def test_counted_parts_follow_each_other():
    step = Result(Case("lenet5_step", (2,)), 4.0, {"": 8.0}, counted=((1e9, 0.0), (0.0, 2e9)))
    limits = Ceilings(gflops=1.0, gbs=2.0)
    assert step.share(limits) == 0.5
    assert step.highest_ratio(limits) == 4.0
    assert step.best_of(step).share(limits) == 0.5


def test_geometric_mean():
    assert geometric_mean([1.0, 4.0]) == pytest.approx(2.0)
    assert geometric_mean([3.0]) == pytest.approx(3.0)


def test_the_fastest_way_of_the_peer_counts():
    r = result("2,2,2", 2.0, slow=5.0, fast=3.0)
    assert (r.best_peer, r.ratio) == ("fast", 1.5)


def test_share_of_the_ceiling_is_that_of_the_tighter_bound():
    r = result("1000,1000,1000", 4.0)
    assert math.isnan(r.share(None))
    assert r.share(Ceilings(gflops=1.0, gbs=1e9)) == pytest.approx(0.5)  # 2 GFLOP
    assert r.share(Ceilings(gflops=1e9, gbs=0.012)) == pytest.approx(0.25)  # 12 MB
    assert Ceilings(1.0, 4.0).highest(Ceilings(2.0, 3.0)) == Ceilings(2.0, 4.0)


def test_ratio_at_the_ceilings():
    slow, past = result("1000,1000,1000", 4.0, x=8.0), result("500,1000,2000", 1.0, x=8.0)  # 2 GFLOP each
    ceilings = Ceilings(gflops=1.0, gbs=1e9)
    assert slow.highest_ratio(None) == slow.ratio == 2.0
    assert slow.highest_ratio(ceilings) == pytest.approx(4.0)
    assert past.highest_ratio(ceilings) == past.ratio == 8.0
    (ratios,) = summaries(Group("g", ()), [slow, past], ceilings)
    assert (ratios.mean, ratios.highest_mean) == (pytest.approx(4.0), pytest.approx(math.sqrt(32)))
    assert ratios.cells()[-1] == "5.66"
    assert ratios.record()["mean_at_the_ceilings"] == ratios.highest_mean
    (uncounted,) = summaries(Group("g", ()), [result("2,2,2", 1.0, x=2.0)])
    assert uncounted.highest_mean is None


def test_the_best_of_two_sweeps_counts():
    skipped = Result(Case("matmul", (2, 2, 2)), problem="skipped: no such thing")
    first, second = result("2,2,2", 3.0, a=5.0, b=6.0), result("2,2,2", 2.0, a=7.0, b=4.0)
    best = second.best_of(first)
    assert (best.fastnn, best.peers) == (2.0, {"a": 5.0, "b": 4.0})
    assert first.best_of(None) is first
    assert first.best_of(skipped) is skipped
    assert skipped.best_of(first) is skipped


@pytest.mark.parametrize(
    ("mean", "worst", "reached"),
    [(2.0, 1.0, True), (2.01, None, False), (2.0, 1.01, False), (None, 1.0, True), (None, None, None)],
)
def test_summary(mean, worst, reached):
    s = Summary("group", {"a": 1.0, "b": 4.0}, 2, mean, worst)
    assert (s.mean, s.worst, s.worst_case) == (pytest.approx(2.0), 1.0, "a")
    assert s.reached is reached


def test_summary_counts_what_was_measured():
    skipped = Result(Case("matmul", (4, 4, 4)), problem="skipped: no such thing")
    group = Group("group", (), mean=1.0, mean_share=0.5)
    ratios, shares = summaries(group, [result("2,2,2", 1.0, x=2.0), skipped])
    assert ratios.cells() == ("group", "1 of 2", "2.00", "1.00", "2.00", "", "matmul/2,2,2", "yes", "")
    assert shares.cells()[1:4] == ("0 of 2", "", "50%")
    assert ratios.record()["reached"] is True
    assert shares.record()["reached"] is None


def test_markdown_tables_are_rectangular():
    results = [result("2,2,2", 1e-3, x=2e-3), Result(Case("relu", (4,)), problem="skipped: no such thing")]
    found = list(summaries(Group("g", ()), results))
    text = markdown("heading", {"g": (found, results)}, None, {"memory": {"bytes": 1234.0}})
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {len(report.COLUMNS) + 1, len(report.SUMMARY_COLUMNS) + 1}
    assert "| matmul/2,2,2 | 1 ms | 2 ms | x | 2.00 |  |" in text
    assert "- bytes: 1,234" in text


def test_plot(tmp_path):
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
    from bench.compare import plot

    plot.save(tmp_path / "ratios.png", [Summary("group", {"a": 0.5, "b": 4.0}, 2, 2.0, 1.0)], "heading")
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["lenet5", "cifar_resnet20", "resnet18", "se_resnet50", "googlenet"])
def test_models_have_the_same_parameters_in_both_libraries(name):
    torch_models = pytest.importorskip("bench.compare.torch_models", reason="PyTorch is not installed")
    theirs = {key: tuple(value.shape) for key, value in getattr(torch_models, name)().state_dict().items()}
    ours = {key: tuple(value.shape) for key, value in getattr(models, name)().state_dict().items()}
    assert ours == theirs


def test_weights_are_the_same_ones_for_the_same_name():
    a, b = (layers.loaded(with_fastnn, models.lenet5()) for _ in range(2))
    for key, value in a.state_dict().items():
        np.testing.assert_array_equal(value, b.state_dict()[key])


def test_a_difference_between_the_libraries_is_found():
    def samples(*arrays):
        return [worker._sample(np.array(a, np.float32)) for a in arrays]

    one, two = samples([1.0, 2.0], [4.0]), samples([1.0, 2.0], [4.2])
    assert rounds._difference(one, one, (1e-4,)) == ""
    assert "result 1" in rounds._difference(one, two, (1e-4,))
    assert rounds._difference(one, two, (1e-4, 0.1)) == ""
    assert "result 0" in rounds._difference(samples([1.0, np.nan]), samples([1.0, 2.0]), (1e-4,))
    assert "shapes" in rounds._difference(one, samples([1.0], [4.0]), (1e-4,))


@pytest.mark.parametrize("sizes", [(5, 3, 4, 6), (4, 1, 3, 5, 2), (4, 2, 3, 5, 1, 2)])
def test_onnx_runtime_computes_the_same_lstm(sizes):
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    from bench.compare import with_onnxruntime

    assert "lstm_inference" in {case.op for group in GROUPS for case in group.cases}
    assert with_onnxruntime.setup(1).startswith("ONNX Runtime ")
    theirs = with_onnxruntime.lstm_inference(*sizes)["ONNX Runtime"].check()
    ours = layers.lstm_inference(with_fastnn, *sizes)[""]().numpy()
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)


class FakeWorker:
    """Answers as a worker does, without a process; without results where it does not know the case."""

    version = "Fake 1"

    def __init__(self, results=None, seconds=math.nan):
        self.results, self.seconds, self.calls = results, seconds, []

    def call(self, command, *args):
        self.calls.append((command, *args[:1]))
        if command == "build" and self.results is None:
            raise worker.Unsupported("no such kernel")
        return {
            "build": self.results and {way: [worker._sample(v)] for way, v in self.results.items()},
            "costs": (),
            "time": dict.fromkeys(args[0], self.seconds) if command == "time" else None,
            "release": None,
        }[command]


def test_the_fastest_peer_counts_and_those_that_lack_a_case_are_left_out():
    case, y = Case("matmul", (2, 3, 4)), np.ones((2, 3))
    fastnn, lacking = FakeWorker({"": y}, 1.0), FakeWorker()
    slow, fast = FakeWorker({"": y, "other": y}, 9.0), FakeWorker({"Fast": y}, 2.0)
    found = rounds.compare(case, fastnn, [slow, lacking, fast], 2, 0.0)
    assert (found.best_peer, found.ratio) == ("Fast", 2.0)
    assert found.peers == {"": 9.0, "other": 9.0, "Fast": 2.0}
    assert lacking.calls == [("build", "matmul")]
    timed = [("time", ["", "other"]), ("time", [])]  # the second time there is no hope
    assert slow.calls == [("build", "matmul"), *timed, ("release",)]
    assert rounds.compare(case, fastnn, [lacking], 2, 0.0).problem == "skipped: no such kernel"
    wrong = rounds.compare(case, fastnn, [slow, FakeWorker({"Fast": 2 * y})], 2, 0.0)
    assert wrong.failed
    assert "MISMATCH with Fake 1 Fast" in wrong.problem
