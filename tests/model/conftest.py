import pytest
import torch

from midigpt.model import GPT2Config, GPT2LMHeadModel


@pytest.fixture
def make_network():
    """Builds a network with every parameter random, so that none can be left out unnoticed."""

    def make(**numbers):
        sizes = {"vocab_size": 50, "n_positions": 600, "n_embd": 16, "n_layer": 2, "n_head": 4}
        generator = torch.Generator().manual_seed(1)
        network = GPT2LMHeadModel(GPT2Config(**(sizes | numbers))).eval().requires_grad_(False)
        for parameter in network.parameters():
            parameter.normal_(std=0.4, generator=generator)
        return network

    return make


@pytest.fixture
def network(make_network):
    return make_network()
