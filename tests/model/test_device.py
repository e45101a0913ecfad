import pytest
import torch

from midigpt.errors import DeviceError
from midigpt.model import resolve_device
from midigpt.model.device import at_most


@pytest.fixture
def machine(monkeypatch):
    """Pretends to be a machine with so many CUDA devices, with or without MPS."""

    def pretend(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize("automatic", [None, "", "auto"])
def test_auto_is_the_best_there_is(machine, automatic):
    machine(cuda=1, mps=True)
    assert resolve_device(automatic) == torch.device("cuda")
    machine(mps=True)
    assert resolve_device(automatic) == torch.device("mps")
    machine()
    assert resolve_device(automatic) == torch.device("cpu")


def test_a_named_device_is_that_device(machine):
    machine(cuda=2, mps=True)
    for name in ("cpu", "mps", "cuda", "cuda:0", "cuda:1"):
        assert resolve_device(name) == torch.device(name)
        assert resolve_device(torch.device(name)) == torch.device(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cuda", "device='cuda' requested but CUDA is unavailable"),
        ("cuda:1", "device='cuda:1' requested but CUDA is unavailable"),
        ("mps", "device='mps' requested but MPS is unavailable"),
        ("abacus", "device='abacus' is unknown: give cpu, cuda, cuda:N, mps or auto"),
        ("cuda:x", "device='cuda:x' is unknown: give cpu, cuda, cuda:N, mps or auto"),
        ("meta", "device='meta' is not supported: give cpu, cuda, cuda:N, mps or auto"),
    ],
)
def test_no_device_stands_in_for_another(machine, name, text):
    machine()
    with pytest.raises(DeviceError) as caught:
        resolve_device(name)
    assert str(caught.value) == text


def test_a_cuda_index_out_of_range(machine):
    machine(cuda=2)
    with pytest.raises(DeviceError, match="device='cuda:2' requested but there are 2 CUDA devices"):
        resolve_device("cuda:2")


class TestThreads:
    @pytest.fixture(autouse=True)
    def _three(self):
        before = torch.get_num_threads()
        torch.set_num_threads(3)
        yield
        torch.set_num_threads(before)

    @pytest.mark.parametrize(("most", "there"), [(1, 1), (2, 2), (3, 3), (8, 3), (0, 3)])
    def test_there_are_so_many_at_most(self, most, there):
        with at_most(most):
            assert torch.get_num_threads() == there
        assert torch.get_num_threads() == 3

    def test_they_come_back_after_an_error(self):
        with pytest.raises(ZeroDivisionError), at_most(1):
            raise ZeroDivisionError
        assert torch.get_num_threads() == 3
