"""fastnn.training: the loop, evaluation, checkpoints, and runs that are stopped and go on."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn import models, nn, ops, optim, training
from fastnn.data import ArrayDataset, DataLoader
from fastnn.datasets import MNISTSubset
from fastnn.training import Trainer, evaluate, read_checkpoint, stop_on_signals

EPOCHS, ITEMS, BATCH = 2, 150, 32
STEPS = 5  # an epoch, the last one not full


@pytest.fixture(autouse=True)
def _one_thread():
    before = ops.get_num_threads()
    ops.set_num_threads(1)
    yield
    ops.set_num_threads(before)


def data(items=ITEMS, train=True):
    subset = MNISTSubset(train)
    chosen = np.linspace(0, len(subset) - 1, items).astype(int)  # all ten digits
    return ArrayDataset(MNISTSubset.normalize(subset.images[chosen]), subset.labels[chosen])


def reversed_data():
    return ArrayDataset(*(a[::-1] for a in data().arrays))


class DropoutNet(nn.Module):
    """A model that draws random numbers while it is trained."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))

    def forward(self, x):
        return self.layers(x)


def trainer(checkpoint=None, *, model=DropoutNet, seed=0, epochs=EPOCHS, train=None, lr=0.05, **arguments):
    fastnn.manual_seed(seed)
    network = model()
    optimizer = optim.SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(data() if train is None else train, BATCH, shuffle=True, seed=seed)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    arguments = {"scheduler": schedule, "test": data(40, train=False), "checkpoint": checkpoint, **arguments}
    return Trainer(network, optimizer, loader, epochs, **arguments)


def stop_at(step):
    """A callback that stops the trainer after so many steps of the run."""
    return lambda t: t.stop() if t.epoch * STEPS + t.step == step else None


# --- the loop --------------------------------------------------------------------------------------------------


def test_training_is_the_plain_loop():
    t = trainer()
    assert t.fit()

    fastnn.manual_seed(0)
    model = DropoutNet()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * STEPS)
    losses, correct = [], []
    for epoch in range(EPOCHS):
        for x, labels in DataLoader(data(), BATCH, shuffle=True, seed=0).batches(epoch):
            scores = model(fastnn.tensor(x))
            loss = nn.CrossEntropyLoss()(scores, fastnn.tensor(labels))
            losses.append((loss.item(), len(labels)))
            correct.append((scores.detach().numpy().argmax(1) == labels).sum())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(t.model.state_dict()[name], array)
    last = losses[STEPS:]
    assert t.history[1]["loss"] == pytest.approx(sum(v * n for v, n in last) / ITEMS)
    assert t.history[1]["accuracy"] == sum(correct[STEPS:]) / ITEMS
    assert t.history[1]["test_accuracy"] == evaluate(model, data(40, train=False))["accuracy"]


def test_callbacks_see_the_run(tmp_path):
    path = tmp_path / "c.safetensors"
    steps, epochs = [], []
    t = trainer(path)
    t.fit(
        lambda t: steps.append((t.epoch, t.step, t.items, t.metrics)),
        lambda t: epochs.append((t.epoch, len(t.history), read_checkpoint(path)[1]["trainer"]["progress"]["epoch"])),
    )
    assert [s[:3] for s in steps[:STEPS]] == [(0, 1, 32), (0, 2, 64), (0, 3, 96), (0, 4, 128), (0, 5, 150)]
    assert all(set(s[3]) == {"loss", "accuracy"} and 0 <= s[3]["accuracy"] <= 1 for s in steps)
    assert epochs == [(1, 1, 1), (2, 2, 2)]


def test_bad_arguments():
    network = DropoutNet()
    with pytest.raises(ValueError, match="epochs is 0"):
        Trainer(network, optim.SGD(network.parameters()), DataLoader(data(), 4), 0)
    with pytest.raises(ValueError, match="loader has no batches"):
        Trainer(network, optim.SGD(network.parameters()), DataLoader([], 4), 1)


def test_divergence_is_an_error_and_keeps_the_last_checkpoint(tmp_path):
    path = tmp_path / "c.safetensors"
    t = trainer(path)
    t.fit(on_step=stop_at(2))
    before = path.read_bytes()
    t.model.layers[4].weight.data[:] = np.nan
    with pytest.raises(FloatingPointError, match=r"the loss is nan in epoch 1, step 3: .* smaller learning rate"):
        t.fit()
    assert path.read_bytes() == before


# --- evaluation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_evaluate(batch_size):
    fastnn.manual_seed(0)
    model, test = DropoutNet(), data(40, train=False)
    x, labels = test.arrays
    model.eval()
    scores = model(fastnn.tensor(x)).detach().numpy().astype(np.float64)
    log_probabilities = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    for mode in (True, False):
        model.train(mode)
        found = evaluate(model, test, batch_size)
        assert model.training is mode
        assert found["accuracy"] == (scores.argmax(1) == labels).mean()
        assert found["loss"] == pytest.approx(-log_probabilities[np.arange(40), labels].mean(), rel=1e-5)
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(ValueError, match="evaluate: dataset is empty"):
        evaluate(model, [])


def test_evaluate_restores_the_mode_after_an_error():
    model = DropoutNet()
    with pytest.raises(ValueError, match="linear"):
        evaluate(model, ArrayDataset(np.zeros((2, 1, 5, 5), np.float32), np.zeros(2, np.int64)))
    assert model.training


# --- stop and resume -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    path = tmp_path_factory.mktemp("straight") / "c.safetensors"
    assert trainer(path).fit()
    return path.read_bytes()


@pytest.mark.parametrize("step", [1, 3, STEPS, STEPS + 1, EPOCHS * STEPS])
def test_a_resumed_run_ends_in_the_same_bytes(tmp_path, straight, step):
    path = tmp_path / "c.safetensors"
    assert not trainer(path).fit(on_step=stop_at(step))
    assert path.read_bytes() != straight
    second = trainer(path)
    fastnn.manual_seed(99)  # the state of the generator must come from the checkpoint
    second.resume(path)
    assert second.epoch * STEPS + second.step == step
    assert second.fit()
    assert path.read_bytes() == straight


def test_stop_at_the_end_of_an_epoch(tmp_path, straight):
    path = tmp_path / "c.safetensors"
    assert not trainer(path).fit(on_epoch=Trainer.stop)
    second = trainer(path)
    second.resume(path)
    assert (second.epoch, second.step, len(second.history)) == (1, 0, 1)
    assert second.fit(on_epoch=Trainer.stop)  # the last epoch: all is done
    assert path.read_bytes() == straight


def test_going_on_in_the_same_process(tmp_path, straight):
    path = tmp_path / "c.safetensors"
    t = trainer(path)
    while not t.fit(on_step=Trainer.stop):
        pass
    assert path.read_bytes() == straight


@pytest.mark.parametrize("model", [models.lenet5, lambda: models.lenet5(original=True)])
def test_the_number_of_threads_does_not_matter(tmp_path, model):
    contents = []
    for first, second in ((1, 1), (1, 3), (2, 1)):
        path = tmp_path / f"{first}{second}.safetensors"
        ops.set_num_threads(first)
        trainer(path, model=model).fit(on_step=stop_at(7))
        ops.set_num_threads(second)
        t = trainer(path, model=model)
        t.resume(path)
        assert t.fit()
        contents.append(path.read_bytes())
    assert contents[0] == contents[1] == contents[2]


def test_a_finished_run_resumes_to_nothing(tmp_path, straight):
    path = tmp_path / "c.safetensors"
    path.write_bytes(straight)
    t = trainer(path)
    t.resume(path)
    assert t.fit(on_step=lambda t: pytest.fail("a step"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": data(149)}, r"data was .*items 150, name ArrayDataset and is .*items 149"),
        (
            {"train": ArrayDataset(*(a[::-1].copy() for a in data().arrays))},
            r"data was crc32 \w+, items 150.* and is crc32 \w+, items 150",
        ),
        ({"test": None}, "test data was .* and is None"),
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"epochs": 3}, "epochs was 2 and is 3"),
        ({"config": {"width": 2}}, "config was .* and is width 2"),
        ({"scheduler": None}, "scheduler was CosineAnnealingLR and is None"),
        ({"model": models.lenet5}, "(?s)holds another model: .*conv1.weight"),
    ],
)
def test_resume_refuses_another_run(tmp_path, straight, changes, message):
    path = tmp_path / "c.safetensors"
    path.write_bytes(straight)
    t = trainer(**changes)
    before = {name: array.copy() for name, array in t.model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        t.resume(path)
    assert (t.epoch, t.step, t.history) == (0, 0, [])
    for name, array in t.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_resume_refuses_other_files(tmp_path, straight):
    t = trainer()
    path = tmp_path / "c.safetensors"
    with pytest.raises(FileNotFoundError):
        t.resume(path)
    for content in (b"", b"text", straight[:100], straight[:-1]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"c\.safetensors"):
            t.resume(path)
    fastnn.save(t.model, path)
    with pytest.raises(ValueError, match="not a checkpoint"):
        t.resume(path)
    fastnn.save(t.model, path, metadata={"format": training._FORMAT, "config": {}, "trainer": {"identity": {}}})
    with pytest.raises(ValueError, match="the checkpoint is incomplete"):
        t.resume(path)


def test_what_a_checkpoint_holds(tmp_path):
    path = tmp_path / "c.safetensors"
    trainer(path, config={"name": "net"}).fit(on_step=stop_at(3))
    arrays, metadata = read_checkpoint(path)
    parameters = [name for name, _ in DropoutNet().named_parameters()]
    assert set(arrays) == {f"model.{n}" for n in parameters} | {f"optimizer.{i}.momentum_buffer" for i in range(4)}
    assert metadata["config"] == {"name": "net"}
    assert metadata["trainer"]["progress"]["step"] == 3
    json.dumps(metadata)


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not trainer().fit(on_step=Trainer.stop)
    assert not any(tmp_path.iterdir())


# --- signals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step(tmp_path, straight, number):
    path = tmp_path / "c.safetensors"
    before = signal.getsignal(number)
    t = trainer(path)
    with stop_on_signals(t.stop) as received:
        assert not t.fit(on_step=lambda t: os.kill(os.getpid(), number) if t.step == 2 else None)
    assert received == [number]
    assert signal.getsignal(number) is before
    second = trainer(path)
    second.resume(path)
    assert second.step == 2
    assert second.fit()
    assert path.read_bytes() == straight


def test_a_second_signal_stops_at_once(tmp_path):
    path = tmp_path / "c.safetensors"
    t = trainer(path)

    def interrupt_twice(t):
        if t.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), stop_on_signals(t.stop):
        t.fit(interrupt_twice)
    assert read_checkpoint(path)[1]["trainer"]["progress"]["epoch"] == 1


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_signals(lambda: None) as received:
            os.kill(os.getpid(), signal.SIGINT)
        assert received == []
    finally:
        signal.signal(signal.SIGINT, before)


# --- a checkpoint is whole at any moment -----------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_failure_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch, stage, error):
    path = tmp_path / "c.safetensors"
    t = trainer(path)
    t.fit(on_step=stop_at(1))
    before = path.read_bytes()

    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, stage, fail)
        with pytest.raises(type(error)):
            t.fit(on_step=stop_at(2))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
    t.save()
    assert read_checkpoint(path)[1]["trainer"]["progress"]["step"] == 2


CHILD = """
import sys
sys.path.insert(0, sys.argv[2])
from test_training import trainer
t = trainer(sys.argv[1])
t.fit(on_step=type(t).stop)
while True:
    t.save()
    print("saved", flush=True)
"""


def test_kill_while_writing(tmp_path):
    path = tmp_path / "c.safetensors"
    command = [sys.executable, "-c", CHILD, str(path), os.path.dirname(__file__)]
    for lines in (1, 2, 5):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            for _ in range(lines):
                assert child.stdout.readline() == "saved\n"
            child.kill()
        assert child.returncode == -signal.SIGKILL
        t = trainer()
        t.resume(path)
        assert t.step == 1
